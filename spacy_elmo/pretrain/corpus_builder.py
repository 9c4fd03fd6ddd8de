"""A corpus made from files the first time, and opened from a cache afterwards.

Owns the key under which it is kept and when it is made again. How files are read and how
a corpus is stored is left to others.
"""

import hashlib
import json
import warnings
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from .corpus import FORMAT, Corpus, PathLike
from .corpus_writer import CorpusWriter
from .lock import locked
from .progress import ProgressBar
from .readers import LINES, TextReader, TextSettings, find_texts

# To be raised when the same files and settings give other sentences than before, be it by
# a change here, in the segments or in the pieces.
RULES = 1
LOCK = ".lock"


def open_corpus(
    patterns: Union[PathLike, Sequence[PathLike]],
    settings: TextSettings,
    cache: PathLike,
    progress: bool = True,
) -> Corpus:
    """Tokenize files, or open what was made of the same files with the same settings.

    patterns (Sequence[Union[str, Path]]): Files, directories, or patterns such as
        "books/**/*.txt".
    settings (TextSettings): How files become sentences of words.
    cache (Union[str, Path]): The folder to keep it in, under a name that follows from the
        content of the files and from the settings; made if it is not there.
    progress (bool): Whether to show how much has been read.
    RETURNS (Corpus): The corpus.
    """
    reader = TextReader(settings)
    paths = find_texts(patterns)
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


def _opened(folder: Path) -> Optional[Corpus]:
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
    paths: List[Path],
    reader: TextReader,
    before: List[Tuple[int, int]],
    progress: bool,
) -> Corpus:
    """Tokenize files into a folder."""
    # torch comes with it
    from ..weights.atomic import atomic_directory, clean_up, meant_for

    for path in folder.parent.iterdir():
        if meant_for(path) == folder:  # a killed process left it
            clean_up(path)
    with atomic_directory(folder) as temporary, CorpusWriter(temporary) as writer:
        _read(paths, reader, writer, progress)
        for path, stamp in zip(paths, before):
            if _stamp(path) != stamp:
                raise ValueError(f"{path} has changed while it was read; start again.")
        if not writer.n_sentences:
            names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
            raise ValueError(f"There is no text in {names}: expected at least one word.")
        writer.finish(key)
    return Corpus.open(folder)


def _read(paths: List[Path], reader: TextReader, writer: CorpusWriter, progress: bool) -> None:
    total = sum(path.stat().st_size for path in paths)
    with ProgressBar(
        total=total, unit="B", unit_scale=True, desc="Reading text", disable=not progress
    ) as bar:
        for path in paths:
            if not writer.add_file(reader.chunks(path, bar.update)):
                warnings.warn(f"{path} holds no words and is left out.", stacklevel=3)
        bar.complete()


def _key(paths: List[Path], reader: TextReader) -> str:
    """Changes with whatever the corpus depends on, and with nothing else: neither with the
    names of the files nor with where they are."""
    kinds = [reader.kind(path) for path in paths]
    made_with: Dict[str, Any] = {"format": FORMAT, "rules": RULES, **asdict(reader.settings)}
    if any(kind != LINES for kind in kinds):
        made_with["spacy"] = _spacy_version()
    digest = hashlib.blake2b(json.dumps(made_with, sort_keys=True).encode(), digest_size=16)
    for path, kind in zip(paths, kinds):
        digest.update(f"{kind} {path.suffix} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest.hexdigest()


def _spacy_version() -> str:
    try:
        return version("spacy")
    except PackageNotFoundError:
        return ""


def _stamp(path: Path) -> Tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
