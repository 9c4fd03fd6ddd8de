"""File locks, which are released when the process ends, even if it is killed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


class Locked(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool, remove: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs.

    path (Path): The lock file; its folder must exist. It is created if missing, and its content
        does not change.
    wait (bool): Whether to wait while another process holds the lock.
    remove (bool): Whether to remove the file when the block ends.
    RAISES (Locked): If another process holds the lock and `wait` is false.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise Locked from error
    try:
        yield
    finally:
        # removed before the release, so that no waiting process acquires a lock on a removed file
        removed = remove and _remove(path)
        lock.release()
        if remove and not removed:
            _remove(path)


def _remove(path: Path) -> bool:
    """Remove a file if the system allows it; Windows does not remove open files.

    RETURNS (bool): Whether the file is removed.
    """
    with suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False
