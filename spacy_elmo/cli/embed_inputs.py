"""Text files and DocBins as a stream of pieces, each with the place where it ends.

Owns how inputs are found, read and divided. Where a piece ends depends on where it
starts and on the file alone, so a run that goes on from a stored place reads the very
pieces that one without a break would have read. It does not know of vectors.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import create_vocab

from ..text.pieces import PIECE_BYTES, decode, read_pieces, split_lines

TEXT, LINES, DOCS = "text", "lines", "docs"
SUFFIXES = (".txt", ".spacy")
# names of what this command itself writes
OWN_SUFFIXES = (".hdf5.tokens.txt", ".npz.tokens.txt")
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
    items: List[Any]
    n_tokens: int
    end: Position
    ends_group: bool


def find_files(inputs: Sequence[Path]) -> List[Path]:
    """RETURNS (List[Path]): The files, and for directories what is in them, sorted."""
    files: List[Path] = []
    for path in inputs:
        if path.is_dir():
            found = [p for p in sorted(path.iterdir()) if p.suffix in SUFFIXES and p.is_file()]
            found = [p for p in found if not p.name.endswith(OWN_SUFFIXES)]
            if not found:
                raise ValueError(f"The directory {path} holds no .txt or .spacy file to embed.")
            files.extend(found)
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"There is no file or directory {path} to embed.")
    return files


class Inputs:
    """The files to embed.

    files (Sequence[Path]): Text files and DocBins.
    lang (str): Language of the tokenizer and of the DocBins.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    """

    def __init__(self, files: Sequence[Path], lang: str, tokenized: bool) -> None:
        self.files = list(files)
        self.tokenized = tokenized
        self.nlp = spacy.blank(lang)
        self.sizes = [path.stat().st_size for path in self.files]
        self._n_docs: Dict[int, int] = {}

    @property
    def end(self) -> Position:
        return Position(len(self.files), 0)

    def fingerprint(self) -> List[Any]:
        """RETURNS (List[Any]): Changes when a file does, as JSON can hold it."""
        stats = [(path.resolve(), path.stat()) for path in self.files]
        return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

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
        if self.files[file].suffix == ".spacy":
            return DOCS
        return LINES if self.tokenized else TEXT

    def _piece(self, file: int, items: List[Any], offset: int, size: int) -> Piece:
        kind = self._kind(file)
        end = Position(file + 1, 0) if offset >= size else Position(file, offset)
        # Docs of different DocBins do not share a vocabulary
        last = end == self.end or (end.file != file and DOCS in (kind, self._kind(end.file)))
        return Piece(kind, items, sum(map(len, items)), end, last)

    def _read_text(self, file: int, offset: int, kind: str) -> Iterator[Piece]:
        path, size = self.files[file], self.sizes[file]
        with path.open("rb") as stream:
            stream.seek(offset)
            pieces = read_pieces(stream, lines=kind == LINES, piece_bytes=PIECE_BYTES)
            while offset < size:
                data = next(pieces, b"")
                if not data:
                    raise ValueError(f"{path} has become shorter while it was read; start again.")
                text = decode(data, first=not offset, errors="replace")
                offset += len(data)
                items = list(split_lines(text)) if kind == LINES else [self.nlp.tokenizer(text)]
                yield self._piece(file, items, offset, size)

    def _read_docs(self, file: int, start: int) -> Iterator[Piece]:
        path = self.files[file]
        # a vocabulary of its own, which goes when the file has been read
        vocab = create_vocab(self.nlp.lang, self.nlp.Defaults)
        try:
            doc_bin = DocBin().from_disk(path)
        except Exception as error:  # zlib's, msgpack's and spaCy's own kinds
            raise ValueError(
                f"{path} cannot be read as a DocBin: {error}. Write it again with "
                f"DocBin.to_disk, or embed its text as a .txt file."
            ) from error
        size = self._n_docs[file] = len(doc_bin)
        docs: List[Doc] = []
        n_tokens = 0
        for number, doc in enumerate(doc_bin.get_docs(vocab), start=1):
            if number <= start:
                continue
            docs.append(doc)
            n_tokens += len(doc)
            if n_tokens >= PIECE_TOKENS or number == size:
                yield self._piece(file, docs, number, size)
                docs, n_tokens = [], 0
