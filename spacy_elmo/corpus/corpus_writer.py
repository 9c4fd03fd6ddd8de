"""Writing a corpus to disk in chunks. Memory grows with the distinct words, not with the text."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ..files.digest import write_manifest
from .corpus import ARRAYS, WordIds
from .corpus_check import FORMAT, SETTINGS_FILE, WORDS_FILE


@dataclass(frozen=True)
class Chunk:
    """Consecutive sentences of a file.

    words (list[str]): The distinct words, in order of first appearance.
    ids (ndarray): Index into `words` of each token, int64 [n_tokens].
    lengths (ndarray): Tokens in each sentence, at least one, int64 [n_sentences].
    documents (ndarray): Index within the file of the document of each sentence, ascending, int64
        [n_sentences].
    """

    words: list[str]
    ids: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray

    @classmethod
    def of_sentences(
        cls, sentences: Sequence[list[str]], documents: Sequence[int] | np.ndarray
    ) -> "Chunk":
        """Create a chunk of tokenized sentences.

        sentences (Sequence[list[str]]): The words of each sentence. Empty sentences are skipped.
        documents (Sequence[int] | ndarray): Index of the document of each sentence, ascending.
        RETURNS (Chunk): The chunk.
        """
        word_ids = WordIds()
        ids = [word_id for words in sentences for word_id in map(word_ids.__getitem__, words)]
        lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
        return cls(
            words=list(word_ids),
            ids=np.array(ids, dtype=np.int64),
            lengths=lengths[lengths > 0],
            documents=np.asarray(documents, dtype=np.int64)[lengths > 0],
        )


class CorpusWriter:
    """Write a corpus into a folder.

    folder (Path): The folder, which must exist and be empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_sentences = 0
        self._word_ids = WordIds()
        self._counts = np.zeros(1024, dtype=np.int64)
        with ExitStack() as stack:
            self._tokens = stack.enter_context(_ArrayFile(folder, "tokens"))
            self._starts = stack.enter_context(_ArrayFile(folder, "starts"))
            self._documents = stack.enter_context(_ArrayFile(folder, "documents"))
            self._close = stack.pop_all().close

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._close()

    def add_file(self, chunks: Iterable[Chunk]) -> int:
        """Add the chunks of a file. A file starts a new document.

        chunks (Iterable[Chunk]): The chunks.
        RETURNS (int): The number of sentences added.
        """
        before, document = self.n_sentences, -1
        for chunk in chunks:
            if not len(chunk.lengths):
                continue
            word_ids = np.fromiter(map(self._word_ids.__getitem__, chunk.words), dtype=np.int64)
            self._count(word_ids, np.bincount(chunk.ids, minlength=len(word_ids)))
            starts = self._tokens.length + np.cumsum(chunk.lengths) - chunk.lengths
            changes = np.diff(chunk.documents, prepend=document) != 0
            self._tokens.add(word_ids[chunk.ids])
            self._starts.add(starts)
            self._documents.add(self.n_sentences + np.flatnonzero(changes))
            self.n_sentences += len(starts)
            document = chunk.documents[-1]
        return self.n_sentences - before

    def finish(self, key: str) -> None:
        """Write the words, their counts and, as the last file, the manifest.

        key (str): Fingerprint of the text and of the settings of its tokenization.
        """
        self._starts.add(np.array([self._tokens.length]))
        self._documents.add(np.array([self.n_sentences]))
        self._close()
        words = list(self._word_ids)
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
        write_manifest(self.folder / SETTINGS_FILE, settings)

    def _count(self, word_ids: np.ndarray, counts: np.ndarray) -> None:
        if len(self._word_ids) > len(self._counts):
            larger = np.zeros(2 * len(self._word_ids), dtype=np.int64)
            larger[: len(self._counts)] = self._counts
            self._counts = larger
        self._counts[word_ids] += counts


class _ArrayFile:
    """A one-dimensional array in a .npy file, to which values can be appended."""

    def __init__(self, folder: Path, name: str) -> None:
        self.length = 0
        self._dtype = np.dtype(ARRAYS[name])
        self._file = cast(BinaryIO, (folder / f"{name}.npy").open("wb"))
        self._write_header()
        self._header_bytes = self._file.tell()

    def __enter__(self) -> "_ArrayFile":
        return self

    def __exit__(self, *error: Any) -> None:
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()
            # numpy pads a header so that the first dimension can grow
            assert self._file.tell() == self._header_bytes
            self._file.close()

    def add(self, values: np.ndarray) -> None:
        self._file.write(values.astype(self._dtype).tobytes())
        self.length += len(values)

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header: dict[str, Any] = {"descr": descr, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
