"""A corpus made from files the first time, and opened from a cache afterwards.

Owns the key under which it is kept and when it is made again. How files are read and how
a corpus is stored is left to others.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..files.lock import locked
from ..files.paths import PathLike
from ..files.progress import ProgressBar
from ..files.streams import Digest
from .corpus import Corpus
from .corpus_check import FORMAT
from .corpus_writer import CorpusWriter
from .readers import LINES, TextReader, TextSettings, find_texts

# To be raised when the same files and settings give other sentences than before, be it by
# a change here, in the segments or in the pieces.
RULES = 1
LOCK = ".lock"
# the names of the folders in a cache
KEY = re.compile("[0-9a-f]{32}")


def open_corpus(
    patterns: PathLike | Sequence[PathLike],
    settings: TextSettings,
    cache: PathLike,
    progress: bool = True,
    outputs: Sequence[PathLike] = (),
) -> Corpus:
    """Tokenize files, or open what was made of the same files with the same settings.

    patterns (Sequence[Union[str, Path]]): Files, directories, or patterns such as
        "books/**/*.txt".
    settings (TextSettings): How files become sentences of words.
    cache (Union[str, Path]): The folder to keep it in, under a name that follows from the
        content of the files and from the settings; made if it is not there.
    progress (bool): Whether to show how much has been read.
    outputs (Sequence[Union[str, Path]]): What else is written, and so is not text to read.
    RETURNS (Corpus): The corpus.
    """
    reader = TextReader(settings)
    paths = find_texts(patterns, outputs)
    before = [_stamp(path) for path in paths]
    key = _key(paths, reader)
    folder = Path(cache) / key
    corpus = _opened(folder)
    if corpus is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # another process that makes the same is waited for
        with locked(folder.with_name(LOCK), wait=True):
            corpus = _opened(folder) or _make(folder, key, paths, reader, before, progress)
    return corpus


def _opened(folder: Path) -> Corpus | None:
    """RETURNS (Optional[Corpus]): What the cache has there, if it is whole."""
    if folder.exists():
        try:
            return Corpus.open(folder)
        except ValueError as error:
            warnings.warn(f"A tokenized text is made again. {error}", stacklevel=3)
    return None


def _make(
    folder: Path,
    key: str,
    paths: list[Path],
    reader: TextReader,
    before: list[tuple[int, int]],
    progress: bool,
) -> Corpus:
    """Tokenize files into a folder."""
    # torch comes with it
    from ..files.atomic import atomic_directory, remove_leftover, target_of

    for path in folder.parent.iterdir():  # what killed processes left, of any text
        original = target_of(path)
        if original is not None and KEY.fullmatch(original.name):
            remove_leftover(path)
    with atomic_directory(folder) as temporary, CorpusWriter(temporary) as writer:
        digest = _digest_of_settings(paths, reader)
        _read(paths, reader, writer, digest, progress)
        for path, stamp in zip(paths, before):
            if _stamp(path) != stamp:
                raise ValueError(f"{path} has changed while it was read; start again.")
        if digest.hexdigest() != key:
            raise ValueError(f"{_names(paths)} changed while it was read; start again.")
        if not writer.n_sentences:
            raise ValueError(f"There is no text in {_names(paths)}: expected at least one word.")
        writer.finish(key)
    return Corpus.open(folder)


def _read(
    paths: list[Path], reader: TextReader, writer: CorpusWriter, digest: Digest, progress: bool
) -> None:
    """Tokenize files, and update a digest as `_key` does."""
    total = sum(path.stat().st_size for path in paths)
    with ProgressBar(
        total=total, unit="B", unit_scale=True, desc="Reading text", disable=not progress
    ) as bar:
        for path in paths:
            digest.update(_header(path, reader))
            if not writer.add_file(reader.chunks(path, bar.update, digest)):
                warnings.warn(f"{path} holds no words and is left out.", stacklevel=3)
        bar.complete()


def _key(paths: list[Path], reader: TextReader) -> str:
    """Changes with whatever the corpus depends on, and with nothing else: neither with the
    names of the files nor with where they are."""
    digest = _digest_of_settings(paths, reader)
    for path in paths:
        digest.update(_header(path, reader))
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest.hexdigest()


def _digest_of_settings(paths: list[Path], reader: TextReader) -> "hashlib.blake2b":
    made_with: dict[str, Any] = {"format": FORMAT, "rules": RULES, **asdict(reader.settings)}
    if any(reader.kind(path) != LINES for path in paths):
        made_with["spacy"] = _spacy_version()
    return hashlib.blake2b(json.dumps(made_with, sort_keys=True).encode(), digest_size=16)


def _header(path: Path, reader: TextReader) -> bytes:
    return f"{reader.kind(path)} {path.suffix} {path.stat().st_size}\n".encode()


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")


def _spacy_version() -> str:
    try:
        return version("spacy")
    except PackageNotFoundError:
        return ""


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
