"""Checks of the folder of a corpus: sizes and digests of its files.

Computing the digests of a large corpus takes time. The sizes and times of checked files are
therefore stored in the folder (`checked.json`). Digests are recomputed only if a size or a time has
changed, as in a copied folder.
"""

import json
import time
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_file
from ..files.digest import check_file, read_manifest

SETTINGS_FILE, WORDS_FILE, CHECKED_FILE = "corpus.json", "words.json", "checked.json"
FORMAT = "spacy-elmo corpus 1"
KEYS = {"format", "key", "tokens", "sentences", "documents", "words", "sizes"}
REMEDY = "Delete the folder to retokenize the text."
# two changes within this time may leave the same file times
SETTLED_SECONDS = 2


def check_corpus(folder: Path) -> str:
    """Check that a folder contains a complete and unchanged corpus.

    folder (Path): The folder. If it was written without digests, only sizes are compared.
    RETURNS (str): The key of the corpus.
    RAISES (ValueError): If the folder holds no corpus, or a file is damaged or has changed.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no corpus: it has no {SETTINGS_FILE}.")
    settings, digests = read_manifest(path, REMEDY)
    if settings.get("format") != FORMAT:
        found = settings.get("format")
        raise ValueError(f"{path} has the format {found!r}, expected {FORMAT!r}. {REMEDY}")
    if settings.keys() != KEYS or not isinstance(settings["sizes"], dict):
        raise ValueError(
            f"{path} is damaged: expected the keys {', '.join(sorted(KEYS))}. {REMEDY}"
        )
    sizes = settings["sizes"]
    for name, expected in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else "no"
        if found != expected:
            raise ValueError(f"{file} has {found} bytes, expected {expected}. {REMEDY}")
    if digests is not None:
        stamps = {name: _stamp(folder / name) for name in sizes}
        if _read_checked(folder) != stamps:
            for name in sizes:
                check_file(folder / name, digests.get(name), REMEDY)
            _write_checked(folder, stamps)
    return str(settings["key"])


def _stamp(path: Path) -> list[int]:
    """Return numbers of which at least one changes when the file is written to. A program can
    restore the size and the modification time, but not the change time."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read_checked(folder: Path) -> Any:
    try:
        return json.loads((folder / CHECKED_FILE).read_text("utf8"))
    except (OSError, ValueError, RecursionError):
        return None


def _write_checked(folder: Path, stamps: dict[str, list[int]]) -> None:
    newest = max(stamp[2] for stamp in stamps.values())
    if time.time_ns() - newest < SETTLED_SECONDS * 10**9:
        return
    try:
        with atomic_file(folder / CHECKED_FILE) as temporary:
            temporary.write_text(json.dumps(stamps), "utf8")
    except OSError:
        pass  # in a read-only folder, digests are computed by each process
