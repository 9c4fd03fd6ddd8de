"""Files that one process at a time can hold.

A lock ends with its process, however that ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


class Locked(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool, remove: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs.

    path (Path): The lock's file; its folder must exist. It is left empty, or as it was.
    wait (bool): Whether to wait for another process that holds it.
    remove (bool): Whether to remove the file at the end.
    RAISES (Locked): If another process holds it and this one does not wait.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise Locked from error
    try:
        yield
    finally:
        # removed while it is held, so that others who have opened it do not take it for the lock
        removed = remove and _remove(path)
        lock.release()
        if remove and not removed:
            _remove(path)


def _remove(path: Path) -> bool:
    """RETURNS (bool): Whether the file could be removed; Windows keeps open ones."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False
