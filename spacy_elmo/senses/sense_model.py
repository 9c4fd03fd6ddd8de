"""`spacy-elmo.SenseVectors.v1`, the model of `senses`: a tok2vec, and what was learned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..models.token_reader import DocChunkReader, Tok2Vec
from .context import context_vectors, segment_numbers, span_sums
from .memory import SenseMemory
from .prototypes import unit

# tokens whose vectors are held at the same time
CHUNK_TOKENS = 8192


class Chunk(NamedTuple):
    """A chunk of a Doc that ends between segments.

    doc (int): Index of the Doc.
    start, end (int): First token, and the token after the last one.
    spans (slice): The spans of the Doc that the chunk contains.
    """

    doc: int
    start: int
    end: int
    spans: slice


def build_sense_vectors_v1(tok2vec: Tok2Vec, context_weight: float = 1.0) -> Tok2Vec:
    """Construct `spacy-elmo.SenseVectors.v1`: the vector of a use of a word is its mean token
    vector, concatenated with the mean token vector of the other words of the segment. Both have
    length one. In the second mean, each word is weighted by its inverse document frequency in the
    training data; without training data, stop words have the weight 0 and other words 1.

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, for example a listener.
    context_weight (float): Length of the vector of the other words. With 0 the vector of a use is
        its mean token vector alone.
    CREATES (Model[List[Doc], List[Floats2d]]): The model. Called as a function, it returns the
        vectors of the tokens.
    RAISES (ValueError): If `context_weight` is negative.
    """
    if not context_weight >= 0:
        raise ValueError(f"context_weight is {context_weight}; it must be at least 0.")
    return Model(
        "sense_vectors",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[SenseMemory()],
        attrs={"settings": ContextSettings(float(context_weight))},
        refs={"tok2vec": tok2vec},
    )


@dataclass(frozen=True)
class ContextSettings:
    """The settings. thinc saves no attribute of this type: the config decides.

    weight (float): Length of the vector of the other words.
    """

    weight: float


def forward(
    model: Tok2Vec, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Run the tok2vec."""
    return model.get_ref("tok2vec")(docs, is_train)


def init(model: Tok2Vec, X: Any = None, Y: Any = None) -> None:
    """Initialize the tok2vec."""
    model.get_ref("tok2vec").initialize(X)


def memory_of(model: Tok2Vec) -> SenseMemory:
    """RETURNS (SenseMemory): What the model has learned."""
    return cast(SenseMemory, model.shims[0])


def span_vectors(
    model: Tok2Vec, docs: list[Doc], spans: list[np.ndarray]
) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
    """Compute the vectors of some spans. Docs are read in chunks to bound memory.

    model (Model): The model.
    docs (List[Doc]): The Docs.
    spans (List[ndarray]): Of each Doc, the first token of each span, and the token after its last
        one, ascending by start, int64 [n, 2].
    YIELDS (Tuple[List[Tuple[int, int]], ndarray]): The index of the Doc and the index of the
        span in the Doc, for each of n spans; and their vectors of length one, float32
        [n, 2 * width], or
        [n, width] without context.
    """
    read = DocChunkReader(model.get_ref("tok2vec"), docs)
    settings = cast(ContextSettings, model.attrs["settings"])
    word_weights = memory_of(model).word_weights
    ops: Any = model.ops  # thinc's types leave out `to_numpy`
    with_spans = [n for n, found in enumerate(spans) if len(found)]
    segments = dict(zip(with_spans, segment_numbers([docs[n] for n in with_spans])))
    weights = {n: word_weights.of(docs[n]) for n in with_spans}
    for chunks in _batches(segments, spans):
        vectors = read([chunk[:3] for chunk in chunks])
        lengths = [chunk.end - chunk.start for chunk in chunks]
        offsets = np.cumsum([0, *lengths])
        numbers = [
            segments[c.doc][c.start : c.end] - segments[c.doc][c.start] + n
            for c, n in zip(chunks, offsets)
        ]
        uses = [spans[c.doc][c.spans] - c.start + n for c, n in zip(chunks, offsets)]
        places = [(c.doc, n) for c in chunks for n in range(c.spans.start, c.spans.stop)]
        if places:
            tokens = np.concatenate([ops.to_numpy(array) for array in vectors])
            own_weights = np.concatenate([weights[c.doc][c.start : c.end] for c in chunks])
            yield (
                places,
                _vectors(
                    np.asarray(tokens, dtype=np.float32),
                    np.concatenate(numbers),
                    own_weights,
                    np.concatenate(uses),
                    settings.weight,
                ),
            )


def _vectors(
    tokens: np.ndarray,
    segments: np.ndarray,
    weights: np.ndarray,
    spans: np.ndarray,
    context_weight: float,
) -> np.ndarray:
    own = unit(span_sums(tokens, spans, np.ones(len(tokens), dtype=np.float32)))
    if not context_weight:
        return own
    context = unit(context_vectors(tokens, weights, segments, spans))
    return unit(np.concatenate([own, context_weight * context], axis=1))


def _batches(segments: dict[int, np.ndarray], spans: list[np.ndarray]) -> Iterator[list[Chunk]]:
    """Group the chunks of Docs that have spans in batches of about `CHUNK_TOKENS` tokens.

    segments (Dict[int, ndarray]): The segments of the tokens of each Doc that has spans.
    spans (List[ndarray]): See `span_vectors`.
    YIELDS (List[Chunk]): The chunks of a batch.
    """
    batch: list[Chunk] = []
    n_tokens = 0
    for n, numbers in segments.items():
        for start, end in _chunk_bounds(numbers, spans[n]):
            first, after = np.searchsorted(spans[n][:, 0], (start, end)).tolist()
            if batch and n_tokens + end - start > CHUNK_TOKENS:
                yield batch
                batch, n_tokens = [], 0
            batch.append(Chunk(n, start, end, slice(first, after)))
            n_tokens += end - start
    if batch:
        yield batch


def _chunk_bounds(segments: np.ndarray, spans: np.ndarray) -> Iterator[tuple[int, int]]:
    """Divide a Doc between segments, but not within a span.

    segments (ndarray): The segment of each token, int64 [n_tokens].
    spans (ndarray): First token of each span, and the token after its last one, int64 [n, 2].
    YIELDS (Tuple[int, int]): First token of a chunk, and the token after its last one. A chunk has
        at most `CHUNK_TOKENS` tokens, unless a segment is longer.
    """
    is_inside = np.zeros(len(segments) + 1, dtype=np.int64)
    np.add.at(is_inside, spans[:, 0] + 1, 1)
    np.add.at(is_inside, spans[:, 1], -1)
    is_free = np.cumsum(is_inside)[:-1] <= 0
    starts = np.flatnonzero((np.diff(segments, prepend=segments[0] - 1) != 0) & is_free).tolist()
    begin = 0
    for start, after in zip(starts[1:], [*starts[2:], len(segments)]):
        if after - begin > CHUNK_TOKENS:
            yield begin, start
            begin = start
    yield begin, len(segments)
