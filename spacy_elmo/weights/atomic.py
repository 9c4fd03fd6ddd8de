"""Files and directories that appear whole or not at all.

What is written goes to a hidden folder next to its place, is renamed when the block ends well
and removed when it does not. A process holds a lock on its hidden folder, so that the next
one to write to the same place can remove what a killed process left. Missing parent folders are
made.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

from safetensors import SafetensorError

PathLike = Union[str, Path]
PART, OLD = ".part", ".old"
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
TOKEN = re.compile("[a-z0-9_]{8}")
# of a hidden folder's name, in bytes; file systems allow 255 and the rest needs 15
NAME_BYTES = 240


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Give a temporary path to write to; it replaces `path` when the block ends.

    path (Union[str, Path]): The file to write.
    YIELDS (Path): Where to write.
    """
    path = Path(path)
    with atomic_files(path) as (temporary,):
        yield temporary


@contextmanager
def atomic_files(*paths: Path) -> Iterator[list[Path]]:
    """Give temporary paths to write to; they replace files of one folder when the block ends.

    paths (Path): The files to write; their folder must exist. They are renamed one after the
        other in this order, and a path that was not written is left as it was.
    YIELDS (List[Path]): Where to write each of them.
    """
    paths = tuple(path.resolve() if path.is_symlink() else path for path in paths)
    with _hidden_folder(paths[-1]) as folder:
        yield [folder / path.name for path in paths]
        _sync_tree(folder)
        for path in paths:
            if (folder / path.name).exists():
                os.replace(folder / path.name, path)
        _sync(paths[-1].parent)


@contextmanager
def atomic_directory(path: PathLike) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of `path` when the block ends.

    path (Union[str, Path]): The folder to write. A folder
        that is there already is replaced: two renames, and a crash between them leaves
        the old and the new one, both whole, beside `path` under names that begin with a
        dot.
    YIELDS (Path): The folder to fill.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    with _hidden_folder(path) as temporary:
        old = temporary.with_suffix(OLD)
        try:
            yield temporary
            _sync_tree(temporary)
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            if old.exists() and not path.exists():
                os.replace(old, path)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def named_write_errors(path: Path) -> Iterator[None]:
    """Raise errors of a full disk in the block as an OSError that names the path written to."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}.") from error
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(path)
        raise


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


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """Make a hidden folder for what is to become `path`, and remove it when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_litter(path)
    name = _hidden_name(path)
    while True:
        folder = path.with_name(f".{name}.{secrets.token_hex(4)}{PART}")
        folder.mkdir()
        lock = _lock(folder)
        if folder.exists():  # not taken for litter before it was locked
            break
        _unlock(lock)
    try:
        with named_write_errors(path):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock)


def _hidden_name(path: Path) -> str:
    """RETURNS (str): The name of a path; a long one is cut, with a digest to tell it apart."""
    name = os.fsencode(path.name)
    if len(name) <= NAME_BYTES:
        return path.name
    digest = hashlib.blake2b(name, digest_size=4).hexdigest()
    return name[: NAME_BYTES - len(digest)].decode("utf8", "ignore") + digest


def _remove_litter(path: Path) -> None:
    """Remove what killed processes left that were writing to `path`."""
    name = _hidden_name(path)
    litter = [
        other
        for suffix in (PART, OLD)
        for other in path.parent.glob(f".*{suffix}")
        if meant_for(other) == path.with_name(name)
        and TOKEN.fullmatch(other.stem.rsplit(".", 1)[-1])
    ]
    for other in litter:
        if other.suffix == PART:
            lock = _lock(other)
            if lock is not None:
                clean_up(other)
            _unlock(lock)
        # of a process that still runs, the new folder is there as well
        elif not other.with_suffix(PART).exists():
            if path.exists():
                clean_up(other)
            else:
                os.replace(other, path)


def _lock(folder: Path) -> Optional[int]:
    """RETURNS (Optional[int]): The open folder, locked until it is closed or the process ends;
    None if another process holds it, or the system has no such locks."""
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        _unlock(handle)
        return None
    return handle


def _unlock(handle: Optional[int]) -> None:
    if handle is not None:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    """Bring all files of a folder to the disk, with the mode that ordinary files have."""
    # the folder was made with the process's umask, which cannot be asked for without changing
    # it for all threads; some writers make files that are readable by their owner alone
    mode = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir():
        if os.name != "posix":
            return  # folders cannot be opened there
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
