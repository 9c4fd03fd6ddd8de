"""Pieces of text to vectors, many segments at once.

Owns how pieces become one batch of the biLM and how its output is laid out: the rows
of a dataset stand together, layer after layer, as the file that is made of them has
them. All work on tokens is numpy's or torch's.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from spacy.tokens import Doc

from ..bilm.batch import WordBatch
from ..bilm.bilm import BiLM
from ..runtime.ragged import concatenated_ranges
from ..text.segments import PunctSegments, segment_docs
from ..text.tokens import Tokens
from .inputs import LINES, TEXT, Piece

ALL, TOP, AVERAGE = "all", "top", "average"
# how much output is held in memory, and how many tokens are worth running together
BATCH_BYTES = 128 * 2**20
BATCH_TOKENS = 100_000
SPACE = re.compile(r"\s")
SPACE_SIGN = "\u2423"  # an open box: stands for whitespace within a token


@dataclass
class Block:
    """The vectors of some datasets.

    lengths (ndarray): Tokens in each dataset, int64 [n].
    vectors (ndarray): float32 [rows, width]; a dataset of k tokens has k rows for
        each of its layers.
    lines (List[str]): The tokens of each dataset, space-separated.
    """

    lengths: np.ndarray
    vectors: np.ndarray
    lines: list[str]


@dataclass(frozen=True)
class Encoder:
    """A biLM and how it is run.

    layers (str): "all", "top" or "average".
    start_state, precision, batch_tokens: As for `BiLM`, the last as its max_tokens.
    """

    bilm: BiLM
    layers: str
    start_state: str
    precision: str
    batch_tokens: int

    @property
    def n_layers(self) -> int:
        """RETURNS (int): Layers in a dataset."""
        return self.bilm.options.n_reported if self.layers == ALL else 1

    @property
    def width(self) -> int:
        return self.bilm.options.width

    @property
    def tokens_at_once(self) -> int:
        """RETURNS (int): How many tokens to collect before a call."""
        token_bytes = 4 * self.bilm.options.n_reported * self.width
        return max(1, min(BATCH_TOKENS, BATCH_BYTES // token_bytes))

    def __call__(self, pieces: Sequence[Piece]) -> Block:
        """Embed pieces, all of one kind."""
        batch, lengths, rows, ids, words = _join(pieces)
        with torch.no_grad():
            layers = self.bilm(
                batch,
                start_state=self.start_state,
                precision=self.precision,
                max_tokens=self.batch_tokens,
            )
            if self.layers == TOP:
                layers = layers[-1:]
            elif self.layers == AVERAGE:
                layers = layers.mean(dim=0, keepdim=True)
        values = layers.cpu().numpy()
        where = _places(lengths, len(values))
        # zero rows for whitespace, which the biLM does not read
        vectors = np.zeros((where.size, self.width), dtype=np.float32)
        vectors[where if rows is None else where[:, rows]] = values
        return Block(lengths, vectors, _lines(words, ids, lengths))


def group_pieces(pieces: Iterable[Piece], n_tokens: int) -> Iterator[list[Piece]]:
    """YIELDS (List[Piece]): Consecutive pieces that can be run together, until they
    have so many tokens."""
    group: list[Piece] = []
    for piece in pieces:
        group.append(piece)
        if piece.ends_group or sum(p.n_tokens for p in group) >= n_tokens:
            yield group
            group = []
    if group:
        yield group


Joined = tuple[WordBatch, np.ndarray, np.ndarray | None, np.ndarray, list[str]]


def _join(pieces: Sequence[Piece]) -> Joined:
    """The words for the biLM; tokens of each dataset; rows of the words among all
    tokens (None: all); and word and distinct words of each token."""
    items = [item for piece in pieces for item in piece.items]
    kind = pieces[0].kind
    if kind == LINES:
        batch = WordBatch.from_sentences(items)
        filled = WordBatch(batch.words, batch.ids, batch.lengths[batch.lengths > 0])
        return filled, batch.lengths, None, batch.ids, batch.words
    segmented = segment_docs(items, PunctSegments())
    batch = segmented.batch
    if kind == TEXT:
        return batch, batch.lengths, None, batch.ids, batch.words
    lengths = np.array(segmented.lengths, dtype=np.int64)
    return batch, lengths, segmented.rows, *_all_tokens(items)


def _all_tokens(docs: Sequence[Doc]) -> tuple[np.ndarray, list[str]]:
    """Word and distinct words of each token of Docs, whitespace included."""
    tokens = Tokens.of(docs)
    distinct, ids = np.unique(tokens.orths, return_inverse=True)
    return ids, tokens.strings(distinct)


def _places(lengths: np.ndarray, n_layers: int) -> np.ndarray:
    """Row of each layer of each token when datasets stand one after the other,
    int64 [n_layers, n_tokens]."""
    starts = np.cumsum(lengths) - lengths
    first = concatenated_ranges(n_layers * starts, lengths)
    layers: np.ndarray = np.arange(n_layers)[:, None] * np.repeat(lengths, lengths) + first
    return layers


def _lines(words: list[str], ids: np.ndarray, lengths: np.ndarray) -> list[str]:
    shown = np.array([SPACE.sub(SPACE_SIGN, word) for word in words], dtype=object)
    names = shown[ids].tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(names[start:end]) for start, end in zip([0, *ends], ends)]
