"""Files that one process at a time can hold.

A lock ends with its process, however that ends. Where the system, or the file system, has no
such locks, nothing is locked.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


class Locked(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock while the block runs.

    path (Path): The lock's file; its folder must exist. It is left empty, or as it was, and stays.
    wait (bool): Whether to wait for another process that holds it; else it is a Locked error.
    """
    with path.open("a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Locked from error
        except (ImportError, OSError):
            pass
        yield
