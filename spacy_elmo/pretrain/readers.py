"""Files of text, found by name and read as chunks of sentences.

Owns which files are meant, which format each has, and what is said about a bad one. It
leaves running text to spaCy, which it imports only for that, and writes nothing.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from glob import glob, has_magic
from io import BytesIO
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Iterator, List, NamedTuple, Sequence, Union

from ..text.pieces import decode, read_pieces, split_lines
from .corpus import PathLike
from .corpus_writer import Chunk
from .streams import COMPRESSED, Progress, open_bytes

if TYPE_CHECKING:
    from .tokenizing import Tokenizer

TEXT, LINES, DOCS, RECORDS = "text", "lines", "docs", "records"
SUFFIXES = {".txt": TEXT, ".spacy": DOCS, ".jsonl": RECORDS}
# records of tokenized text that are numbered at once
BATCH_RECORDS = 1000
# JSON can say them, UTF-8 cannot
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TextSettings:
    """How files become sentences of words.

    lang (str): Language of the spaCy tokenizer for running text.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    text_key (str): Where a JSONL record has its text. It may have "tokens" instead: a list
        of words, which is one sentence, or a list of such lists.
    """

    lang: str = "en"
    tokenized: bool = False
    text_key: str = "text"


class _Record(NamedTuple):
    """A document: running text, or sentences of words."""

    number: int
    text: str
    sentences: List[List[str]]
    is_text: bool


def find_texts(patterns: Union[PathLike, Sequence[PathLike]]) -> List[Path]:
    """Find files.

    patterns (Sequence[Union[str, Path]]): Files, directories, or patterns such as
        "books/**/*.txt".
    RETURNS (List[Path]): The files, sorted, each once. Of a directory those that are
        directly in it and have a known suffix.
    """
    found: Dict[Path, Path] = {}
    for pattern in [patterns] if isinstance(patterns, (str, Path)) else patterns:
        if str(pattern):
            for path in sorted(_match(Path(pattern).expanduser())):
                found.setdefault(path.resolve(), path)
    if not found:
        raise ValueError("No text files are named; give files, directories or patterns.")
    return sorted(found.values())


def _match(path: Path) -> List[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        visible = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
        files = [p for p in visible if _inner_suffix(p) in SUFFIXES]
        if not files:
            known = ", ".join(SUFFIXES)
            raise ValueError(
                f"The directory {path} holds no file that ends in {known} (or these and .gz or "
                f".zst). For other names or folders in it, give a pattern such as {path}/**/*."
            )
        return files
    if not has_magic(str(path)):
        raise ValueError(f"There is no file or directory {path}.")
    matches = [Path(name) for name in glob(str(path), recursive=True)]
    files = [match for match in matches if match.is_file()]
    if not files:
        what = f"only directories; end it with {path}/*" if matches else "nothing"
        raise ValueError(f"The pattern {path} matches {what}.")
    return files


def _inner_suffix(path: Path) -> str:
    """The suffix that tells the format, without that of a compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")


