"""Text files and DocBins as a stream of pieces, each with the place where it ends.

Where a piece ends depends on where it starts and on the file alone, so a run that goes on from a
stored place reads the very pieces that one without a break would have read. All files are read
once beforehand: what is not text is refused before anything is embedded, and a file that changes
while it is read is noticed.
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
# formats of this project that are neither
OTHERS = (".jsonl", ".jsonlines", ".conll", "_conll", ".conllu", ".hdf5", ".h5", ".npz")
PIECE_TOKENS = 10_000


class Position(NamedTuple):
    """A place in the inputs: bytes into a text file, or Docs into a DocBin."""

    file: int
    offset: int


@dataclass
class Piece:
    """What is read at once.

    kind (str): "text" and "docs" for Docs, "lines" for lists of tokens.
    items (List[Any]): The Docs or lists.
    n_tokens (int): Their tokens together.
    end (Position): Where the next piece starts.
    ends_group (bool): Whether the next piece cannot be run together with this one.
    """

    kind: str
    items: list[Any]
    n_tokens: int
    end: Position
    ends_group: bool


class InputChanged(ValueError):
    """A file is not what it was before it was read.

    file (int): Its number among the inputs.
    path (Path): Its path.
    """

    def __init__(self, file: int, path: Path) -> None:
        super().__init__(f"{path} has changed while it was read. Start again.")
        self.file = file


class Inputs:
    """The files to embed.

    files (Sequence[Path]): Text files and DocBins.
    lang (str): Language of the tokenizer and of the DocBins.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    start (Position): Where they will be read from.
    RAISES (ValueError): If a file is neither UTF-8 text nor named as a DocBin.
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
                    f"{path} is neither text nor a .spacy file, by its name. Give its text as a "
                    f".txt file, or its Docs as a .spacy file."
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
        """RETURNS (List[Any]): Changes when the content of a file does, as JSON can hold it."""
        return [[self._kind(file), scan.digest] for file, scan in enumerate(self._scans)]

    def check_unchanged(self, start: Position, end: Position) -> None:
        """Raise an InputChanged if a file between two positions was written to since it was
        scanned."""
        for file in range(start.file, min(end.file + 1, len(self.files))):
            if _stamp(self.files[file]) != self._stamps[file]:
                raise InputChanged(file, self.files[file])

    def bytes_before(self, position: Position) -> int:
        """RETURNS (int): About how much input lies before a position."""
        done = sum(self.sizes[: position.file])
        if position.file in self._n_docs:
            return done + self.sizes[position.file] * position.offset // self._n_docs[position.file]
        if position == self.end or self._kind(position.file) == DOCS:
            return done
        return done + position.offset

    @contextmanager
    def memory_zone(self) -> Iterator[None]:
        """Forget at the end the words of text read inside; its pieces end with it."""
        with self.nlp.memory_zone():
            yield

    def pieces(self, start: Position) -> Iterator[Piece]:
        """Read on from a position.

        start (Position): Where to start.
        YIELDS (Piece): The pieces in order.
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

    def _piece(self, file: int, items: list[Any], offset: int, size: int) -> Piece:
        kind = self._kind(file)
        end = Position(file + 1, 0) if offset >= size else Position(file, offset)
        # Docs of different DocBins do not share a vocabulary
        last = end == self.end or (end.file != file and DOCS in (kind, self._kind(end.file)))
        return Piece(kind, items, sum(map(len, items)), end, last)

    def _read_text(self, file: int, offset: int, kind: str) -> Iterator[Piece]:
        path, size = self.files[file], self.sizes[file]
        digest = new_digest()
        with open_bytes(path) as stream:
            _skip(stream, offset)
            is_lines = kind == LINES
            pieces = read_text(stream, path, lines=is_lines, offset=offset, chunk_bytes=CHUNK_BYTES)
            while offset < size:
                data, text = next(pieces, (b"", ""))
                digest.update(data)
                offset += len(data)
                if not data or (offset >= size and digest.hexdigest() != self._scans[file].rest):
                    raise InputChanged(file, path)
                items = list(split_lines(text)) if is_lines else [self.nlp.tokenizer(text)]
                yield self._piece(file, items, offset, size)

    def _read_docs(self, file: int, start: int) -> Iterator[Piece]:
        path = self.files[file]
        # a vocabulary of its own, which goes when the file has been read
        vocab = create_vocab(self.nlp.lang, self.nlp.Defaults)
        with open_bytes(path) as stream:
            data = stream.read()
        digest = new_digest()
        digest.update(data)
        if digest.hexdigest() != self._scans[file].digest:
            raise InputChanged(file, path)
        try:
            doc_bin = DocBin().from_bytes(data)
        except Exception as error:  # zlib's, msgpack's and spaCy's own kinds
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
            if n_tokens >= PIECE_TOKENS or number == size:
                yield self._piece(file, docs, number, size)
                docs, n_tokens = [], 0


def _stamp(path: Path) -> "tuple[int, int]":
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _skip(stream: BinaryIO, n_bytes: int) -> None:
    """Go to an offset of a stream that is at its start."""
    if stream.seekable():
        stream.seek(n_bytes)
        return
    while n_bytes and (data := stream.read(min(n_bytes, 1 << 20))):
        n_bytes -= len(data)
