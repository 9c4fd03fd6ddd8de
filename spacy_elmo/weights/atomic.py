"""Files and directories that appear whole or not at all.

What is written goes to a neighbour with a temporary name, which is renamed when the
block ends well and removed when it does not.
"""

import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

PathLike = Union[str, Path]
PART, OLD = ".part", ".old"


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Give a temporary path to write to; it replaces `path` when the block ends.

    path (Union[str, Path]): The file to write; its folder must exist. If it is a symbolic
        link, the link stays and its target is written.
    YIELDS (Path): Where to write.
    """
    path = link_target(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: PathLike) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of `path` when the block ends.

    path (Union[str, Path]): The folder to write; its parent must exist. A folder
        that is there already is replaced: two renames, and a crash between them leaves
        the old and the new one, both whole, beside `path` under names that begin with a
        dot. A symbolic link stays, and its target is replaced.
    YIELDS (Path): The folder to fill.
    """
    path = link_target(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
    old = temporary.with_suffix(OLD)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
                file.chmod(0o666 & ~_umask())
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(old, ignore_errors=True)


def link_target(path: PathLike) -> Path:
    """Follow symbolic links, so that a rename replaces the target and not the link.

    path (Union[str, Path]): A path; nothing need be there.
    RETURNS (Path): The path itself if it is no link, else its target.
    RAISES: OSError if a link leads to itself, or into a folder that does not exist.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink() or not target.parent.is_dir():
        raise OSError(
            f"{path} is a symbolic link that leads nowhere: to {os.readlink(path)}. Remove the "
            f"link, or make the folder that it leads to."
        )
    return target


def move_file(source: Path, path: Path) -> None:
    """Move a file to where it appears whole or not at all, also on another file system.

    source (Path): The file, which is gone afterwards.
    path (Path): Where to move it. If it is a symbolic link, its target is replaced.
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
