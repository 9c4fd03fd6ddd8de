"""Reading text files in chunks of sentences: running text, tokenized lines, JSONL and DocBins.

spaCy is imported only to tokenize running text and to read DocBins.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from ..files.chunks import read_chunks
from ..files.decoding import decode_text, normalize_line_ends, split_lines
from ..files.finding import find_files, plain_name
from ..files.paths import PathLike
from ..files.reading import read_text
from ..files.streams import Digest, Progress, open_bytes
from .corpus_writer import Chunk
from .documents import BLANK_LINE, FILE, DocumentRule, count_blank_lines, split_running_text

if TYPE_CHECKING:
    from .tokenizing import Tokenizer

TEXT, LINES, DOCS, RECORDS = "text", "lines", "docs", "records"
SUFFIXES = {".txt": TEXT, ".spacy": DOCS, ".jsonl": RECORDS}
# JSONL records of tokenized text in a chunk
CHUNK_RECORDS = 1000
# JSON can contain surrogates, UTF-8 cannot
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TextSettings:
    """How files are split into sentences and words.

    lang (str): Language of the spaCy tokenizer for running text.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    text_key (str): Key of the text in JSONL records. A record may have "tokens" instead: a list
        of words, which is one sentence, or a list of such lists.
    document (str): The documents of a text file, of running or tokenized text: "file" for one, or
        "blank_line" if blank lines separate documents. Each record of a JSONL file and each Doc
        of a .spacy file is a document with either.
    RAISES (ValueError): If `document` is neither.
    """

    lang: str = "en"
    tokenized: bool = False
    text_key: str = "text"
    document: DocumentRule = FILE

    def __post_init__(self) -> None:
        if self.document not in (FILE, BLANK_LINE):
            raise ValueError(
                f"'document' is {self.document!r}; it must be {FILE!r}, or {BLANK_LINE!r} if "
                f"blank lines separate documents."
            )


class _Record(NamedTuple):
    """A document of a JSONL file: running text, or tokenized sentences."""

    document: int
    text: str
    sentences: list[list[str]]
    is_text: bool


def find_texts(
    patterns: PathLike | Sequence[PathLike], outputs: Sequence[PathLike] = ()
) -> list[Path]:
    """Find text files; see `find_files`.

    patterns (str | Path | Sequence[str | Path]): Files, directories, or patterns such as
        "books/**/*.txt".
    outputs (Sequence[str | Path]): Files and directories that the caller writes, which are not
        read as text.
    RETURNS (list[Path]): The files without duplicates, sorted.
    RAISES (ValueError): If no pattern is given, or a pattern matches no file.
    """
    given = [patterns] if isinstance(patterns, (str, Path)) else patterns
    given = [pattern for pattern in given if str(pattern)]
    if not given:
        raise ValueError("No text files are named; give files, directories or patterns.")
    return sorted(find_files(given, tuple(SUFFIXES), outputs))


class TextReader:
    """Read files of all formats.

    settings (TextSettings): How files are split into sentences and words.
    """

    def __init__(self, settings: TextSettings) -> None:
        self.settings = settings

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer for the language of the settings.

        RAISES (ImportError): If spaCy cannot be imported.
        """
        try:
            from .tokenizing import Tokenizer
        except ImportError as error:
            raise ImportError(
                f"Running text and .spacy files are read with spaCy, which cannot be imported "
                f"here ({error}). Install it, or give text with one tokenized sentence per line."
            ) from error
        return Tokenizer(self.settings.lang)

    def kind(self, path: Path) -> str:
        """Return the format of a file by its suffix; an unknown suffix means text."""
        kind = SUFFIXES.get(Path(plain_name(path)).suffix, TEXT)
        return LINES if kind == TEXT and self.settings.tokenized else kind

    def chunks(
        self, path: Path, progress: Progress, digest: Digest | None = None
    ) -> Iterator[Chunk]:
        """Read a file in chunks.

        path (Path): The file.
        progress (Callable[[int], Any]): Called with the number of bytes read since the last call.
        digest (Digest | None): Updated with these bytes.
        YIELDS (Chunk): The next sentences.
        RAISES (ValueError): If the content does not match the format, or is not UTF-8.
        RAISES (ImportError): If the format requires spaCy, and it cannot be imported.
        """
        kind = self.kind(path)
        with open_bytes(path, progress, digest) as stream:
            if kind == DOCS:
                yield from self.tokenizer.read_docs(stream, path)
            elif kind == RECORDS:
                yield from self._read_records(stream, path)
            elif kind == LINES:
                yield from self._read_lines(stream, path)
            else:
                yield from self.tokenizer.chunks(self._read_running_text(stream, path))

    def _read_lines(self, stream: BinaryIO, path: Path) -> Iterator[Chunk]:
        n_blank = 0
        for _, text in read_text(stream, path, lines=True):
            sentences = list(split_lines(text))
            documents = np.zeros(len(sentences), dtype=np.int64)
            if self.settings.document == BLANK_LINE:
                documents = count_blank_lines(sentences, n_blank)
                n_blank = documents[-1]
            yield Chunk.of_sentences(sentences, documents)

    def _read_running_text(self, stream: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
        chunks = read_text(stream, path, lines=False)
        if self.settings.document == BLANK_LINE:
            return split_running_text(chunks)
        return ((0, text) for _, text in chunks)

    def _read_records(self, stream: BinaryIO, path: Path) -> Iterator[Chunk]:
        records = _parse_records(stream, path, self.settings.text_key)
        for is_text, group in groupby(records, key=lambda record: record.is_text):
            if is_text:
                yield from self.tokenizer.chunks(
                    (record.document, normalize_line_ends(chunk.decode("utf8")))
                    for record in group
                    for chunk in read_chunks(BytesIO(record.text.encode()), lines=False)
                )
                continue
            while chunk_records := list(islice(group, CHUNK_RECORDS)):
                sentences: list[list[str]] = []
                documents: list[int] = []
                for record in chunk_records:
                    sentences += record.sentences
                    documents += [record.document] * len(record.sentences)
                yield Chunk.of_sentences(sentences, documents)


def _parse_records(stream: BinaryIO, path: Path, text_key: str) -> Iterator[_Record]:
    offset = 0
    for index, data in enumerate(stream):
        place = f"{path}, line {index + 1}"
        line = decode_text(data, path, offset)
        offset += len(data)
        try:
            if line.strip():
                yield _make_record(index, json.loads(line), text_key, place)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(
                f"{place}: this is not JSON ({error}). Each line must hold one JSON object."
            ) from error


def _make_record(index: int, record: Any, text_key: str, place: str) -> _Record:
    expected = f'expected {{"{text_key}": "some text"}} or {{"tokens": ["some", "words"]}}'
    if not isinstance(record, dict):
        raise ValueError(f"{place} holds a {type(record).__name__}; {expected}.")
    tokens, text = record.get("tokens"), record.get(text_key)
    if isinstance(tokens, list):
        sentences = tokens if all(isinstance(item, list) for item in tokens) else [tokens]
        if all(isinstance(word, str) for words in sentences for word in words):
            return _Record(index, "", [_clean(words) for words in sentences], is_text=False)
    # annotation tools write the text, and a list of objects instead of words under "tokens"
    if isinstance(text, str):
        return _Record(index, SURROGATES.sub("\ufffd", text), [], is_text=True)
    for key in (text_key, "tokens"):
        if key in record:
            found = f"a {type(record[key]).__name__} under {key!r}"
            if key == "tokens" and isinstance(tokens, list):
                found = 'a list under "tokens" with values that are not words'
            raise ValueError(f"{place} has {found}; {expected}.")
    keys = ", ".join(map(repr, record)) or "no keys"
    raise ValueError(f"{place} has {keys}; {expected}.")


def _clean(words: Sequence[str]) -> list[str]:
    return [SURROGATES.sub("\ufffd", word) for word in words if word.strip()]
