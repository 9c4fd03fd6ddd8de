"""The token layer of the biLM: distinct words to vectors, by char-CNN and word table.

Each distinct word is encoded once. The caller gathers the vectors of the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.devices import send
from .char_cnn import CharCNN
from .characters import ByteCharacters, Characters, LexiconCharacters, WordLexicon
from .init_weights import normal_
from .options import BYTES, BiLMOptions
from .packed_words import N_BOUNDARIES
from .word_cache import WordCache

CACHED_WORDS = 50_000
ENCODE_CHUNK = 2**16  # words that are converted to character ids at once

Lexicon = TypeVar("Lexicon", LexiconCharacters, WordLexicon)


class TokenEmbedder(nn.Module):
    """Map words to vectors of width P.

    The features of a word are its row of the word table, its char-CNN output, or both
    concatenated in this order. A linear layer projects them to P.

    options (BiLMOptions): The sizes.
    characters (Optional[LexiconCharacters]): The character lexicon, for models that have one.
    words (Optional[WordLexicon]): The vocabulary, for models with word input.
    RAISES (ValueError): If a lexicon is missing or does not fit its table.
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
                else _check_lexicon(characters, "character", options.n_characters)
            )
        if options.word_dim:
            self.words = _check_lexicon(words, "word", options.n_words)
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
        """Return the vectors of words, through the cache if gradients are disabled.

        words (Sequence[str]): Distinct words.
        RETURNS (Tensor): Vectors [n_words, P].
        """
        if torch.is_grad_enabled():
            return self._embed(words)
        return self.cache.get(words, self._embed)

    def boundaries(self) -> Tensor:
        """RETURNS (Tensor): Vectors of the boundary words before and after a sentence [2, P]."""
        if torch.is_grad_enabled():
            return self._embed_boundaries()
        if self._boundaries is None:
            self._boundaries = self._embed_boundaries()
        return self._boundaries

    def drop_caches(self) -> None:
        """Drop the cached vectors. Call this when the weights have changed."""
        self.cache.clear()
        self._boundaries = None

    def spell(self, words: Sequence[str]) -> "Spelling":
        """Return the table rows of words.

        words (Sequence[str]): The words.
        RETURNS (Spelling): Rows of the two boundary words, then of the words.
        """
        chars = n_used = ids = None
        if self.characters is not None:
            encoded = [self.characters.boundaries()]
            for start in range(0, len(words), ENCODE_CHUNK):
                encoded.append(self.characters.encode(words[start : start + ENCODE_CHUNK]))
            # the rows of all words of a large corpus stay in memory, so small integers are used
            chars = _small(np.concatenate([_small(rows) for rows, _ in encoded]))
            n_used = np.concatenate([n for _, n in encoded])
        if self.words is not None:
            ids = np.concatenate([self.words.boundaries(), self.words.encode(words)])
        return Spelling(chars, n_used, ids)

    def embed(self, spelling: "Spelling") -> Tensor:
        """Return the vectors of words, bypassing the cache.

        spelling (Spelling): Table rows of the words.
        RETURNS (Tensor): Vectors [n_words, P].
        """
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
    """Table rows of words; None for an input that the model does not have.

    chars (Optional[ndarray]): Character ids [n_words, C].
    n_used (Optional[ndarray]): Positions of each word before the padding [n_words].
    ids (Optional[ndarray]): Rows of the word table [n_words].
    """

    chars: np.ndarray | None
    n_used: np.ndarray | None
    ids: np.ndarray | None

    def __getitem__(self, rows: Any) -> "Spelling":
        return Spelling(
            chars=None if self.chars is None else self.chars[rows],
            n_used=None if self.n_used is None else self.n_used[rows],
            ids=None if self.ids is None else self.ids[rows],
        )


def _small(ids: np.ndarray) -> np.ndarray:
    fits = ids.max(initial=0) < 2**15
    return ids.astype(np.int16 if fits else np.int32, copy=False)


def _tensor(array: np.ndarray | None) -> Tensor:
    assert array is not None
    return torch.from_numpy(array)


def _check_lexicon(lexicon: Lexicon | None, kind: str, n_rows: int) -> Lexicon:
    """Return the lexicon if it has an entry for each row of its table.

    RAISES (ValueError): If the lexicon is missing or has another size.
    """
    if lexicon is not None:
        n_entries = len(lexicon.words if isinstance(lexicon, WordLexicon) else lexicon.characters)
        if n_entries == n_rows:
            return lexicon
        found = f"the list holds {n_entries}"
    else:
        found = "no list was given"
    raise ValueError(
        f"This biLM has a table of {n_rows} {kind}s, but {found}. Give the list of {kind}s that "
        f"belongs to the weights."
    )
