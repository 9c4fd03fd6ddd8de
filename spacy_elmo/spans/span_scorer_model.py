"""The model of spaCy's span categorizers: any tok2vec, and a scorer of spans in torch.

Owns how Docs and suggested spans reach the network, and the gradient of its scores.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d, Ragged
from torch import Tensor, nn

from ..models.module_shim import ModuleShim
from ..models.node_digest import DIGEST, DigestShim, NodeDigest
from ..models.tensors import gradients, take_rows, to_torch
from ..runtime.torch_scope import (
    own_torch_settings,
    own_training_settings,
    warn_of_reduced_float32,
)
from ..text.words import word_tokens
from .sentence_lstm import TokenEncoder
from .sentences import sentence_numbers, stretches
from .span_scorer import SpanScorer

# of the scores of a label and of none at the start, the difference
RARE = 4.0
# of the last label for a span of whitespace, where scores are independent of each other: the
# highest one, and no threshold is as low
LEAST = 1e-30

# tokens of the Docs whose spans are scored together outside of training
CHUNK_TOKENS = 4096

SpanModel = Model[tuple[list[Doc], Ragged], Floats2d]


class WordSpans(NamedTuple):
    """The spans that begin and end with a word.

    words (List[ndarray]): Positions of the words of each Doc, int64 [n_words].
    places (ndarray): Which of all spans these are, int64 [n_word_spans].
    first, last (ndarray): First and last word of each, counted through all Docs, int64
        [n_word_spans].
    n_spans (int): Number of all spans.
    """

    words: list[np.ndarray]
    places: np.ndarray
    first: np.ndarray
    last: np.ndarray
    n_spans: int


class SpanNetwork(nn.Module):
    """Scores of spans before the softmax; see `build_span_scorer_v1`."""

    def __init__(
        self,
        width: int,
        n_scores: int,
        hidden_size: int,
        depth: int,
        dropout: float,
        lstm_size: int,
        max_span_width: int,
        exclusive_classes: bool,
    ) -> None:
        super().__init__()
        self.tokens = TokenEncoder(width, lstm_size, dropout)
        self.spans = SpanScorer(
            self.tokens.width, hidden_size, depth, dropout, max_span_width, n_scores
        )
        # next to all spans are nothing; where that is not known from the start, the gradients of
        # the first batches are so large that the optimizer takes small steps long after them
        with torch.no_grad():
            bias = self.spans.score.output.bias.zero_()
            if exclusive_classes:
                bias[-1] = RARE
            else:
                bias.fill_(-RARE)

    def forward(self, x: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """RETURNS (Tensor): Scores [n_spans, n_scores].

        x (Tensor): Vectors of all words [n, D].
        lengths (Tensor): Of what is read by itself, int64; they sum to n.
        first, last (Tensor): First and last word of each span, int64 [n_spans].
        """
        x = self.tokens(x, lengths)
        found: Tensor = self.spans(x, first, last, self.spans.attention_of(x))
        return found


def build_span_scorer_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    hidden_size: int = 150,
    depth: int = 1,
    dropout: float = 0.3,
    lstm_size: int = 200,
    max_span_width: int = 20,
    exclusive_classes: bool = True,
    nO: int | None = None,
) -> SpanModel:
    """`spacy-elmo.SpanScorer.v1`: the model of `spancat_singlelabel` or `spancat`. A span's
    first and last token, its width and the attended mean of its tokens are scored together,
    after an LSTM over the sentence, or over 200 tokens at a time where none are marked or a
    sentence is longer. Spans may cross these bounds: each of their tokens is read in its
    own context. Whitespace tokens change nothing, and spans that begin or end with them have no
    label.

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, e.g. a listener.
    hidden_size (int): Width of the hidden layers.
    depth (int): Hidden layers.
    dropout (float): On the LSTM's inputs and outputs and on the hidden layers.
    lstm_size (int): Of the bidirectional LSTM in each direction; 0 for none.
    max_span_width (int): Spans of so many words and longer ones are not told apart by their
        width. Which spans there are is the suggester's business.
    exclusive_classes (bool): Whether a span has one label at most: a softmax over the labels
        and a score for none, which only spancat_singlelabel has: it is an error to train
        spancat so. Else a probability for each label by itself, as spancat wants it;
        spancat_singlelabel learns with it too, and takes the likeliest. Either way the
        gradient is that of the cross-entropy.
    nO (Optional[int]): Number of scores; the component sets it.
    CREATES (Model[Tuple[List[Doc], Ragged], Floats2d]): The model.
    """
    make = partial(
        SpanNetwork,
        hidden_size=hidden_size,
        depth=depth,
        dropout=dropout,
        lstm_size=lstm_size,
        max_span_width=max_span_width,
        exclusive_classes=exclusive_classes,
    )
    return Model(
        "span_scorer",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[ModuleShim("span scorer", make), DigestShim("settings of the span scorer")],
        refs={"tok2vec": tok2vec},
        dims={"nO": nO},
        attrs={"exclusive_classes": exclusive_classes, DIGEST: NodeDigest()},
    )


def init(model: SpanModel, X: Any = None, Y: Any = None) -> None:
    tok2vec = model.get_ref("tok2vec")
    tok2vec.initialize(None if X is None else X[0])
    if Y is not None and model.has_dim("nO") is None:
        model.set_dim("nO", Y.shape[1])
    if model.has_dim("nO"):
        sizes = {"width": tok2vec.get_dim("nO"), "n_scores": model.get_dim("nO")}
        _shim(model).build_module(model.ops, **sizes)


@own_torch_settings()
def forward(
    model: SpanModel, inputs: tuple[list[Doc], Ragged], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    warn_of_reduced_float32(_shim(model).device)
    docs, spans = inputs
    if is_train:
        return _begin_update(model, docs, spans)
    return _predict(model, docs, spans), _no_backprop


def _begin_update(
    model: SpanModel, docs: list[Doc], spans: Ragged
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    shim, exclusive = _shim(model), model.attrs["exclusive_classes"]
    vectors, backprop_tok2vec = model.get_ref("tok2vec").begin_update(docs)
    shim.module.train()
    found = _find_word_spans(model, docs, spans)
    with own_training_settings():
        inputs = to_torch(vectors, shim.device, is_train=True)
        logits = _logits(model, docs, inputs, found)

    def backprop(d_logits: Floats2d) -> Any:
        if exclusive:
            _check_exclusive(d_logits)
        # scores less targets, which is the gradient of the cross-entropy before the softmax
        with own_training_settings():
            logits.backward(
                gradient=take_rows(xp2torch(d_logits, device=shim.device), found.places)
            )
        return backprop_tok2vec(gradients(inputs, vectors, model.ops))

    return model.ops.asarray2f(cast(Any, torch2xp(_scores(model, logits, found)))), backprop


def _predict(model: SpanModel, docs: list[Doc], spans: Ragged) -> Floats2d:
    """Score the spans of a few Docs at a time, which bounds the memory for a large batch."""
    shim, tok2vec = _shim(model), model.get_ref("tok2vec")
    shim.module.eval()
    n_tokens = np.array([len(doc) for doc in docs], dtype=np.int64)
    first_span = np.concatenate([[0], np.cumsum(model.ops.to_numpy(spans.lengths))])
    scores: list[Tensor] = []
    with torch.no_grad():
        for start, end in chunk_docs(n_tokens, CHUNK_TOKENS):
            chunk = Ragged(
                spans.dataXd[first_span[start] : first_span[end]], spans.lengths[start:end]
            )
            found = _find_word_spans(model, docs[start:end], chunk)
            vectors = to_torch(tok2vec.predict(docs[start:end]), shim.device, is_train=False)
            logits = _logits(model, docs[start:end], vectors, found)
            scores.append(_scores(model, logits, found))
    return model.ops.asarray2f(cast(Any, torch2xp(torch.cat(scores))))


def chunk_docs(lengths: np.ndarray, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Divide Docs into chunks of at most `max_tokens` tokens. A longer Doc is its own chunk.

    lengths (ndarray): Tokens in each Doc, int64 [n_docs].
    max_tokens (int): The number of tokens.
    YIELDS (Tuple[int, int]): The first Doc of a chunk and the one after its last.
    """
    ends = np.cumsum(lengths)
    start = done = 0
    while start < len(lengths):
        end = max(start + 1, int(np.searchsorted(ends, done + max_tokens, side="right")))
        yield start, end
        start, done = end, int(ends[end - 1])


