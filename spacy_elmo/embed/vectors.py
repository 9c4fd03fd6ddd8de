"""Embedding groups of text chunks.

The chunks of a group are embedded in one call of the biLM. The rows of a dataset are consecutive,
layer after layer, as in the output file.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..bilm.batch import WordBatch
from ..bilm.bilm import BiLM
from ..runtime.ragged import concatenated_ranges
from ..text.segments import PunctSegments, segment_docs
from ..text.tokens import Tokens
from .inputs import LINES, TEXT, Chunk

ALL, TOP, AVERAGE = "all", "top", "average"
# limits of a group: larger groups take more memory without being faster
GROUP_BYTES = 128 * 2**20
GROUP_TOKENS = 100_000
SPACE = re.compile(r"\s")
SPACE_SIGN = "\u2423"  # open box, written in place of whitespace within a token


@dataclass
class EmbeddedGroup:
    """The vectors and tokens of consecutive datasets.

    lengths (ndarray): Number of tokens in each dataset, int64 [n_datasets].
    vectors (ndarray): float32 [n_rows, width]; a dataset of k tokens has k rows for each of its
        layers.
    lines (List[str]): The tokens of each dataset, separated by spaces.
    """

    lengths: np.ndarray
    vectors: np.ndarray
    lines: list[str]


@dataclass(frozen=True)
class Encoder:
    """A biLM with the settings for embedding text.

    bilm (BiLM): The biLM.
    layers (str): "all", "top" or "average".
    start_state, precision: As for `BiLM`.
    batch_tokens (int): Maximum number of tokens in a batch, as `max_tokens` for `BiLM`.
    """

    bilm: BiLM
    layers: str
    start_state: str
    precision: str
    batch_tokens: int

    @property
    def n_layers(self) -> int:
        """RETURNS (int): Number of layers in a dataset."""
        return self.bilm.options.n_reported if self.layers == ALL else 1

    @property
    def width(self) -> int:
        return self.bilm.options.width

    @property
    def group_tokens(self) -> int:
        """RETURNS (int): Number of tokens to collect for a group."""
        token_bytes = 4 * self.bilm.options.n_reported * self.width
        return max(1, min(GROUP_TOKENS, GROUP_BYTES // token_bytes))

    def __call__(self, group: Sequence[Chunk]) -> EmbeddedGroup:
        """Embed a group of chunks.

        group (Sequence[Chunk]): Chunks of the same kind.
        RETURNS (EmbeddedGroup): The vectors of their datasets.
        """
        joined = _join(group)
        lengths, rows = joined.lengths, joined.rows
        with torch.no_grad():
            layers = self.bilm(
                joined.batch,
                start_state=self.start_state,
                precision=self.precision,
                max_tokens=self.batch_tokens,
            )
            if self.layers == TOP:
                layers = layers[-1:]
            elif self.layers == AVERAGE:
                layers = layers.mean(dim=0, keepdim=True)
        values = layers.cpu().numpy()
        where = _output_rows(lengths, len(values))
        # the biLM does not read whitespace tokens; their rows are zero
        vectors = np.zeros((where.size, self.width), dtype=np.float32)
        vectors[where if rows is None else where[:, rows]] = values
        return EmbeddedGroup(lengths, vectors, _lines(joined.words, joined.ids, lengths))


def group_chunks(chunks: Iterable[Chunk], n_tokens: int) -> Iterator[list[Chunk]]:
    """Group consecutive chunks that can be embedded together.

    chunks (Iterable[Chunk]): The chunks.
    n_tokens (int): A group ends with the chunk that reaches this number of tokens.
    YIELDS (List[Chunk]): The groups in order.
    """
    group: list[Chunk] = []
    for chunk in chunks:
        group.append(chunk)
        if chunk.ends_group or sum(c.n_tokens for c in group) >= n_tokens:
            yield group
            group = []
    if group:
        yield group


class _Joined(NamedTuple):
    """The tokens of a group of chunks.

    batch (WordBatch): The words to embed.
    lengths (ndarray): Number of tokens in each dataset, int64 [n_datasets].
    rows (Optional[ndarray]): Index of each word of `batch` among all tokens, int64 [n_words]; None
        if all tokens are words.
    words (List[str]): The distinct tokens.
    ids (ndarray): Index into `words` of each token, int64 [n_tokens].
    """

    batch: WordBatch
    lengths: np.ndarray
    rows: np.ndarray | None
    words: list[str]
    ids: np.ndarray


def _join(group: Sequence[Chunk]) -> _Joined:
    items = [item for chunk in group for item in chunk.items]
    kind = group[0].kind
    if kind == LINES:
        batch = WordBatch.from_sentences(items)
        filled = WordBatch(batch.words, batch.ids, batch.lengths[batch.lengths > 0])
        return _Joined(filled, batch.lengths, None, batch.words, batch.ids)
    segmented = segment_docs(items, PunctSegments())
    batch = segmented.batch
    if kind == TEXT:
        return _Joined(batch, batch.lengths, None, batch.words, batch.ids)
    # the dataset of a Doc contains all its tokens, including whitespace
    tokens = Tokens.of(items)
    distinct, ids = np.unique(tokens.orths, return_inverse=True)
    lengths = np.array(segmented.lengths, dtype=np.int64)
    return _Joined(batch, lengths, segmented.rows, tokens.strings(distinct), ids)


def _output_rows(lengths: np.ndarray, n_layers: int) -> np.ndarray:
    """Return the row of each layer of each token in `EmbeddedGroup.vectors`, int64 [n_layers,
    n_tokens]."""
    starts = np.cumsum(lengths) - lengths
    first = concatenated_ranges(n_layers * starts, lengths)
    layers: np.ndarray = np.arange(n_layers)[:, None] * np.repeat(lengths, lengths) + first
    return layers


def _lines(words: list[str], ids: np.ndarray, lengths: np.ndarray) -> list[str]:
    shown = np.array([SPACE.sub(SPACE_SIGN, word) for word in words], dtype=object)
    names = shown[ids].tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(names[start:end]) for start, end in zip([0, *ends], ends)]
