"""Distinct words to token vectors, the biLM's layer 0.

Owns how characters and word tables are joined and projected, and the word cache.
It does not know of sentences: the caller gathers the vectors it needs.
"""

from typing import List, Optional, Sequence

import torch
from torch import Tensor, nn

from .char_cnn import CharCNN
from .characters import ByteCharacters, Characters, LexiconCharacters, WordLexicon
from .options import BYTES, BiLMOptions
from .word_cache import WordCache

CACHED_WORDS = 50_000


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
        characters: Optional[LexiconCharacters] = None,
        words: Optional[WordLexicon] = None,
    ) -> None:
        super().__init__()
        self.characters: Optional[Characters] = None
        self.char_cnn: Optional[CharCNN] = None
        self.words = words
        self.word_embedding: Optional[nn.Parameter] = None
        self.projection: Optional[nn.Linear] = None
        self.cache = WordCache(CACHED_WORDS)
        self._boundaries: Optional[Tensor] = None
        if options.filters:
            self.char_cnn = CharCNN(options)
            self.characters = (
                ByteCharacters(options.max_characters)
                if options.char_unit == BYTES
                else _checked("character", characters, options.n_characters)
            )
        if options.word_dim:
            self.words = _checked("word", words, options.n_words)
            self.word_embedding = nn.Parameter(torch.empty(options.n_words, options.word_dim))
            nn.init.xavier_uniform_(self.word_embedding)
        if options.token_projection:
            self.projection = nn.Linear(options.n_features, options.projection_dim)
            nn.init.normal_(self.projection.weight, std=options.n_features**-0.5)
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

    def _embed_boundaries(self) -> Tensor:
        chars = self.characters.boundaries() if self.characters is not None else None
        return self._project(chars, self.words.boundaries() if self.words is not None else None)

    def _embed(self, words: Sequence[str]) -> Tensor:
        chars = self.characters.encode(words) if self.characters is not None else None
        return self._project(chars, self.words.encode(words) if self.words is not None else None)

    def _project(self, chars, word_ids) -> Tensor:  # type: ignore[no-untyped-def]
        features: List[Tensor] = []
        if self.word_embedding is not None:
            features.append(self.word_embedding[torch.from_numpy(word_ids).to(self.device)])
        if self.char_cnn is not None:
            ids, n_used = (torch.from_numpy(array) for array in chars)
            features.append(self.char_cnn(ids.to(self.device), n_used))
        vectors = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        return vectors if self.projection is None else self.projection(vectors)


def _checked(kind, lexicon, n_rows):  # type: ignore[no-untyped-def]
    """The lexicon, if it is there and fits its table."""
    entries = None if lexicon is None else getattr(lexicon, f"{kind}s")
    if entries is None or len(entries) != n_rows:
        found = "none was given" if entries is None else f"the list holds {len(entries)}"
        raise ValueError(f"This biLM has a table of {n_rows} {kind}s, but {found}.")
    return lexicon