def _logits(model: SpanModel, docs: list[Doc], vectors: list[Tensor], found: WordSpans) -> Tensor:
    """RETURNS (Tensor): Scores before the softmax [n_word_spans, n_scores]."""
    shim = _shim(model)
    lengths = [
        n for doc, ours in zip(docs, found.words) for n in stretches(sentence_numbers(doc, ours))
    ]
    first, last = (torch.from_numpy(ends).to(shim.device) for ends in (found.first, found.last))
    rows = torch.cat([take_rows(x, ours) for x, ours in zip(vectors, found.words)])
    logits: Tensor = shim.module(
        rows, torch.tensor(lengths, dtype=torch.int64, device="cpu"), first, last
    )
    return logits


def _scores(model: SpanModel, logits: Tensor, found: WordSpans) -> Tensor:
    """RETURNS (Tensor): Scores of all spans [n_spans, n_scores]."""
    logits, exclusive = logits.detach(), model.attrs["exclusive_classes"]
    scores = logits.softmax(dim=1) if exclusive else logits.sigmoid()
    return _of_all_spans(scores, found.places, found.n_spans, exclusive)


def _no_backprop(d_logits: Floats2d) -> Any:
    raise ValueError("Scores that were predicted outside of training have no backward pass.")


def _of_all_spans(scores: Tensor, places: np.ndarray, n_spans: int, exclusive: bool) -> Tensor:
    """Scores of all spans [n_spans, n_scores]: those that begin or end with whitespace get no
    label, which is the last one where there is a score for none.

    scores (Tensor): Of the spans of words [n_word_spans, n_scores].
    places (ndarray): Which spans these are, int64 [n_word_spans].
    """
    if len(places) == n_spans:
        return scores
    found = scores.new_zeros(n_spans, scores.shape[1])
    found[:, -1] = 1.0 if exclusive else LEAST
    return found.index_copy(0, torch.from_numpy(places).to(scores.device), scores)


