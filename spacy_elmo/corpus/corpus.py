"""Tokenized text as arrays of word ids, memory-mapped or in memory."""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.paths import PathLike
from .corpus_check import REMEDY, WORDS_FILE, check_corpus

ARRAYS = {"tokens": np.int32, "starts": np.int64, "documents": np.int64, "counts": np.int64}


class WordIds(dict[str, int]):
    """Assign an id to each word when it is first looked up, from 0 on."""

    def __missing__(self, word: str) -> int:
        word_id = self[word] = len(self)
        return word_id


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokenized text. Create it with `open`, `from_sentences` or `open_corpus`.

    words (list[str]): The distinct words, in order of first appearance.
    counts (ndarray): Number of occurrences of each word, int64 [n_words].
    tokens (ndarray): Index into `words` of each token, int32 [n_tokens].
    starts (ndarray): Start of each sentence in `tokens`, and the number of tokens, int64
        [n_sentences + 1].
    documents (ndarray): First sentence of each document, and the number of sentences, int64
        [n_documents + 1].
    key (str): Fingerprint of the text and of the settings of its tokenization.
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
        """Number of predictions in one direction: one for each token and each sentence end."""
        return self.n_tokens + self.n_sentences

    def sentences(self) -> Iterator[list[str]]:
        """Iterate over the sentences.

        YIELDS (list[str]): The words of a sentence.
        """
        for start, end in zip(self.starts[:-1], self.starts[1:]):
            yield [self.words[token] for token in self.tokens[start:end]]

    @classmethod
    def open(cls, folder: PathLike) -> "Corpus":
        """Open a corpus that `open_corpus` wrote.

        folder (str | Path): The folder.
        RETURNS (Corpus): The corpus; `tokens` and `starts` are memory-mapped.
        RAISES (ValueError): If the folder holds no corpus, or it is damaged.
        """
        folder = Path(folder)
        key = check_corpus(folder)
        try:
            counts = np.load(folder / "counts.npy")
            documents = np.load(folder / "documents.npy")
            tokens = np.load(folder / "tokens.npy", mmap_mode="r")
            starts = np.load(folder / "starts.npy", mmap_mode="r")
            words = json.loads((folder / WORDS_FILE).read_text("utf8"))
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{folder} is damaged ({error}). {REMEDY}") from error
        return cls(
            words=words,
            counts=counts,
            tokens=tokens,
            starts=starts,
            documents=documents,
            key=key,
        )

    @classmethod
    def from_sentences(cls, documents: Iterable[Iterable[Sequence[str]]]) -> "Corpus":
        """Create a corpus in memory.

        documents (Iterable[Iterable[Sequence[str]]]): The sentences of each document, as lists of
            words. Empty sentences and documents are skipped.
        RETURNS (Corpus): The corpus.
        RAISES (ValueError): If a sentence is not a list of strings.
        """
        word_ids = WordIds()
        tokens, starts, firsts = array("i"), array("q", [0]), array("q")
        for document in documents:
            first = len(starts) - 1
            for sentence in document:
                if isinstance(sentence, str) or not all(isinstance(w, str) for w in sentence):
                    raise ValueError(
                        f"A sentence must be a list of words, but {sentence!r:.80} was found; "
                        f"documents are lists of sentences."
                    )
                tokens.extend(map(word_ids.__getitem__, sentence))
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
        words = list(word_ids)
        digest = hashlib.blake2b(json.dumps(words).encode(), digest_size=16)
        for values in arrays.values():
            digest.update(values.tobytes())
        counts = np.bincount(arrays["tokens"], minlength=len(words)).astype(np.int64)
        return cls(words=words, counts=counts, key=digest.hexdigest(), **arrays)
