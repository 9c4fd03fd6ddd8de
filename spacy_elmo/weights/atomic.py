"""Files and directories that appear whole or not at all.

What is written goes to a neighbour with a temporary name, which is renamed when the
block ends well and removed when it does not.
"""

import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

PathLike = Union[str, Path]
PART, OLD = ".part", ".old"


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Give a temporary path to write to; it replaces `path` when the block ends.

    path (Union[str, Path]): The file to write; its folder must exist.
    YIELDS (Path): Where to write.
    """
    path = Path(path)
    temporary = _temporary(path)
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(mode)  # a writer may have replaced the file by one of its own
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: PathLike) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of `path` when the block ends.

    path (Union[str, Path]): The folder to write; its parent must exist. A folder
        that is there already is replaced: two renames, and a crash between them leaves
        the old and the new one, both whole, beside `path` under names that begin with a
        dot.
    YIELDS (Path): The folder to fill.
    """
    path = Path(path)
    temporary = _temporary(path)
    temporary.mkdir()
    mode = temporary.stat().st_mode & 0o666  # what the umask leaves of it
    old = temporary.with_suffix(OLD)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
                file.chmod(mode)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(old, ignore_errors=True)


def meant_for(path: Path) -> Optional[Path]:
    """RETURNS (Optional[Path]): What was being written or replaced, if a path is the temporary
    neighbour that a killed process left of it."""
    if not path.name.startswith(".") or path.suffix not in (PART, OLD):
        return None
    return path.with_name(path.name[1:].rsplit(".", 2)[0])


def clean_up(path: Path) -> None:
    """Remove what `meant_for` tells, or put it back where it was about to be replaced."""
    original = meant_for(path)
    if path.suffix == OLD and original is not None and not original.exists():
        os.replace(path, original)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _temporary(path: Path) -> Path:
    """RETURNS (Path): A new name next to a path. What is created there gets the permissions that
    the process's umask leaves, which cannot be read without changing it for all threads."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
