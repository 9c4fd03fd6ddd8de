"""AllenNLP's archives: a tar with `config.json`, `weights.th` and perhaps ELMo's options.

Owns what is read from such a tar, and that nothing is unpacked to the disk. It does
not know what the weights are.
"""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from torch import Tensor

from ..files.digest import MAX_JSON_BYTES
from ..files.expansion import check_expansion
from .hdf5_options import parse_options
from .torch_files import MAX_READ_BYTES, load_state_dict

CONFIG, WEIGHTS = "config.json", "weights.th"
TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")
OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
MAGIC_BYTES = 8
TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)


class Options(NamedTuple):
    """The content of an options file and its name for messages."""

    source: str
    values: dict[str, Any]


def is_tar(path: Path) -> bool:
    """RETURNS (bool): Whether a file is a tar, packed or not, or is called one."""
    if path.name.lower().endswith(TAR_SUFFIXES):
        return True
    try:
        # not is_tarfile: of zeros, the lzma module makes an endless row of empty streams
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            return archive.next() is not None
    except (*TAR_ERRORS, ValueError):
        return False


def read_archive(path: Path, with_options: bool) -> tuple[dict[str, Tensor], Options | None]:
    """Read an archive.

    path (Path): The archive.
    with_options (bool): Whether to look for options.
    RETURNS (Tuple[Dict[str, Tensor], Optional[Options]]): The state dict of the whole
        model, and ELMo's options if there are any.
    """
    try:
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            members = {PurePosixPath(m.name).as_posix(): m for m in archive if _is_file(m, path)}

            def content(name: str) -> bytes:
                file = archive.extractfile(members[name])
                assert file is not None  # only files are in `members`
                size = members[name].size
                most = MAX_READ_BYTES if name == WEIGHTS else MAX_JSON_BYTES
                if size > most:
                    raise ValueError(
                        f"{path}/{name} has {size:,} bytes; expected at most {most:,}, as no biLM "
                        f"needs more. It is damaged or something else."
                    )
                return file.read()

            if WEIGHTS not in members:
                raise ValueError(
                    f"{path} holds no {WEIGHTS}; expected an archive of AllenNLP with {CONFIG} and "
                    f"{WEIGHTS}. Found: {', '.join(sorted(members)[:5]) or 'no files'}."
                )
            options = None
            if with_options:
                config = content(CONFIG) if CONFIG in members else b"{}"
                names = _options_names(list(members), config, path)
                found = {n: parse_options(content(n), f"{path}/{n}") for n in names}
                options = _only_options(found, path)
            weights = io.BytesIO(content(WEIGHTS))
    except TAR_ERRORS as error:
        raise ValueError(f"{path} is not a whole tar archive: {error}. Copy it again.") from error
    return load_state_dict(weights, f"{path}/{WEIGHTS}"), options


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """YIELDS (BinaryIO): A tar, decompressed as far as any archive of weights expands."""
    with path.open("rb") as file:
        start = file.read(MAGIC_BYTES)
        file.seek(0)
        openers = [opener for magic, opener in OPENERS.items() if start.startswith(magic)]
        if not openers:
            yield file
            return
        with openers[0](file) as stream:
            yield cast(BinaryIO, _Bounded(stream, path.stat().st_size, path))


class _Bounded(io.RawIOBase):
    """A stream that is read no further than its compressed size allows."""

    def __init__(self, stream: BinaryIO, stored: int, path: Path) -> None:
        self._stream, self._stored, self._path = stream, stored, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # tarfile asks for places counted from the start only
        assert whence == io.SEEK_SET
        self._check(offset)
        return self._stream.seek(offset)

    def read(self, size: int = -1) -> bytes:
        self._check(self._stream.tell() + max(0, size))
        return self._stream.read(size)

    def _check(self, position: int) -> None:
        check_expansion(position, self._stored, str(self._path))


def _is_file(member: tarfile.TarInfo, path: Path) -> bool:
    """Whether a member is a file; an error for links and for paths that lead outside."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise ValueError(
            f"{path} holds {member.name!r}, which is a link or lies outside of the archive; "
            f"expected files and folders only. Nothing was read from it. Pack the model again "
            f"without it."
        )
    return member.isfile()


def _options_names(names: list[str], config: bytes, path: Path) -> list[str]:
    """Which files of an archive are the options of ELMo, the surest kind first."""
    try:
        wanted = set(_options_files(json.loads(config)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}/{CONFIG} is not valid JSON: {error}. Copy it again.") from error
    return (
        [n for n in names if PurePosixPath(n).name in wanted]
        # AllenNLP archives a file under the place in the config that names it
        or [n for n in names if n.startswith("fta/") and n.endswith("options_file")]
        or [n for n in names if PurePosixPath(n).match("*options*.json")]
    )


def _options_files(config: Any) -> Iterator[str]:
    """Base names of all values of `options_file` in a config."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key == "options_file" and isinstance(value, str):
                yield value.rsplit("/", 1)[-1]
            else:
                yield from _options_files(value)
    elif isinstance(config, list):
        for value in config:
            yield from _options_files(value)


def _only_options(found: dict[str, dict[str, Any]], path: Path) -> Options | None:
    distinct = {json.dumps(values, sort_keys=True) for values in found.values()}
    if len(distinct) > 1:
        raise ValueError(
            f"{path} holds several options files that differ: {', '.join(found)}; expected one. "
            f"Give the one to use as options_file."
        )
    return next((Options(f"{path}/{name}", values) for name, values in found.items()), None)