class TextReader:
    """Reads files of all formats.

    settings (TextSettings): How they become sentences of words.
    """

    def __init__(self, settings: TextSettings) -> None:
        self.settings = settings

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        try:
            from .tokenizing import Tokenizer
        except ImportError as error:
            raise ImportError(
                f"Running text and .spacy files are read with spaCy, which cannot be imported "
                f"here ({error}). Install it, or give text with one tokenized sentence per line."
            ) from error
        return Tokenizer(self.settings.lang)

    def kind(self, path: Path) -> str:
        """RETURNS (str): The format of a file; an unknown suffix means text."""
        kind = SUFFIXES.get(_inner_suffix(path), TEXT)
        return LINES if kind == TEXT and self.settings.tokenized else kind

    def chunks(self, path: Path, progress: Progress) -> Iterator[Chunk]:
        """Read a file.

        path (Path): The file.
        progress (Callable[[int], Any]): Told of the bytes read.
        YIELDS (Chunk): Its sentences.
        """
        kind = self.kind(path)
        with open_bytes(path, progress) as stream:
            if kind == DOCS:
                yield from self.tokenizer.read_docs(stream, path)
            elif kind == RECORDS:
                yield from self._read_records(stream, path)
            elif kind == LINES:
                for text in _read_text(stream, path, lines=True):
                    sentences = list(split_lines(text))
                    yield Chunk.of_sentences(sentences, [0] * len(sentences))
            else:
                texts = _read_text(stream, path, lines=False)
                yield from self.tokenizer.chunks((0, text) for text in texts)

    def _read_records(self, stream: BinaryIO, path: Path) -> Iterator[Chunk]:
        records = _parse_records(stream, path, self.settings.text_key)
        for is_text, group in groupby(records, key=lambda record: record.is_text):
            if is_text:
                yield from self.tokenizer.chunks(
                    (record.number, decode(piece, first=False))
                    for record in group
                    for piece in read_pieces(BytesIO(record.text.encode()), lines=False)
                )
                continue
            # as many as there are until the next running text
            while batch := list(islice(group, BATCH_RECORDS)):
                pairs = [(record.number, words) for record in batch for words in record.sentences]
                yield Chunk.of_sentences([words for _, words in pairs], [n for n, _ in pairs])


def _read_text(stream: BinaryIO, path: Path, *, lines: bool) -> Iterator[str]:
    n_lines = 0
    for number, data in enumerate(read_pieces(stream, lines=lines)):
        try:
            text = decode(data, first=not number)
        except UnicodeDecodeError as error:
            line = n_lines + 1 + decode(error.object[: error.start], first=False).count("\n")
            raise _not_utf8(path, line, error) from error
        n_lines += text.count("\n")
        yield text


def _parse_records(stream: BinaryIO, path: Path, text_key: str) -> Iterator[_Record]:
    for number, data in enumerate(stream):
        place = f"{path}, line {number + 1}"
        try:
            line = decode(data, first=not number)
            if line.strip():
                yield _make_record(number, json.loads(line), text_key, place)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number + 1, error) from error
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(
                f"{place}: this is not JSON ({error}). Each line must hold one JSON object."
            ) from error


def _make_record(number: int, record: Any, text_key: str, place: str) -> _Record:
    expected = f'expected {{"{text_key}": "some text"}} or {{"tokens": ["some", "words"]}}'
    if not isinstance(record, dict):
        raise ValueError(f"{place} holds a {type(record).__name__}; {expected}.")
    tokens, text = record.get("tokens"), record.get(text_key)
    if isinstance(tokens, list):
        sentences = tokens if all(isinstance(item, list) for item in tokens) else [tokens]
        if all(isinstance(word, str) for words in sentences for word in words):
            return _Record(number, "", [_clean(words) for words in sentences], False)
    # annotation tools write other things than words under "tokens", beside the text
    if isinstance(text, str):
        return _Record(number, SURROGATES.sub("\ufffd", text), [], True)
    for key in (text_key, "tokens"):
        if key in record:
            found = f"a {type(record[key]).__name__} under {key!r}"
            found = 'a list of other things than words under "tokens"' if key == "tokens" else found
            raise ValueError(f"{place} has {found}; {expected}.")
    keys = ", ".join(map(repr, record)) or "no keys"
    raise ValueError(f"{place} has {keys}; {expected}.")


def _clean(words: Sequence[str]) -> List[str]:
    return [SURROGATES.sub("\ufffd", word) for word in words if word.strip()]


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> ValueError:
    found = error.object[error.start]
    return ValueError(
        f"{path}, line {line}: the byte 0x{found:02x} is not UTF-8. Convert the file, for "
        f"example with 'iconv -f latin1 -t utf8'; compressed files must end in .gz or .zst."
    )
