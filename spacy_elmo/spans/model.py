"""The model of spaCy's span categorizers: any tok2vec, and a scorer of spans in torch.

Owns how Docs and suggested spans reach the network, and the gradient of its scores.
"""

from functools import partial
from typing import Any, Callable, List, Optional, Tuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d, Ragged
from torch import Tensor, nn

from ..forked import run_alone_after_fork
from ..node_digest import DIGEST, DigestShim, NodeDigest
from ..text.words import word_tokens
from .encoder import TokenEncoder
from .scorer import SpanScorer
from .sentences import sentence_numbers, stretches
from .shim import ModuleShim
from .tensors import gradients, take_rows, to_torch

# of the scores of a label and of none at the start, the difference
RARE = 4.0
# of the last label for a span of whitespace, where scores are independent of each other: the
# highest one, and no threshold is as low
LEAST = 1e-30

SpanModel = Model[Tuple[List[Doc], Ragged], Floats2d]


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
    tok2vec: Model[List[Doc], List[Floats2d]],
    hidden_size: int = 150,
    depth: int = 1,
    dropout: float = 0.3,
    lstm_size: int = 200,
    max_span_width: int = 20,
    exclusive_classes: bool = True,
    nO: Optional[int] = None,
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
        _shim(model).set_new(model.ops, **sizes)


def forward(
    model: SpanModel, inputs: Tuple[List[Doc], Ragged], is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], Any]]:
    run_alone_after_fork()
    docs, spans = inputs
    shim = _shim(model)
    network = shim.module.train(is_train)
    vectors, backprop_tok2vec = model.get_ref("tok2vec")(docs, is_train)
    parts = to_torch(vectors, shim.device, is_train)
    words = [word_tokens(doc) for doc in docs]
    places, first, last = _word_spans(model, docs, words, spans)
    exclusive = model.attrs["exclusive_classes"]
    with torch.set_grad_enabled(is_train):
        lengths = [
            n for doc, ours in zip(docs, words) for n in stretches(sentence_numbers(doc, ours))
        ]
        logits = network(
            torch.cat([take_rows(x, ours) for x, ours in zip(parts, words)]),
            torch.tensor(lengths, dtype=torch.int64),
            *(torch.from_numpy(ends).to(shim.device) for ends in (first, last)),
        )
        scores = logits.softmax(dim=1) if exclusive else logits.sigmoid()

    def backprop(d_logits: Floats2d) -> Any:
        if exclusive:
            _check_exclusive(d_logits)
        # scores less targets, which is the gradient of the cross-entropy before the softmax
        logits.backward(gradient=take_rows(xp2torch(d_logits, device=shim.device), places))
        return backprop_tok2vec(gradients(parts, vectors, model.ops))

    found = _of_all_spans(scores.detach(), places, int(spans.lengths.sum()), exclusive)
    return model.ops.asarray2f(cast(Any, torch2xp(found))), backprop


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


def _word_spans(
    model: SpanModel, docs: List[Doc], words: List[np.ndarray], spans: Ragged
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the spans that begin and end with a word.

    docs (List[Doc]): The Docs.
    words (List[ndarray]): Positions of the words of each.
    spans (Ragged): First token of each span of each Doc, and the one after the last.
    RETURNS (Tuple[ndarray, ndarray, ndarray]): Which spans these are, and the first and last
        word of each, counted through all Docs, int64 [n_word_spans].
    """
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
    return places, first[places], last[places]


def _shim(model: SpanModel) -> ModuleShim[SpanNetwork]:
    return cast(ModuleShim[SpanNetwork], model.shims[0])
