"""Mentions as tensors, from which the scores of pairs are computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mentions:
    """K mentions in the order of the text.

    start, last (Tensor): First and last token in the Doc, int64 [K].
    score (Tensor): Score as a mention, float32 [K].
    place (Tensor): Index among all top spans of the text, int64 [K].
    count (Tensor): Number of mentions among the top spans before it, int64 [K]. Distances are
        measured in mentions, because in training the top spans include spans that are no mentions.
    whole, first_word, last_word (Tensor): Hash of the string, of its first and of its last word,
        without a leading word such as an article, int64 [K].
    speaker (Tensor): Hash of the speaker, 0 if unknown, int64 [K].
    kind (Tensor): `KIND_PRONOUN`, `KIND_OTHER` or `KIND_NAME`, int64 [K].
    pronoun (Tensor): Index of the pronoun from 1, 0 if it is none, int64 [K].
    sentence (Tensor): Number of the sentence, int64 [K].
    genre (Tensor): Index of the genre from 1, 0 if unknown, int64 [K].
    query, key (Tensor): Factors of the coarse score of a pair [K, COARSE_SIZE].
    left, right (Tensor): Terms of the hidden layer of a pair [K, hidden].
    pair (Tensor): Factors of the hidden layer of a pair [K, PAIR_SIZE].
    """

    start: Tensor
    last: Tensor
    score: Tensor
    place: Tensor
    count: Tensor
    whole: Tensor
    first_word: Tensor
    last_word: Tensor
    speaker: Tensor
    kind: Tensor
    pronoun: Tensor
    sentence: Tensor
    genre: Tensor
    query: Tensor
    key: Tensor
    left: Tensor
    right: Tensor
    pair: Tensor

    @classmethod
    def join(cls, mentions: "Sequence[Mentions]") -> "Mentions":
        """RETURNS (Mentions): The mentions of all items, concatenated."""
        return cls(
            **{
                field.name: torch.cat([getattr(item, field.name) for item in mentions])
                for field in fields(cls)
            }
        )

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: Any) -> "Mentions":
        return self._map(lambda x: x[rows])

    def take(self, rows: Tensor) -> "Mentions":
        """Select mentions.

        rows (Tensor): Indices, int64, of any shape.
        RETURNS (Mentions): Tensors whose first dimension is replaced by the shape of `rows`.
        """
        # the backward pass of index_select is far faster than the backward pass of indexing
        return self._map(
            lambda x: x.index_select(0, rows.flatten()).view(*rows.shape, *x.shape[1:])
        )

    def as_antecedents(self) -> "Mentions":
        """RETURNS (Mentions): The same mentions without `query`, `key` and `left`, which the scores
        of pairs do not need from antecedents once the matmul of queries and keys is done."""
        return replace(self, query=self.query[:, :0], key=self.key[:, :0], left=self.left[:, :0])

    def shifted(self, n_mentions: int) -> "Mentions":
        """RETURNS (Mentions): The same mentions, preceded by `n_mentions` others."""
        return replace(self, place=self.place + n_mentions, count=self.count + n_mentions)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Mentions":
        return Mentions(
            **{field.name: function(getattr(self, field.name)) for field in fields(self)}
        )
