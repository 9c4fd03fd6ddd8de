"""The vocabulary of a language model: counted on a corpus, or read from a `vocab.txt`.

The file has one word per line, as in the original implementation.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..corpus.corpus import Corpus
from ..files.atomic import atomic_file
from ..files.decoding import decode_utf8
from ..files.paths import PathLike

START, END, UNKNOWN = "<S>", "</S>", "<UNK>"
SPECIAL = (START, END, UNKNOWN)
# a line that the original format ignores
SKIPPED = "!!!MAXTERMID"
BOM = "\ufeff"


@dataclass(eq=False)
class Vocab:
    """The words that are predicted. The class of a word is its index.

    words (list[str]): The words, including <S>, </S> and <UNK>.
    counts (ndarray | None): How often each word is a target in the training text, int64 [n_words];
        <S> and </S> are targets once per sentence. None if the words were not counted.
    start, end, unknown (int): The classes of <S>, </S> and <UNK>.
    RAISES (ValueError): If <S>, </S> or <UNK> is missing, or a word occurs twice.
    """

    words: list[str]
    counts: np.ndarray | None = None
    start: int = field(init=False)
    end: int = field(init=False)
    unknown: int = field(init=False)

    def __post_init__(self) -> None:
        index = {word: i for i, word in enumerate(self.words)}
        missing = [word for word in SPECIAL if word not in index]
        if missing or len(index) != len(self.words):
            wrong = f"lacks {', '.join(missing)}" if missing else "has a word twice"
            raise ValueError(f"The vocabulary {wrong}; expected each word and {SPECIAL} once.")
        self.start, self.end, self.unknown = index[START], index[END], index[UNKNOWN]
        # a token of the text that is spelled like a boundary word is not a boundary
        del index[START], index[END]
        self._index: dict[str, int] = index

    def __len__(self) -> int:
        return len(self.words)

    @property
    def key(self) -> str:
        """A fingerprint of the words and their order."""
        data = json.dumps(self.words).encode()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    @classmethod
    def count(cls, corpus: Corpus, max_size: int = 0, min_count: int = 1) -> "Vocab":
        """Create a vocabulary of the words of a corpus, sorted by descending frequency.

        Words of equal frequency are sorted by their first appearance. Words that cannot be a line
        of `vocab.txt` are skipped.

        corpus (Corpus): The training text.
        max_size (int): Maximum number of words, including <S>, </S> and <UNK>; 0 for no limit.
        min_count (int): Minimum number of occurrences of a word.
        RETURNS (Vocab): The vocabulary, with counts.
        RAISES (ValueError): If a setting is out of range, or no word is frequent enough.
        """
        if max_size and max_size <= len(SPECIAL):
            raise ValueError(
                f"'max_size' of a vocabulary is {max_size}; it must be at least 4, since <S>, "
                f"</S> and <UNK> are included, or 0 for no limit."
            )
        if min_count < 1:
            raise ValueError(f"'min_count' of a vocabulary is {min_count}; it must be at least 1.")
        order = np.argsort(-corpus.counts, kind="stable")
        frequent = order[corpus.counts[order] >= min_count]
        words = [word for word in (corpus.words[i] for i in frequent) if _is_entry(word)]
        if not words:
            raise ValueError(
                f"No word of the text occurs {min_count} times, so the vocabulary would be "
                f"empty. Lower 'min_count', or give more text."
            )
        max_words = max_size - len(SPECIAL) if max_size else None
        return cls([*SPECIAL, *words[:max_words]]).count_on(corpus)

    def count_on(self, corpus: Corpus) -> "Vocab":
        """Count the same words on another corpus.

        corpus (Corpus): The text.
        RETURNS (Vocab): A vocabulary of the same words, with counts.
        """
        counts = np.zeros(len(self), dtype=np.int64)
        np.add.at(counts, self.ids(corpus.words), corpus.counts)
        counts[[self.start, self.end]] = corpus.n_sentences
        return Vocab(self.words, counts)

    def ids(self, words: Sequence[str]) -> np.ndarray:
        """Return the class of each word as a target.

        words (Sequence[str]): The words.
        RETURNS (ndarray): Classes, int64 [n_words]; `unknown` for words outside the vocabulary.
        """
        get, unknown = self._index.get, self.unknown
        return np.array([get(word, unknown) for word in words], dtype=np.int64)

    @classmethod
    def from_file(cls, path: PathLike) -> "Vocab":
        """Read a vocabulary.

        path (str | Path): The file, with one word per line.
        RETURNS (Vocab): The vocabulary, without counts.
        RAISES (ValueError): If the file is not UTF-8, has an empty line before its end or a word
            twice, or lacks <S>, </S> or <UNK>.
        """
        lines: dict[str, int] = {}
        empty = offset = 0
        with Path(path).open("rb") as file:
            for number, data in enumerate(file, start=1):
                text = decode_utf8(data, path, line=number, offset=offset)
                offset += len(data)
                word = (text.removeprefix(BOM) if number == 1 else text).strip()
                if word == SKIPPED:
                    continue
                if not word:
                    empty = empty or number
                    continue
                if empty:
                    raise ValueError(
                        f"{path}, line {empty} is empty. Each line is a class of the softmax; "
                        f"remove the line if no weights were trained with it."
                    )
                if word in lines:
                    raise ValueError(
                        f"{path}, line {number}: the word {word!r} is in line {lines[word]} "
                        f"already. Each word must have one line; remove one of the two."
                    )
                lines[word] = number
        missing = [word for word in SPECIAL if word not in lines]
        if missing:
            raise ValueError(
                f"{path} has {len(lines)} words up to line {max(lines.values(), default=0)}, but "
                f"lacks {', '.join(missing)}. Add a line for each; they are case-sensitive."
            )
        return cls(list(lines))

    def to_file(self, path: PathLike) -> None:
        """Write the words, one per line.

        path (str | Path): The file; replaced if it exists.
        """
        with atomic_file(path) as temporary:
            temporary.write_bytes("".join(f"{word}\n" for word in self.words).encode("utf8"))


def _is_entry(word: str) -> bool:
    """Return whether a word can be read back from a line of vocab.txt."""
    is_text = not any("\ud800" <= char <= "\udfff" for char in word)
    return word.split() == [word] and is_text and word not in (*SPECIAL, SKIPPED)
