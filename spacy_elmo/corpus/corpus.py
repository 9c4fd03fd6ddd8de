"""Tokenized text as arrays: the ids of the words, and where sentences and documents start.

Owns the form in which text is kept, on disk (memory-mapped) or in memory. It knows
nothing of where text comes from, nor of how it is used.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.paths import PathLike
from .corpus_check import REMAKE, WORDS_FILE, check_corpus

ARRAYS = {"tokens": np.int32, "starts": np.int64, "documents": np.int64, "counts": np.int64}


class Numbering(dict[str, int]):
    """Numbers words in order of first appearance, as they are looked up."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokenized text. Made by `open`, `from_sentences`, or `open_corpus`.

    words (List[str]): The distinct words, in order of first appearance.
    counts (ndarray): How often each occurs, int64 [n_words].
    tokens (ndarray): Index into `words`, sentence after sentence, int32 [n_tokens].
    starts (ndarray): Where each sentence starts in `tokens`, and where the last one ends,
        int64 [n_sentences + 1].
    documents (ndarray): First sentence of each document, and the number of sentences,
        int64 [n_documents + 1].
    key (str): Fingerprint of the text and of the settings that it was made with.
    """

    words: list[str]
    counts: np.ndarray
    tokens: np.ndarray
    starts: np.ndarray
    documents: np.ndarray
    key: str

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)

    @property
    def n_sentences(self) -> int:
        return len(self.starts) - 1

    @property
    def n_documents(self) -> int:
        return len(self.documents) - 1

    @property
    def n_positions(self) -> int:
        """RETURNS (int): What there is to predict: each token, and the end of each sentence."""
        return self.n_tokens + self.n_sentences

    def sentences(self) -> Iterator[list[str]]:
        """YIELDS (List[str]): The words of each sentence."""
        for start, end in zip(self.starts[:-1], self.starts[1:]):
            yield [self.words[token] for token in self.tokens[start:end]]

    @classmethod
    def open(cls, folder: PathLike) -> "Corpus":
        """Open what `open_corpus` has written.

        folder (Union[str, Path]): The folder.
        RETURNS (Corpus): The corpus; its tokens and starts stay on disk.
        """
        folder = Path(folder)
        key = check_corpus(folder)
        try:
            # read whole, as there are few of them, and mapped
            counts, documents = (
                np.load(folder / f"{name}.npy") for name in ("counts", "documents")
            )
            tokens, starts = (
                np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("tokens", "starts")
            )
            words = json.loads((folder / WORDS_FILE).read_text("utf8"))
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{folder} is damaged ({error}). {REMAKE}") from error
        return cls(words, counts, tokens, starts, documents, key)

    @classmethod
    def from_sentences(cls, documents: Iterable[Iterable[Sequence[str]]]) -> "Corpus":
        """Make a corpus in memory.

        documents (Iterable[Iterable[Sequence[str]]]): For each document its sentences, for
            each sentence its words. Empty ones are left out.
        RETURNS (Corpus): The corpus.
        """
        numbering = Numbering()
        tokens, starts, firsts = array("i"), array("q", [0]), array("q")
        for document in documents:
            first = len(starts) - 1
            for sentence in document:
                if isinstance(sentence, str) or not all(isinstance(w, str) for w in sentence):
                    raise ValueError(
                        f"A sentence must be a list of words, but {sentence!r:.80} was found; "
                        f"documents are lists of sentences."
                    )
                tokens.extend(map(numbering.__getitem__, sentence))
                if len(tokens) > starts[-1]:
                    starts.append(len(tokens))
            if len(starts) - 1 > first:
                firsts.append(first)
        firsts.append(len(starts) - 1)
        arrays: dict[str, np.ndarray] = {
            "tokens": np.array(tokens, dtype=np.int32),
            "starts": np.array(starts, dtype=np.int64),
            "documents": np.array(firsts, dtype=np.int64),
        }
        words = list(numbering)
        digest = hashlib.blake2b(json.dumps(words).encode(), digest_size=16)
        for values in arrays.values():
            digest.update(values.tobytes())
        counts = np.bincount(arrays["tokens"], minlength=len(words)).astype(np.int64)
        return cls(words=words, counts=counts, key=digest.hexdigest(), **arrays)
