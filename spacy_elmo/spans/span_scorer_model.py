"""`spacy-elmo.SpanScorer.v1`, the model of spaCy's span categorizers: a tok2vec and a torch module
that scores spans."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d, Ragged
from torch import Tensor

from ..models.module_shim import ModuleShim
from ..models.node_digest import DIGEST, DigestShim, NodeDigest
from ..models.tensors import gradients, take_rows, to_torch
from ..runtime.torch_scope import (
    own_torch_settings,
    own_training_settings,
    warn_of_reduced_float32,
)
from .sentences import sentence_numbers, sequence_lengths
from .span_network import SpanNetwork
from .word_spans import WordSpans, find_word_spans

# at inference, the spans of consecutive Docs with at most this number of tokens are scored together
CHUNK_TOKENS = 4096

SpanModel = Model[tuple[list[Doc], Ragged], Floats2d]


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
    """Construct `spacy-elmo.SpanScorer.v1`: the model of `spancat_singlelabel` or `spancat`.

    A bidirectional LSTM reads each sentence. The score of a span is computed from its first token,
    its last token, its width and an attention-weighted mean of its tokens. Without sentence
    boundaries, and in longer sentences, the LSTM reads sequences of 200 words. A span may cross the
    boundary of two sequences. Whitespace tokens do not affect the scores, and spans that begin or
    end with one get no label.

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, for example a listener.
    hidden_size (int): Width of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate of the LSTM's input and output and of the hidden layers.
    lstm_size (int): Width of the LSTM in each direction; 0 for no LSTM.
    max_span_width (int): Spans of this number of words or more share one width embedding. The
        suggester determines which spans are scored.
    exclusive_classes (bool): True: each span has at most one label, and the scores are a softmax
        over the labels and "no label". `spancat_singlelabel` has a score for "no label"; `spancat`
        has none, and training it raises a ValueError. False: the scores are independent
        probabilities, as `spancat` expects; `spancat_singlelabel` then predicts the most probable
        label. In both cases the gradient is the gradient of the cross-entropy.
    nO (Optional[int]): Number of scores, set by the component.
    CREATES (Model[Tuple[List[Doc], Ragged], Floats2d]): The model.
    """
    build_network = partial(
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
        shims=[
            ModuleShim("span scorer", build_network),
            DigestShim("settings of the span scorer"),
        ],
        refs={"tok2vec": tok2vec},
        dims={"nO": nO},
        attrs={"exclusive_classes": exclusive_classes, DIGEST: NodeDigest()},
    )


@own_torch_settings()
def forward(
    model: SpanModel, inputs: tuple[list[Doc], Ragged], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    """Score spans.

    model (Model): The model.
    inputs (Tuple[List[Doc], Ragged]): The Docs; and for each span of each Doc, its first token and
        the token after its last one.
    is_train (bool): Whether a backward pass follows.
    RETURNS (Tuple[Floats2d, Callable]): Probabilities [n_spans, nO], and the backward pass, which
        takes the gradient of the logits.
    """
    warn_of_reduced_float32(_shim(model).device)
    docs, spans = inputs
    if is_train:
        return _begin_update(model, docs, spans)
    return _predict(model, docs, spans), _no_backprop


def init(model: SpanModel, X: Any = None, Y: Any = None) -> None:
    """Initialize the tok2vec. Build the network when the number of scores is known."""
    tok2vec = model.get_ref("tok2vec")
    tok2vec.initialize(None if X is None else X[0])
    if Y is not None and model.has_dim("nO") is None:
        model.set_dim("nO", Y.shape[1])
    if model.has_dim("nO"):
        width, n_scores = tok2vec.get_dim("nO"), model.get_dim("nO")
        _shim(model).build_module(model.ops, width=width, n_scores=n_scores)


def _begin_update(
    model: SpanModel, docs: list[Doc], spans: Ragged
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    shim, exclusive = _shim(model), model.attrs["exclusive_classes"]
    vectors, backprop_tok2vec = model.get_ref("tok2vec").begin_update(docs)
    shim.module.train()
    word_spans = _word_spans(model, docs, spans)
    with own_training_settings():
        inputs = to_torch(vectors, shim.device, is_train=True)
        logits = _logits(model, docs, inputs, word_spans)

    def backprop(d_logits: Floats2d) -> Any:
        if exclusive:
            _check_exclusive(d_logits)
        # scores minus targets: the gradient of the cross-entropy with respect to the logits
        with own_training_settings():
            d_all = xp2torch(d_logits, device=shim.device)
            logits.backward(gradient=take_rows(d_all, word_spans.rows))
        return backprop_tok2vec(gradients(inputs, vectors, model.ops))

    scores = _scores(model, logits, word_spans)
    return model.ops.asarray2f(cast(Any, torch2xp(scores))), backprop


def _predict(model: SpanModel, docs: list[Doc], spans: Ragged) -> Floats2d:
    """Score spans in chunks of Docs, to bound memory."""
    shim, tok2vec = _shim(model), model.get_ref("tok2vec")
    ops: Any = model.ops  # thinc's types leave out `to_numpy`
    shim.module.eval()
    n_tokens = np.array([len(doc) for doc in docs], dtype=np.int64)
    first_span = np.concatenate([[0], np.cumsum(ops.to_numpy(spans.lengths))])
    scores: list[Tensor] = []
    with torch.no_grad():
        for start, end in chunk_docs(n_tokens, CHUNK_TOKENS):
            bounds = spans.dataXd[first_span[start] : first_span[end]]
            chunk = Ragged(bounds, spans.lengths[start:end])
            word_spans = _word_spans(model, docs[start:end], chunk)
            vectors = to_torch(tok2vec.predict(docs[start:end]), shim.device, is_train=False)
            logits = _logits(model, docs[start:end], vectors, word_spans)
            scores.append(_scores(model, logits, word_spans))
    return model.ops.asarray2f(cast(Any, torch2xp(torch.cat(scores))))


def chunk_docs(lengths: np.ndarray, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Divide Docs into chunks of at most `max_tokens` tokens. A longer Doc is its own chunk.

    lengths (ndarray): Tokens of each Doc, int64 [n_docs].
    max_tokens (int): The maximum number of tokens.
    YIELDS (Tuple[int, int]): The first Doc of a chunk, and the Doc after its last one.
    """
    ends = np.cumsum(lengths)
    start = n_done = 0
    while start < len(lengths):
        end = max(start + 1, int(np.searchsorted(ends, n_done + max_tokens, side="right")))
        yield start, end
        start, n_done = end, int(ends[end - 1])


