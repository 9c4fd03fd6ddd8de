"""Distinct words to token vectors, the biLM's layer 0.

Owns how characters and word tables are joined and projected, and the word cache.
It does not know of sentences: the caller gathers the vectors it needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..lstm.packing import N_BOUNDARIES
from ..runtime.devices import send
from .char_cnn import CharCNN
from .characters import ByteCharacters, Characters, LexiconCharacters, WordLexicon
from .init_weights import normal_
from .options import BYTES, BiLMOptions
from .word_cache import WordCache

CACHED_WORDS = 50_000
SPELLED_AT_ONCE = 2**16


class TokenEmbedder(nn.Module):
    """Words to vectors of width P.

    The features of a word are its row of the word table, its char-CNN output, or
    both side by side in this order; a linear layer maps them to P.

    options (BiLMOptions): The sizes.
    characters (Optional[LexiconCharacters]): The alphabet of a model that has one.
    words (Optional[WordLexicon]): The vocabulary of a model with word input.
    """

    def __init__(
        self,
        options: BiLMOptions,
        characters: LexiconCharacters | None = None,
        words: WordLexicon | None = None,
    ) -> None:
        super().__init__()
        self.characters: Characters | None = None
        self.char_cnn: CharCNN | None = None
        self.words = words
        self.word_embedding: nn.Parameter | None = None
        self.projection: nn.Linear | None = None
        self.cache = WordCache(CACHED_WORDS)
        self._boundaries: Tensor | None = None
        if options.filters:
            self.char_cnn = CharCNN(options)
            self.characters = (
                ByteCharacters(options.max_characters)
                if options.char_unit == BYTES
                else _checked("character", characters, options.n_characters)
            )
        if options.word_dim:
            self.words = _checked("word", words, options.n_words)
            self.word_embedding = nn.Parameter(
                torch.empty(options.n_words, options.word_dim, dtype=torch.float32)
            )
            nn.init.xavier_uniform_(self.word_embedding)
        if options.token_projection:
            self.projection = nn.Linear(
                options.n_features, options.projection_dim, dtype=torch.float32
            )
            normal_(self.projection.weight, std=options.n_features**-0.5)
            nn.init.zeros_(self.projection.bias)

    @property
    def frozen(self) -> bool:
        return not any(param.requires_grad for param in self.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, words: Sequence[str]) -> Tensor:
        """Vectors of words, from the cache where no gradient is wanted.

        words (Sequence[str]): The words, each once.
        RETURNS (Tensor): Vectors [n_words, P].
        """
        if torch.is_grad_enabled():
            return self._embed(words)
        return self.cache.get(words, self._embed)

    def boundaries(self) -> Tensor:
        """RETURNS (Tensor): Vectors [2, P] of the words before and after a sentence."""
        if torch.is_grad_enabled():
            return self._embed_boundaries()
        if self._boundaries is None:
            self._boundaries = self._embed_boundaries()
        return self._boundaries

    def drop_caches(self) -> None:
        """Forget the vectors that were kept: the weights have changed."""
        self.cache.clear()
        self._boundaries = None

    def spell(self, words: Sequence[str]) -> "Spelling":
        """RETURNS (Spelling): What is looked up for words, those around a sentence first."""
        chars = n_used = ids = None
        if self.characters is not None:
            parts = [self.characters.boundaries()]
            for start in range(0, len(words), SPELLED_AT_ONCE):
                parts.append(self.characters.encode(words[start : start + SPELLED_AT_ONCE]))
                # a table of all words of a large text is kept: less memory, where ids fit
                parts[-2:] = ((_small(chars), n) for chars, n in parts[-2:])
            chars, n_used = (np.concatenate(arrays) for arrays in zip(*parts))
            chars = _small(chars)
        if self.words is not None:
            ids = np.concatenate([self.words.boundaries(), self.words.encode(words)])
        return Spelling(chars, n_used, ids)

    def embed(self, spelling: "Spelling") -> Tensor:
        """RETURNS (Tensor): Vectors [n_words, P], not from the cache."""
        features: list[Tensor] = []
        if self.word_embedding is not None:
            ids = send(_tensor(spelling.ids), self.device).long()
            features.append(self.word_embedding[ids])
        if self.char_cnn is not None:
            chars, n_used = _tensor(spelling.chars), _tensor(spelling.n_used)
            features.append(self.char_cnn(send(chars, self.device).long(), n_used))
        vectors = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        return vectors if self.projection is None else self.projection(vectors)

    def _embed_boundaries(self) -> Tensor:
        return self.embed(self.spell([]))

    def _embed(self, words: Sequence[str]) -> Tensor:
        return self.embed(self.spell(words)[N_BOUNDARIES:])


@dataclass(frozen=True)
class Spelling:
    """Rows of character ids [n_words, C] with the positions used in each [n_words], and
    rows of the word table [n_words]; None where the model has no such input."""

    chars: np.ndarray | None
    n_used: np.ndarray | None
    ids: np.ndarray | None

    def __getitem__(self, rows: Any) -> "Spelling":
        parts = (self.chars, self.n_used, self.ids)
        return Spelling(*(None if part is None else part[rows] for part in parts))


def _small(ids: np.ndarray) -> np.ndarray:
    fits = ids.max(initial=0) < 2**15
    return ids.astype(np.int16 if fits else np.int32, copy=False)


def _tensor(array: np.ndarray | None) -> Tensor:
    assert array is not None
    return torch.from_numpy(array)


def _checked(kind, lexicon, n_rows):  # type: ignore[no-untyped-def]
    """The lexicon, if it is there and fits its table."""
    entries = None if lexicon is None else getattr(lexicon, f"{kind}s")
    if entries is None or len(entries) != n_rows:
        found = "none was given" if entries is None else f"the list holds {len(entries)}"
        raise ValueError(f"This biLM has a table of {n_rows} {kind}s, but {found}.")
    return lexicon
