"""A cache of tokenized text: files are tokenized once, and opened from the cache afterwards.

The key of a corpus is a digest of the files and of the settings.
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

from ..files.atomic import atomic_directory, remove_leftover, target_of
from ..files.lock import locked
from ..files.paths import PathLike
from ..files.progress import ProgressBar
from ..files.streams import Digest
from .corpus import Corpus
from .corpus_check import FORMAT
from .corpus_writer import CorpusWriter
from .documents import FILE
from .readers import LINES, TextReader, TextSettings, find_texts

# version of the tokenization: increase it after a change to this module, the segments or the chunks
# of the readers by which the same files and settings give other sentences
RULES = 1
LOCK = ".lock"
# names of the folders in a cache
KEY = re.compile("[0-9a-f]{32}")


class NoText(ValueError):
    """The files contain no words."""


def open_corpus(
    patterns: PathLike | Sequence[PathLike],
    settings: TextSettings,
    cache: PathLike,
    progress: bool = True,
    outputs: Sequence[PathLike] = (),
) -> Corpus:
    """Tokenize files, or open the corpus of the same files and settings from the cache.

    patterns (str | Path | Sequence[str | Path]): Files, directories, or patterns such as
        "books/**/*.txt".
    settings (TextSettings): How files are split into sentences and words.
    cache (str | Path): The folder of the cache; created if it does not exist.
    progress (bool): Whether to show a progress bar.
    outputs (Sequence[str | Path]): Files and directories that the caller writes, which are not
        read as text.
    RETURNS (Corpus): The corpus.
    RAISES (NoText): If no file contains a word.
    RAISES (ValueError): If no file is found, or a file cannot be read or changes while it is read.
    """
    reader = TextReader(settings)
    paths = find_texts(patterns, outputs)
    stamps = [_stamp(path) for path in paths]
    key = _key(paths, reader)
    folder = Path(cache) / key
    corpus = _open_cached(folder)
    if corpus is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # wait for another process that may be tokenizing the same files
        with locked(folder.with_name(LOCK), wait=True):
            corpus = _open_cached(folder)
            if corpus is None:
                _remove_leftovers(folder.parent)
                _tokenize(folder, key, paths, reader, stamps=stamps, progress=progress)
                corpus = Corpus.open(folder)
    return corpus


def _open_cached(folder: Path) -> Corpus | None:
    """Return the corpus in a folder of the cache; None if there is none or it is damaged."""
    if folder.exists():
        try:
            return Corpus.open(folder)
        except ValueError as error:
            warnings.warn(
                f"Retokenizing the text, as the cached corpus is damaged. {error}", stacklevel=3
            )
    return None


def _remove_leftovers(cache: Path) -> None:
    """Remove the hidden folders of killed processes from the cache, for all corpora."""
    for path in cache.iterdir():
        original = target_of(path)
        if original is not None and KEY.fullmatch(original.name):
            remove_leftover(path)


def _tokenize(
    folder: Path,
    key: str,
    paths: list[Path],
    reader: TextReader,
    *,
    stamps: list[tuple[int, int]],
    progress: bool,
) -> None:
    """Tokenize files into a folder, atomically."""
    with atomic_directory(folder) as temporary, CorpusWriter(temporary) as writer:
        digest = _digest_of_settings(paths, reader)
        _add_files(paths, reader, writer, digest, progress=progress)
        for path, stamp in zip(paths, stamps):
            if _stamp(path) != stamp:
                raise ValueError(f"{path} changed while it was read. Run the command again.")
        if digest.hexdigest() != key:
            raise ValueError(f"{_names(paths)} changed while it was read. Run the command again.")
        if not writer.n_sentences:
            raise NoText(f"There is no text in {_names(paths)}: expected at least one word.")
        writer.finish(key)


def _add_files(
    paths: list[Path], reader: TextReader, writer: CorpusWriter, digest: Digest, *, progress: bool
) -> None:
    """Tokenize files, and update a digest in the same way as `_key`."""
    total = sum(path.stat().st_size for path in paths)
    with ProgressBar(
        total=total, unit="B", unit_scale=True, desc="Tokenizing text", disable=not progress
    ) as bar:
        for path in paths:
            digest.update(_header(path, reader))
            if not writer.add_file(reader.chunks(path, bar.update, digest)):
                warnings.warn(f"{path} holds no words and is left out.", stacklevel=3)
        bar.complete()


def _key(paths: list[Path], reader: TextReader) -> str:
    """Return a digest of everything that the corpus depends on: content, formats and settings. The
    names and folders of the files have no effect."""
    digest = _digest_of_settings(paths, reader)
    for path in paths:
        digest.update(_header(path, reader))
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest.hexdigest()


def _digest_of_settings(paths: list[Path], reader: TextReader) -> "hashlib.blake2b":
    settings: dict[str, Any] = {"format": FORMAT, "rules": RULES, **asdict(reader.settings)}
    if settings["document"] == FILE:  # as before there was a choice
        del settings["document"]
    if any(reader.kind(path) != LINES for path in paths):
        settings["spacy"] = _spacy_version()
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)


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
