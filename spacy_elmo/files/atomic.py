"""Writing files and directories atomically: they appear whole or not at all.

New content is written to a hidden folder next to the target. The content is renamed to the target
when the block ends without an error, and removed otherwise. A process locks its hidden folder, so
that the next process that writes to the same target can recognize and remove the folders of killed
processes. Missing parent folders are created.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .paths import PathLike

# suffixes of hidden folders: new content, and content that is being replaced
NEW, OLD = ".part", ".old"
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
TOKEN = re.compile("[a-z0-9_]{8}")
# maximum length of the target's name within a hidden name, in bytes: file systems allow 255 bytes,
# of which prefix, token and suffix take 15
NAME_BYTES = 240


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Write a file atomically.

    path (Union[str, Path]): The file to write. If `path` is a symbolic link, the target of the
        link is replaced and the link stays.
    YIELDS (Path): A temporary path to write to. It replaces `path` when the block ends.
    RAISES (OSError): If the file cannot be written, or `path` is a broken symbolic link.
    """
    path = Path(path)
    with atomic_files(path) as (temporary,):
        yield temporary


@contextmanager
def atomic_files(*paths: Path) -> Iterator[list[Path]]:
    """Write several files, each atomically.

    paths (Path): The files to write. They are replaced in this order.
    YIELDS (List[Path]): Temporary paths to write to, in the same order. They replace `paths` when
        the block ends; a path that was not written stays unchanged.
    RAISES (OSError): If a file cannot be written, or a path is a broken symbolic link.
    """
    paths = tuple(map(link_target, paths))
    folders: dict[Path, Path] = {}
    with ExitStack() as stack:
        for path in paths:
            if path.parent not in folders:
                folders[path.parent] = stack.enter_context(_hidden_folder(path))
        written = [folders[path.parent] / path.name for path in paths]
        yield written
        for folder in folders.values():
            _sync_tree(folder)
        for temporary, path in zip(written, paths):
            if temporary.exists():
                os.replace(temporary, path)
        for folder in folders:
            _sync(folder)


@contextmanager
def atomic_directory(path: PathLike) -> Iterator[Path]:
    """Write a directory atomically.

    path (Union[str, Path]): The directory to write. An existing directory is replaced by two
        renames. A crash between them leaves the old and the new directory, both whole, next to
        `path` under hidden names. If `path` is a symbolic link, the target of the link is replaced
        and the link stays.
    YIELDS (Path): A temporary folder to fill. It replaces `path` when the block ends.
    RAISES (OSError): If the directory cannot be written, or `path` is a broken symbolic link.
    """
    path = link_target(path)
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
    """Add the path to write errors that lack it: a full disk, and any SafetensorError.

    path (Path): The file or directory that is written.
    RAISES (OSError): If the block raises an OSError or a SafetensorError.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}.") from error
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(path)
        raise


def link_target(path: PathLike) -> Path:
    """Resolve symbolic links, so that a rename replaces the target and not the link.

    path (Union[str, Path]): A path, which need not exist.
    RETURNS (Path): The target of the link, or the path itself if it is not a link.
    RAISES (OSError): If the link is part of a loop, or the folder of its target does not exist.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink() or not target.parent.is_dir():
        raise OSError(
            f"{path} is a broken symbolic link to {os.readlink(path)}. Remove the link, or create "
            f"the folder of its target."
        )
    return target


def move_file(source: Path, path: Path) -> None:
    """Move a file atomically, also to another file system.

    source (Path): The file to move.
    path (Path): The new path. If `path` is a symbolic link, the target of the link is replaced.
    RAISES (OSError): If the file cannot be written, or `path` is a broken symbolic link.
    """
    target = link_target(path)
    _sync(source)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_file(target) as temporary:
            shutil.copyfile(source, temporary)
        source.unlink()


def target_of(path: Path) -> Path | None:
    """Return the target of a hidden path that a killed process has left.

    path (Path): Any path.
    RETURNS (Optional[Path]): The file or directory that was being written or replaced; None if the
        path is not the hidden path of an atomic write.
    """
    if not path.name.startswith(".") or path.suffix not in (NEW, OLD):
        return None
    return path.with_name(path.name[1:].rsplit(".", 2)[0])


def remove_leftover(path: Path) -> None:
    """Remove a hidden path that a killed process has left, or restore its target if the process
    was killed between two renames.

    path (Path): A path for which `target_of` returns a target.
    """
    target = target_of(path)
    if path.suffix == OLD and target is not None and not target.exists():
        os.replace(path, target)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """Create a hidden folder for the new content of `path`, and remove it when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    name = _hidden_name(path)
    while True:
        folder = path.with_name(f".{name}.{secrets.token_hex(4)}{NEW}")
        folder.mkdir()
        lock = _lock(folder)
        if folder.exists():  # not removed by another process before it was locked
            break
        _unlock(lock)
    try:
        with named_write_errors(path):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock)


def _hidden_name(path: Path) -> str:
    """Return the name of a path; a long name is shortened and made unique by a digest."""
    name = os.fsencode(path.name)
    if len(name) <= NAME_BYTES:
        return path.name
    digest = hashlib.blake2b(name, digest_size=4).hexdigest()
    return name[: NAME_BYTES - len(digest)].decode("utf8", "ignore") + digest


def _remove_leftovers(path: Path) -> None:
    """Remove the hidden folders of killed processes that were writing to `path`."""
    name = _hidden_name(path)
    leftovers = [
        other
        for suffix in (NEW, OLD)
        for other in path.parent.glob(f".*{suffix}")
        if target_of(other) == path.with_name(name)
        and TOKEN.fullmatch(other.stem.rsplit(".", 1)[-1])
    ]
    for other in leftovers:
        if other.suffix == NEW:
            lock = _lock(other)
            if lock is not None:
                remove_leftover(other)
            _unlock(lock)
        # a process that is still running also has a folder with new content
        elif not other.with_suffix(NEW).exists():
            if path.exists():
                remove_leftover(other)
            else:
                os.replace(other, path)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned handle is closed or the process ends.

    RETURNS (Optional[int]): The handle; None if another process holds the lock, or the system does
        not support locks on folders.
    """
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        _unlock(handle)
        return None
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    """Write all files of a folder to the disk, and give them the mode of ordinary files."""
    # some writers create files that only their owner can read. The mode of the folder reflects the
    # umask, which cannot be read without changing it for all threads.
    mode = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    """Write a file, or the entries of a folder, to the disk."""
    if path.is_dir():
        if os.name != "posix":
            return  # folders cannot be opened on other systems
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
