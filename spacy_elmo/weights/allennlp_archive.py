"""Reading archives of AllenNLP: a tar with `config.json`, `weights.th` and the options of ELMo.

Nothing is unpacked to the disk.

REFERENCE: AllenNLP, `allennlp.models.archival`, which writes these archives.
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
    """An options file.

    source (str): Name of the file for error messages.
    values (Dict[str, Any]): Content of the file.
    """

    source: str
    values: dict[str, Any]


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar, compressed or not, or has the suffix of a tar."""
    if path.name.lower().endswith(TAR_SUFFIXES):
        return True
    try:
        # not tarfile.is_tarfile: the lzma module reads zeros as an endless series of empty streams
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            return archive.next() is not None
    except (*TAR_ERRORS, ValueError):
        return False


def read_archive(path: Path, with_options: bool) -> tuple[dict[str, Tensor], Options | None]:
    """Read an archive.

    path (Path): The archive.
    with_options (bool): Whether to search for options.
    RETURNS (Tuple[Dict[str, Tensor], Optional[Options]]): The state dict of the whole model, and
        the options of ELMo; None if there are none.
    RAISES (ValueError): If the archive is damaged, has no weights, has several different options,
        contains a link or a path outside of the archive, or expands too far.
    """
    try:
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            members = {PurePosixPath(m.name).as_posix(): m for m in archive if _is_file(m, path)}

            def content(name: str) -> bytes:
                file = archive.extractfile(members[name])
                assert file is not None  # only files are in `members`
                size = members[name].size
                limit = MAX_READ_BYTES if name == WEIGHTS else MAX_JSON_BYTES
                if size > limit:
                    raise ValueError(
                        f"{path}/{name} has {size:,} bytes; expected at most {limit:,}, more than "
                        f"any biLM needs. It is damaged, or another kind of file."
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
        raise ValueError(
            f"{path} is not a complete tar archive: {error}. Copy it again."
        ) from error
    return load_state_dict(weights, f"{path}/{WEIGHTS}"), options


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """YIELDS (BinaryIO): The decompressed tar. Reading fails if it expands too far."""
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
    """A decompressed stream. Reading fails if the data expands too far; see `check_expansion`."""

    def __init__(self, stream: BinaryIO, stored: int, path: Path) -> None:
        self._stream, self._stored, self._path = stream, stored, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # tarfile only seeks to absolute positions
        assert whence == io.SEEK_SET
        self._check(offset)
        return self._stream.seek(offset)

    def read(self, size: int = -1) -> bytes:
        self._check(self._stream.tell() + max(0, size))
        return self._stream.read(size)

    def _check(self, position: int) -> None:
        check_expansion(position, self._stored, str(self._path))


def _is_file(member: tarfile.TarInfo, path: Path) -> bool:
    """Return whether a member is a file, not a folder.

    RAISES (ValueError): If the member is a link, or its path leads outside of the archive.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise ValueError(
            f"{path} holds {member.name!r}, which is a link or leads outside of the archive; "
            f"expected only files and folders inside it. Nothing was read from the archive. Pack "
            f"the model again without this entry."
        )
    return member.isfile()


def _options_names(names: list[str], config: bytes, path: Path) -> list[str]:
    """Return the names of the options files in an archive.

    The files that the config names take precedence over files that were archived as
    `options_file`, and these over files with names like "options.json".
    """
    try:
        wanted = set(_options_files(json.loads(config)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}/{CONFIG} is not valid JSON: {error}. Copy it again.") from error
    return (
        [n for n in names if PurePosixPath(n).name in wanted]
        # AllenNLP archives a file under the key of the config that refers to it
        or [n for n in names if n.startswith("fta/") and n.endswith("options_file")]
        or [n for n in names if PurePosixPath(n).match("*options*.json")]
    )


def _options_files(config: Any) -> Iterator[str]:
    """YIELDS (str): The file names of all values of `options_file` in a config."""
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
            f"{path} holds different options files: {', '.join(found)}; expected one. Give the one "
            f"to use as options_file."
        )
    return next((Options(f"{path}/{name}", values) for name, values in found.items()), None)
