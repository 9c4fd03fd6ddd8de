"""A corpus written to disk chunk by chunk.

Owns the form of the chunks and the files of a corpus. What it holds in memory grows with
the distinct words and not with the text, of which it knows no more than the chunks.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from .corpus import ARRAYS, Numbering
from .corpus_check import FORMAT, SETTINGS_FILE, WORDS_FILE


@dataclass(frozen=True)
class Chunk:
    """Some sentences of a file.

    words (List[str]): The distinct words, in order of first appearance.
    ids (ndarray): Index into `words` of each token, int64 [n_tokens].
    lengths (ndarray): Tokens in each sentence, none of them empty, int64 [n_sentences].
    documents (ndarray): Number within the file of the document that each sentence belongs
        to, ascending, int64 [n_sentences].
    """

    words: list[str]
    ids: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray

    @classmethod
    def of_sentences(cls, sentences: Sequence[list[str]], documents: Sequence[int]) -> "Chunk":
        """RETURNS (Chunk): Tokenized sentences, without the empty ones."""
        numbering = Numbering()
        ids = [number for words in sentences for number in map(numbering.__getitem__, words)]
        lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
        return cls(
            list(numbering),
            np.array(ids, dtype=np.int64),
            lengths[lengths > 0],
            np.asarray(documents, dtype=np.int64)[lengths > 0],
        )


class CorpusWriter:
    """Writes a corpus into a folder.

    folder (Path): The folder, which must be there and empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_sentences = 0
        self._numbering = Numbering()
        self._counts = np.zeros(1024, dtype=np.int64)
        with ExitStack() as stack:
            self._tokens, self._starts, self._documents = (
                stack.enter_context(_ArrayFile(folder, name))
                for name in ("tokens", "starts", "documents")
            )
            self._close = stack.pop_all().close

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._close()

    def add_file(self, chunks: Iterable[Chunk]) -> int:
        """Add the chunks of a file, which starts a new document.

        chunks (Iterable[Chunk]): The chunks.
        RETURNS (int): How many sentences there were.
        """
        before, document = self.n_sentences, -1
        for chunk in chunks:
            if not len(chunk.lengths):
                continue
            numbers = np.fromiter(map(self._numbering.__getitem__, chunk.words), dtype=np.int64)
            self._count(numbers, np.bincount(chunk.ids, minlength=len(numbers)))
            starts = self._tokens.length + np.cumsum(chunk.lengths) - chunk.lengths
            changes = np.diff(chunk.documents, prepend=document) != 0
            self._tokens.add(numbers[chunk.ids])
            self._starts.add(starts)
            self._documents.add(self.n_sentences + np.flatnonzero(changes))
            self.n_sentences += len(starts)
            document = chunk.documents[-1]
        return self.n_sentences - before

    def finish(self, key: str) -> None:
        """Write what is known at the end only, the list of sizes last.

        key (str): Fingerprint of the text and the settings.
        """
        self._starts.add(np.array([self._tokens.length]))
        self._documents.add(np.array([self.n_sentences]))
        self._close()
        words = list(self._numbering)
        with _ArrayFile(self.folder, "counts") as counts:
            counts.add(self._counts[: len(words)])
        (self.folder / WORDS_FILE).write_text(json.dumps(words), "utf8")
        names = sorted(path.name for path in self.folder.iterdir())
        settings = {
            "format": FORMAT,
            "key": key,
            "tokens": self._tokens.length,
            "sentences": self.n_sentences,
            "documents": self._documents.length - 1,
            "words": len(words),
            "sizes": {name: (self.folder / name).stat().st_size for name in names},
        }
        # torch comes with it
        from ..files.digest import write_manifest

        write_manifest(self.folder / SETTINGS_FILE, settings)

    def _count(self, numbers: np.ndarray, counts: np.ndarray) -> None:
        if len(self._numbering) > len(self._counts):
            more = np.zeros(2 * len(self._numbering), dtype=np.int64)
            more[: len(self._counts)] = self._counts
            self._counts = more
        self._counts[numbers] += counts


class _ArrayFile:
    """A .npy file of one dimension that grows."""

    def __init__(self, folder: Path, name: str) -> None:
        self.length = 0
        self._dtype = np.dtype(ARRAYS[name])
        self._file = cast(BinaryIO, (folder / f"{name}.npy").open("wb"))
        self._header()
        self._header_bytes = self._file.tell()

    def __enter__(self) -> "_ArrayFile":
        return self

    def __exit__(self, *error: Any) -> None:
        if not self._file.closed:
            self._file.seek(0)
            self._header()
            # numpy leaves room in a header for the first dimension to grow
            assert self._file.tell() == self._header_bytes
            self._file.close()

    def add(self, values: np.ndarray) -> None:
        self._file.write(values.astype(self._dtype).tobytes())
        self.length += len(values)

    def _header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header: dict[str, Any] = {"descr": descr, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