def _word_spans(model: SpanModel, docs: list[Doc], spans: Ragged) -> WordSpans:
    ops: Any = model.ops  # thinc's types leave out `to_numpy`
    return find_word_spans(docs, ops.to_numpy(spans.lengths), ops.to_numpy(spans.dataXd))


def _logits(
    model: SpanModel, docs: list[Doc], vectors: list[Tensor], word_spans: WordSpans
) -> Tensor:
    """RETURNS (Tensor): Scores before the softmax or sigmoid [n_word_spans, n_scores]."""
    shim = _shim(model)
    lengths: list[int] = []
    for doc, words in zip(docs, word_spans.words):
        lengths += sequence_lengths(sentence_numbers(doc, words))
    first = torch.from_numpy(word_spans.first).to(shim.device)
    last = torch.from_numpy(word_spans.last).to(shim.device)
    rows = torch.cat([take_rows(x, words) for x, words in zip(vectors, word_spans.words)])
    sequences = torch.tensor(lengths, dtype=torch.int64, device="cpu")
    logits: Tensor = shim.module(rows, sequences, first, last)
    return logits


def _scores(model: SpanModel, logits: Tensor, word_spans: WordSpans) -> Tensor:
    """RETURNS (Tensor): Probabilities of all spans [n_spans, n_scores]."""
    logits, exclusive = logits.detach(), model.attrs["exclusive_classes"]
    scores = logits.softmax(dim=1) if exclusive else logits.sigmoid()
    return word_spans.scores_of_all(scores, exclusive)


def _check_exclusive(d_logits: Floats2d) -> None:
    """Check that the targets of each span sum to 1 or more, as they do if "no label" has a score.

    Without a score for "no label", the targets of a span without a label are all 0. They are then
    not a probability distribution, and the cross-entropy gives no useful gradient.

    d_logits (Floats2d): Scores, which sum to 1, minus targets [n_spans, n_scores].
    RAISES (ValueError): If the targets of a span are all 0.
    """
    if len(d_logits) and float(d_logits.sum(axis=1).max()) > 0.5:
        raise ValueError(
            "Some spans have no label, and this component has no score for 'no label', which "
            "exclusive_classes = true needs. Use the factory spancat_singlelabel, which has one, "
            "or set exclusive_classes = false in the block of spacy-elmo.SpanScorer.v1 for the "
            "factory spancat."
        )


def _no_backprop(d_logits: Floats2d) -> Any:
    raise ValueError("Scores that were predicted outside of training have no backward pass.")


def _shim(model: SpanModel) -> ModuleShim[SpanNetwork]:
    return cast(ModuleShim[SpanNetwork], model.shims[0])
