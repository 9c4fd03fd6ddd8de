"""The words that a language model predicts.

Owns how they are counted, numbered, read and written (one word a line, as in the original
vocab.txt). It knows nothing of how a corpus is made.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..corpus.corpus import Corpus
from ..files.decoding import decode_utf8
from ..files.paths import PathLike

START, END, UNKNOWN = "<S>", "</S>", "<UNK>"
SPECIAL = (START, END, UNKNOWN)
# a line without meaning in the original format
SKIPPED = "!!!MAXTERMID"
BOM = "\ufeff"


@dataclass(eq=False)
class Vocab:
    """The words, each with its number.

    words (List[str]): The words, <S>, </S> and <UNK> among them.
    counts (Optional[ndarray]): How often each is a target in the training text, for <S>
        and </S> once per sentence, int64 [n_words]. None if they have not been counted.
    start, end, unknown (int): The numbers of <S>, </S> and <UNK>.
    """

    words: list[str]
    counts: np.ndarray | None = None
    start: int = field(init=False)
    end: int = field(init=False)
    unknown: int = field(init=False)

    def __post_init__(self) -> None:
        index = {word: number for number, word in enumerate(self.words)}
        missing = [word for word in SPECIAL if word not in index]
        if missing or len(index) != len(self.words):
            wrong = f"lacks {', '.join(missing)}" if missing else "has a word twice"
            raise ValueError(f"The vocabulary {wrong}; expected each word and {SPECIAL} once.")
        self.start, self.end, self.unknown = (index[word] for word in SPECIAL)
        # what a text spells like this is no boundary
        del index[START], index[END]
        self._index: dict[str, int] = index

    def __len__(self) -> int:
        return len(self.words)

    @property
    def key(self) -> str:
        """RETURNS (str): Fingerprint of the words and their order."""
        data = json.dumps(self.words).encode()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    @classmethod
    def count(cls, corpus: Corpus, max_size: int = 0, min_count: int = 1) -> "Vocab":
        """Take the words of a corpus, frequent ones first, of equally frequent ones the one
        that comes first in the text. What a line of vocab.txt cannot hold is left out.

        corpus (Corpus): The training text.
        max_size (int): Words at the most, <S>, </S> and <UNK> included; 0 for no limit.
        min_count (int): Words that occur less often are left out.
        RETURNS (Vocab): The vocabulary.
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
        return cls([*SPECIAL, *words[: max_size - 3 if max_size else None]]).count_on(corpus)

    def count_on(self, corpus: Corpus) -> "Vocab":
        """RETURNS (Vocab): The same words, counted on another corpus."""
        counts = np.zeros(len(self), dtype=np.int64)
        np.add.at(counts, self.ids(corpus.words), corpus.counts)
        counts[[self.start, self.end]] = corpus.n_sentences
        return Vocab(self.words, counts)

    def ids(self, words: Sequence[str]) -> np.ndarray:
        """RETURNS (ndarray): The number of each word as a target, int64 [n_words]."""
        get, unknown = self._index.get, self.unknown
        return np.array([get(word, unknown) for word in words], dtype=np.int64)

    @classmethod
    def from_file(cls, path: PathLike) -> "Vocab":
        """Read a vocabulary.

        path (Union[str, Path]): The file, with one word a line.
        RETURNS (Vocab): The vocabulary, without counts.
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
                        f"{path}, line {empty} is empty. The number of a word is that of its "
                        f"line, so remove the line if no weights were made with it."
                    )
                if word in lines:
                    raise ValueError(
                        f"{path}, line {number}: the word {word!r} is in line {lines[word]} "
                        f"already. Each word must have one line; remove one of them."
                    )
                lines[word] = number
        missing = [word for word in SPECIAL if word not in lines]
        if missing:
            raise ValueError(
                f"{path} has {len(lines)} words up to line {max(lines.values(), default=0)}, but "
                f"lacks {', '.join(missing)}. Add a line for each; capitals matter."
            )
        return cls(list(lines))

    def to_file(self, path: PathLike) -> None:
        """Write the words, one a line.

        path (Union[str, Path]): The file, replaced if it is there.
        """
        # torch comes with it
        from ..files.atomic import atomic_file

        with atomic_file(path) as temporary:
            temporary.write_bytes("".join(f"{word}\n" for word in self.words).encode("utf8"))


def _is_entry(word: str) -> bool:
    """Whether a word can be a line of vocab.txt and mean itself."""
    is_text = not any("\ud800" <= char <= "\udfff" for char in word)
    return word.split() == [word] and is_text and word not in (*SPECIAL, SKIPPED)
