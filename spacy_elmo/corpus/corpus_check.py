"""Whether the folder of a tokenized text is whole and as it was written.

A large folder is read once to compare it with its digests. What it looked like is kept in a
file of the folder, so that the next processes only compare sizes and times. A folder that is
copied or changed is read again.
"""

import json
import time
from pathlib import Path
from typing import Any

SETTINGS_FILE, WORDS_FILE, CHECKED_FILE = "corpus.json", "words.json", "checked.json"
FORMAT = "spacy-elmo corpus 1"
KEYS = {"format", "key", "tokens", "sentences", "documents", "words", "sizes"}
REMAKE = "Delete the folder, and it is made again from the text."
# a file that changes again this soon may have the same times
SETTLED_SECONDS = 2


def check_corpus(folder: Path) -> str:
    """Raise a ValueError unless a folder holds a corpus as it was written.

    folder (Path): The folder. If it was written without digests, only sizes are compared.
    RETURNS (str): The corpus's key.
    """
    # torch comes with it
    from ..files.digest import check_file, read_manifest

    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no corpus: it has no {SETTINGS_FILE}.")
    settings, digests = read_manifest(path, REMAKE)
    if settings.get("format") != FORMAT:
        found = settings.get("format")
        raise ValueError(f"{path} says format {found!r}, expected {FORMAT!r}. {REMAKE}")
    if settings.keys() != KEYS or not isinstance(settings["sizes"], dict):
        raise ValueError(
            f"{path} is damaged: expected the keys {', '.join(sorted(KEYS))}. {REMAKE}"
        )
    sizes = settings["sizes"]
    for name, expected in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else "no"
        if found != expected:
            raise ValueError(f"{file} has {found} bytes, expected {expected}. {REMAKE}")
    if digests is not None:
        stamps = {name: _stamp(folder / name) for name in sizes}
        if _kept(folder) != stamps:
            for name in sizes:
                check_file(folder / name, digests.get(name), REMAKE)
            _keep(folder, stamps)
    return str(settings["key"])


def _stamp(path: Path) -> list[int]:
    """What changes when a file does: it cannot be written to and keep its change time."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _kept(folder: Path) -> Any:
    try:
        return json.loads((folder / CHECKED_FILE).read_text("utf8"))
    except (OSError, ValueError, RecursionError):
        return None


def _keep(folder: Path, stamps: dict[str, list[int]]) -> None:
    from ..files.atomic import atomic_file

    newest = max(stamp[2] for stamp in stamps.values())
    if time.time_ns() - newest < SETTLED_SECONDS * 10**9:
        return
    try:
        with atomic_file(folder / CHECKED_FILE) as temporary:
            temporary.write_text(json.dumps(stamps), "utf8")
    except OSError:
        pass  # a folder that cannot be written to is read each time
