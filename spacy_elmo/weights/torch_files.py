"""Torch files (`.th`, `.pkl`) from elsewhere, read as tensors and nothing else.

Owns the one place where such files are opened. They are pickles, which could run
code; torch's reader for weights refuses all that is not a tensor or a plain value. It
does not know what the tensors mean.
"""

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..files.expansion import check_expansion

# of a file that must be read whole
MAX_READ_BYTES = 1 << 32
# how torch's own file format began before it became a zip
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def is_torch_file(path: Path) -> bool:
    """RETURNS (bool): Whether a file is one that torch wrote, old format or new."""
    with path.open("rb") as file:
        if file.read(len(LEGACY_START)) == LEGACY_START:
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def load_state_dict(file: Path | BinaryIO, source: str) -> dict[str, Tensor]:
    """Read a state dict without running code.

    file (Union[Path, BinaryIO]): The file, or its content.
    source (str): Name for error messages.
    RETURNS (Dict[str, Tensor]): The tensors by name, on the CPU. Entries that are no
        tensors are left out.
    """
    mapped = _can_be_mapped(file, source)
    try:
        values = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damaged bytes can make the unpickler raise anything
        raise ValueError(
            f"{source} cannot be read as torch weights: it is damaged, or it is a pickle with more "
            f"in it than tensors and plain values, and such files are not opened because they "
            f"could run code."
        ) from error
    if not isinstance(values, dict):
        raise ValueError(
            f"{source} holds a {type(values).__name__}; expected the state dict of a model, "
            f"tensors by name."
        )
    return {
        name: value
        for name, value in values.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _can_be_mapped(file: Path | BinaryIO, source: str) -> bool:
    """Whether a file can be mapped, so that only the tensors that are used are read.

    RAISES (ValueError): If the file is larger than can be read whole, or expands to more.
    """
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
    stored = False
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            expanded = sum(member.file_size for member in members)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        expanded = size  # the old format, or damaged
    if not isinstance(file, Path):
        file.seek(0)
    check_expansion(expanded, size, source)
    mapped = stored and isinstance(file, Path)
    if size > MAX_READ_BYTES and not mapped:
        raise ValueError(
            f"{source} has {size:,} bytes; expected at most {MAX_READ_BYTES:,}, as no biLM is "
            f"larger. Save the tensors of the biLM as a file of its own."
        )
    return mapped
