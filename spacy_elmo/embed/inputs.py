"""Reading text files and DocBins in chunks, starting at any end of a chunk.

The end of a chunk depends only on its start and on the file. A run that resumes at a stored
position therefore reads the same chunks as a run without an interruption. All files are read once
beforehand. Files that are not text are then refused before anything is embedded, and changes to a
file while it is read are detected.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import create_vocab

from ..files.chunks import CHUNK_BYTES
from ..files.decoding import split_lines
from ..files.finding import plain_name
from ..files.reading import Scan, new_digest, read_text, scan_file
from ..files.streams import open_bytes

TEXT, LINES, DOCS = "text", "lines", "docs"
SUFFIXES = (".txt", ".spacy")
# other formats that spacy-elmo reads or writes
OTHERS = (".jsonl", ".jsonlines", ".conll", "_conll", ".conllu", ".hdf5", ".h5", ".npz")
CHUNK_TOKENS = 10_000


class Position(NamedTuple):
    """A position in the inputs.

    file (int): Index of the file.
    offset (int): Byte in a decompressed text file, or Doc in a DocBin.
    """

    file: int
    offset: int


@dataclass
class Chunk:
    """A section of an input file.

    kind (str): "text" for one Doc of running text, "docs" for the Docs of a DocBin, "lines" for
        lists of tokens.
    items (List[Any]): The Docs or lists.
    n_tokens (int): Number of tokens in all items.
    end (Position): Where the next chunk starts.
    ends_group (bool): Whether the next chunk cannot be embedded together with this one.
    """

    kind: str
    items: list[Any]
    n_tokens: int
    end: Position
    ends_group: bool


class InputChanged(ValueError):
    """An input file has changed while it was read.

    file (int): Index of the file among the inputs.
    path (Path): Path of the file.
    """

    def __init__(self, file: int, path: Path) -> None:
        super().__init__(f"{path} has changed while it was read. Repeat the command.")
        self.file = file


class Inputs:
    """The files to embed. They are read once when this object is created.

    files (Sequence[Path]): Text files and DocBins.
    lang (str): Language of the tokenizer and of the DocBins.
    tokenized (bool): Whether each line of a text file is a whitespace-tokenized sentence.
    start (Position): The first position that will be read.
    RAISES (ValueError): If a file is not UTF-8 text and its name does not end in .spacy.
    """

    def __init__(
        self,
        files: Sequence[Path],
        lang: str,
        tokenized: bool,
        start: Position = Position(0, 0),  # noqa: B008
    ) -> None:
        self.files = list(files)
        self.tokenized = tokenized
        for path in self.files:
            if plain_name(path).endswith(OTHERS):
                raise ValueError(
                    f"{path} is not a text file or a .spacy file, according to its suffix. Give "
                    f"its text as a .txt file, or its Docs as a .spacy file."
                )
        self.nlp = spacy.blank(lang)
        self._stamps = [_stamp(path) for path in self.files]
        self._scans = [self._scan(file, start) for file in range(len(self.files))]
        self.sizes = [scan.size for scan in self._scans]
        self._n_docs: dict[int, int] = {}

    def _scan(self, file: int, start: Position) -> Scan:
        is_text = self._kind(file) != DOCS
        offset = start.offset if file == start.file and is_text else 0
        return scan_file(self.files[file], is_text=is_text, start=offset)

    @property
    def end(self) -> Position:
        return Position(len(self.files), 0)

    def fingerprint(self) -> list[Any]:
        """Return a JSON-serializable value that changes with the content of any file."""
        return [[self._kind(file), scan.digest] for file, scan in enumerate(self._scans)]

    def check_unchanged(self, start: Position, end: Position) -> None:
        """Check that the files between two positions have not changed since they were scanned.

        RAISES (InputChanged): If the size or the modification time of a file has changed.
        """
        for file in range(start.file, min(end.file + 1, len(self.files))):
            if _stamp(self.files[file]) != self._stamps[file]:
                raise InputChanged(file, self.files[file])

    def bytes_before(self, position: Position) -> int:
        """Return the approximate number of bytes before a position."""
        done = sum(self.sizes[: position.file])
        if position.file in self._n_docs:
            return done + self.sizes[position.file] * position.offset // self._n_docs[position.file]
        if position == self.end or self._kind(position.file) == DOCS:
            return done
        return done + position.offset

    @contextmanager
    def memory_zone(self) -> Iterator[None]:
        """Free the vocabulary entries and Docs that the block creates, when the block ends."""
        with self.nlp.memory_zone():
            yield

    def chunks(self, start: Position) -> Iterator[Chunk]:
        """Read the inputs, starting at a position.

        start (Position): Where to start.
        YIELDS (Chunk): The chunks in order.
        RAISES (InputChanged): If a file has changed since it was scanned.
        RAISES (ValueError): If a .spacy file is not a DocBin.
        """
        for file in range(start.file, len(self.files)):
            offset = start.offset if file == start.file else 0
            kind = self._kind(file)
            if kind == DOCS:
                yield from self._read_docs(file, offset)
            else:
                yield from self._read_text(file, offset, kind)

    def _kind(self, file: int) -> str:
        if plain_name(self.files[file]).endswith(".spacy"):
            return DOCS
        return LINES if self.tokenized else TEXT

    def _chunk(self, file: int, items: list[Any], offset: int, size: int) -> Chunk:
        kind = self._kind(file)
        end = Position(file + 1, 0) if offset >= size else Position(file, offset)
        # Docs of different DocBins do not share a vocabulary
        last = end == self.end or (end.file != file and DOCS in (kind, self._kind(end.file)))
        return Chunk(kind, items, n_tokens=sum(map(len, items)), end=end, ends_group=last)

    def _read_text(self, file: int, offset: int, kind: str) -> Iterator[Chunk]:
        path, size = self.files[file], self.sizes[file]
        digest = new_digest()
        with open_bytes(path) as stream:
            _skip(stream, offset)
            is_lines = kind == LINES
            chunks = read_text(stream, path, lines=is_lines, offset=offset, chunk_bytes=CHUNK_BYTES)
            while offset < size:
                data, text = next(chunks, (b"", ""))
                digest.update(data)
                offset += len(data)
                if not data or (offset >= size and digest.hexdigest() != self._scans[file].rest):
                    raise InputChanged(file, path)
                items = list(split_lines(text)) if is_lines else [self.nlp.tokenizer(text)]
                yield self._chunk(file, items, offset, size)

    def _read_docs(self, file: int, start: int) -> Iterator[Chunk]:
        path = self.files[file]
        # a separate vocabulary, which is freed after the file
        vocab = create_vocab(self.nlp.lang, self.nlp.Defaults)
        with open_bytes(path) as stream:
            data = stream.read()
        digest = new_digest()
        digest.update(data)
        if digest.hexdigest() != self._scans[file].digest:
            raise InputChanged(file, path)
        try:
            doc_bin = DocBin().from_bytes(data)
        except Exception as error:  # raised by zlib, msgpack or spaCy
            raise ValueError(
                f"{path} cannot be read as a DocBin: {error}. Write it again with "
                f"DocBin.to_disk, or embed its text as a .txt file."
            ) from error
        del data
        size = self._n_docs[file] = len(doc_bin)
        docs: list[Doc] = []
        n_tokens = 0
        for number, doc in enumerate(doc_bin.get_docs(vocab), start=1):
            if number <= start:
                continue
            docs.append(doc)
            n_tokens += len(doc)
            if n_tokens >= CHUNK_TOKENS or number == size:
                yield self._chunk(file, docs, number, size)
                docs, n_tokens = [], 0


def _stamp(path: Path) -> tuple[int, int]:
    """Return the size and the modification time of a file."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _skip(stream: BinaryIO, n_bytes: int) -> None:
    """Move a stream from its start to an offset."""
    if stream.seekable():
        stream.seek(n_bytes)
        return
    while n_bytes and (data := stream.read(min(n_bytes, 1 << 20))):
        n_bytes -= len(data)
