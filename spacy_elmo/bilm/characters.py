"""Words as rows of character ids or as rows of a word table.

Byte ids are 0 to 255. Other implementations add 1 to all ids and reserve 0 for padded words.
Batches are packed here, so there are no padded words and no row for them.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

BOS_CHAR, EOS_CHAR, BOW_CHAR, EOW_CHAR, PAD_CHAR = 256, 257, 258, 259, 260


class Characters(Protocol):
    """A character encoding for the char-CNN.

    max_characters (int): Positions C of a row, including the start and the end of the word.
    """

    max_characters: int

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encode words as rows of character ids.

        words (Sequence[str]): The words.
        RETURNS (Tuple[ndarray, ndarray]): Ids [n_words, C], and the positions of each word before
            the padding [n_words]; both int64.
        """

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): Like `encode`, for the two boundary words."""


class ByteCharacters:
    """UTF-8 bytes, as in the original ELMo.

    max_characters (int): Positions C of a row, including the start and the end of the word.
    """

    def __init__(self, max_characters: int) -> None:
        self.max_characters = max_characters

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encode words as rows of byte ids.

        A word is truncated to its first C - 2 bytes, possibly within a character, as in the
        training of the original models. Lone surrogates, which UTF-8 cannot encode, are skipped.

        words (Sequence[str]): The words.
        RETURNS (Tuple[ndarray, ndarray]): Ids [n_words, C], and the positions of each word before
            the padding [n_words]; both int64.
        """
        room = self.max_characters - 2
        spelled = [word.encode("utf8", "ignore")[:room] for word in words]
        flat = np.frombuffer(b"".join(spelled), dtype=np.uint8)
        return self._rows(flat, [len(word) for word in spelled])

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): Like `encode`, for the two boundary words."""
        return self._rows(np.array([BOS_CHAR, EOS_CHAR]), [1, 1])

    def _rows(self, flat: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return _rows(
            flat,
            lengths,
            room=self.max_characters - 2,
            start=BOW_CHAR,
            end=EOW_CHAR,
            pad=PAD_CHAR,
        )


class LexiconCharacters:
    """Unicode characters of a lexicon, as in ELMoForManyLangs.

    ELMoForManyLangs swaps the ids of word start and word end, also in training: `<eow>` opens a
    word and `<bow>` closes it.

    characters (Sequence[str]): The known characters in the order of their ids.
    max_characters (int): Positions C of a row, including the start and the end of the word.
    RAISES (ValueError): If a special character is missing.
    """

    SPECIAL = ("<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>")

    def __init__(self, characters: Sequence[str], max_characters: int) -> None:
        self.characters = list(characters)
        self.max_characters = max_characters
        self._ids: dict[str, int] = {char: i for i, char in enumerate(self.characters)}
        missing = [name for name in self.SPECIAL if name not in self._ids]
        if missing:
            raise ValueError(
                f"The character lexicon lacks {', '.join(missing)}. "
                f"It must contain {', '.join(self.SPECIAL)}."
            )

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encode words as rows of character ids.

        A word is truncated to its first C - 2 characters. Unknown characters become `<oov>`.

        words (Sequence[str]): The words.
        RETURNS (Tuple[ndarray, ndarray]): Ids [n_words, C], and the positions of each word before
            the padding [n_words]; both int64.
        """
        room = self.max_characters - 2
        spelled = [word[:room] for word in words]
        oov = self._ids["<oov>"]
        flat = np.array([self._ids.get(c, oov) for word in spelled for c in word], dtype=np.int64)
        return self._rows(flat, [len(word) for word in spelled])

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): Like `encode`, for the two boundary words."""
        return self._rows(np.array([self._ids["<bos>"], self._ids["<eos>"]]), [1, 1])

    def _rows(self, flat: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return _rows(
            flat,
            lengths,
            room=self.max_characters - 2,
            start=self._ids["<eow>"],
            end=self._ids["<bow>"],
            pad=self._ids["<pad>"],
        )


class WordLexicon:
    """The vocabulary of a word table.

    words (Sequence[str]): The known words in the order of their rows.
    unknown, start, end (str): The entries for unknown words and for the boundary words before and
        after a sentence.
    max_characters (int): C; longer words are looked up by their first C - 2 characters. 0 for no
        limit.
    RAISES (ValueError): If one of the three entries is missing.
    """

    def __init__(
        self, words: Sequence[str], unknown: str, start: str, end: str, max_characters: int = 0
    ) -> None:
        self.words = list(words)
        self.unknown, self.start, self.end = unknown, start, end
        self.max_characters = max_characters
        self._ids: dict[str, int] = {word: i for i, word in enumerate(self.words)}
        missing = [name for name in (unknown, start, end) if name not in self._ids]
        if missing:
            raise ValueError(
                f"The vocabulary of {len(self.words)} words lacks {', '.join(missing)}. "
                f"It must contain {start}, {end} and {unknown}."
            )

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """RETURNS (ndarray): The row of each word, int64 [n_words]."""
        room = self.max_characters - 2 if self.max_characters else None
        oov = self._ids[self.unknown]
        return np.array([self._ids.get(word[:room], oov) for word in words], dtype=np.int64)

    def boundaries(self) -> np.ndarray:
        """RETURNS (ndarray): The rows of the two boundary words, int64 [2]."""
        return np.array([self._ids[self.start], self._ids[self.end]])


def _rows(
    flat: np.ndarray, lengths: list[int], *, room: int, start: int, end: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pad words to rows of equal length.

    flat (ndarray): Ids of the characters of all words, word after word.
    lengths (List[int]): Characters of each word, at most `room`.
    room (int): Positions of a row between the start and the end of the word.
    start, end, pad (int): Ids that open a word, close it and fill the row.
    RETURNS (Tuple[ndarray, ndarray]): Ids [n_words, room + 2], and the positions of each word
        before the padding [n_words]; both int64.
    """
    n_chars = np.asarray(lengths, dtype=np.int64)
    ids = np.full((len(lengths), room + 2), pad, dtype=np.int64)
    ids[:, 0] = start
    ids[:, 1:-1][np.arange(room) < n_chars[:, None]] = flat
    ids[np.arange(len(lengths)), n_chars + 1] = end
    return ids, n_chars + 2
