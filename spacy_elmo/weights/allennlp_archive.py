"""AllenNLP's archives: a tar with `config.json`, `weights.th` and perhaps ELMo's options.

Owns what is read from such a tar, and that nothing is unpacked to the disk. It does
not know what the weights are.
"""

import io
import json
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from torch import Tensor

from .hdf5_options import parse_options
from .torch_files import load_state_dict

CONFIG, WEIGHTS = "config.json", "weights.th"
TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")
TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)


class Options(NamedTuple):
    """The content of an options file and its name for messages."""

    source: str
    values: Dict[str, Any]


def is_tar(path: Path) -> bool:
    """RETURNS (bool): Whether a file is a tar, packed or not, or is called one."""
    if path.name.lower().endswith(TAR_SUFFIXES):
        return True
    try:
        return tarfile.is_tarfile(path)
    except TAR_ERRORS:
        return False


def read_archive(path: Path, with_options: bool) -> Tuple[Dict[str, Tensor], Optional[Options]]:
    """Read an archive.

    path (Path): The archive.
    with_options (bool): Whether to look for options.
    RETURNS (Tuple[Dict[str, Tensor], Optional[Options]]): The state dict of the whole
        model, and ELMo's options if there are any.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            members = {PurePosixPath(m.name).as_posix(): m for m in archive if _is_file(m, path)}

            def content(name: str) -> bytes:
                file = archive.extractfile(members[name])
                assert file is not None  # only files are in `members`
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


def _options_names(names: List[str], config: bytes, path: Path) -> List[str]:
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


def _only_options(found: Dict[str, Dict[str, Any]], path: Path) -> Optional[Options]:
    distinct = {json.dumps(values, sort_keys=True) for values in found.values()}
    if len(distinct) > 1:
        raise ValueError(
            f"{path} holds several options files that differ: {', '.join(found)}; expected one. "
            f"Give the one to use as options_file."
        )
    return next((Options(f"{path}/{name}", values) for name, values in found.items()), None)
