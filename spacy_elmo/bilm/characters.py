"""Words as rows of character ids, for byte models and for lexicon models.

Ids here are raw: 0-255 are bytes. Other implementations shift them by one to keep
0 for padded words; batches are packed here, no word is ever padding, and the extra
zero row of the table is not needed.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

BOS_CHAR, EOS_CHAR, BOW_CHAR, EOW_CHAR, PAD_CHAR = 256, 257, 258, 259, 260


class Characters(Protocol):
    """What the char-CNN needs to know of an alphabet."""

    max_characters: int

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]: ...

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]: ...


class ByteCharacters:
    """UTF-8 bytes, as in the original ELMo.

    max_characters (int): Positions C of a row, the word's two boundaries included.
    """

    def __init__(self, max_characters: int) -> None:
        self.max_characters = max_characters

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Spell words as rows of ids.

        The first C - 2 bytes of a word count, even where that cuts a character in
        two: models were trained so. What UTF-8 cannot encode (lone surrogates) is
        left out.

        words (Sequence[str]): The words.
        RETURNS (Tuple[ndarray, ndarray]): Ids [n_words, C] and the positions used
            by each word, its two boundaries included, [n_words]; both int64.
        """
        room = self.max_characters - 2
        spelled = [word.encode("utf8", "ignore")[:room] for word in words]
        flat = np.frombuffer(b"".join(spelled), dtype=np.uint8)
        return _rows(flat, [len(word) for word in spelled], room, BOW_CHAR, EOW_CHAR, PAD_CHAR)

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): As `encode`, for the words that stand
        before and after a sentence."""
        flat = np.array([BOS_CHAR, EOS_CHAR])
        return _rows(flat, [1, 1], self.max_characters - 2, BOW_CHAR, EOW_CHAR, PAD_CHAR)


class LexiconCharacters:
    """Unicode characters with a list of known ones, as in ELMoForManyLangs.

    That software swaps the ids of word start and word end, and its models were
    trained so: `<eow>` opens a word and `<bow>` closes it.

    characters (Sequence[str]): The known characters in the order of their ids.
    max_characters (int): Positions C of a row, the word's two boundaries included.
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
                f"It must list {', '.join(self.SPECIAL)} beside the characters."
            )

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `ByteCharacters.encode`; unknown characters become `<oov>`."""
        room = self.max_characters - 2
        spelled = [word[:room] for word in words]
        oov = self._ids["<oov>"]
        flat = np.array([self._ids.get(c, oov) for word in spelled for c in word], dtype=np.int64)
        return self._rows(flat, [len(word) for word in spelled])

    def boundaries(self) -> tuple[np.ndarray, np.ndarray]:
        """As `ByteCharacters.boundaries`."""
        return self._rows(np.array([self._ids["<bos>"], self._ids["<eos>"]]), [1, 1])

    def _rows(self, flat: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
        start, end, pad = self._ids["<eow>"], self._ids["<bow>"], self._ids["<pad>"]
        return _rows(flat, lengths, self.max_characters - 2, start, end, pad)


def _rows(
    flat: np.ndarray, lengths: list[int], room: int, start: int, end: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the characters of all words, one after the other, out as padded rows."""
    n_chars = np.asarray(lengths, dtype=np.int64)
    ids = np.full((len(lengths), room + 2), pad, dtype=np.int64)
    ids[:, 0] = start
    ids[:, 1:-1][np.arange(room) < n_chars[:, None]] = flat
    ids[np.arange(len(lengths)), n_chars + 1] = end
    return ids, n_chars + 2


class WordLexicon:
    """The words of a word table and where the special ones are.

    words (Sequence[str]): The known words in the order of their rows.
    unknown, start, end (str): The row for unknown words and those for the words
        that stand before and after a sentence.
    max_characters (int): Longer words are looked up by their first C - 2
        characters; 0 for no limit.
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
                f"A model with word input needs {start}, {end} and {unknown} in it."
            )

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """RETURNS (ndarray): The row of each word, int64 [n_words]."""
        room = self.max_characters - 2 if self.max_characters else None
        oov = self._ids[self.unknown]
        return np.array([self._ids.get(word[:room], oov) for word in words], dtype=np.int64)

    def boundaries(self) -> np.ndarray:
        """RETURNS (ndarray): The rows of the two boundary words, int64 [2]."""
        return np.array([self._ids[self.start], self._ids[self.end]])