def _check_exclusive(d_logits: Floats2d) -> None:
    """Scores sum to 1, and so do targets, or to more where a span has several labels. If it
    has none and there is no score for that, all scores would be pushed down alike, which
    changes nothing in a softmax."""
    if len(d_logits) and float(d_logits.sum(axis=1).max()) > 0.5:
        raise ValueError(
            "Some spans have no label, and there is no score for none among those of the span "
            "scorer, as exclusive_classes = true needs it. Use the factory spancat_singlelabel, "
            "which has one, or set exclusive_classes = false in the block of "
            "spacy-elmo.SpanScorer.v1 for the factory spancat."
        )


def _find_word_spans(model: SpanModel, docs: list[Doc], spans: Ragged) -> WordSpans:
    """Find the spans that begin and end with a word.

    docs (List[Doc]): The Docs.
    spans (Ragged): First token of each span of each Doc, and the one after the last.
    RETURNS (WordSpans): The spans.
    """
    words = [word_tokens(doc) for doc in docs]
    before = np.cumsum([0, *(len(doc) for doc in docs)])
    # number of each word among the words of all Docs; -1 for whitespace
    numbers = np.full(before[-1], -1, dtype=np.int64)
    rows = np.concatenate([ours + start for ours, start in zip(words, before)])
    numbers[rows] = np.arange(len(rows))
    n_spans = model.ops.to_numpy(spans.lengths)
    ends = model.ops.to_numpy(spans.dataXd).astype(np.int64).reshape(-1, 2)
    ends += np.repeat(before[:-1], n_spans)[:, None]
    first, last = numbers[ends[:, 0]], numbers[ends[:, 1] - 1]
    places = np.flatnonzero((first >= 0) & (last >= 0))
    return WordSpans(words, places, first[places], last[places], len(ends))


def _shim(model: SpanModel) -> ModuleShim[SpanNetwork]:
    return cast(ModuleShim[SpanNetwork], model.shims[0])
