"""Reading torch files (`.th`, `.pkl`) without running code.

Torch files are pickles, which can run code when they are loaded. Only this module opens them, by
`torch.load` with `weights_only=True`, which refuses everything except tensors and plain values.
"""

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..files.expansion import check_expansion

# maximum size of a file that is read into memory as a whole
MAX_READ_BYTES = 1 << 32
# first bytes of torch files before torch 1.6, which were not zips
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def is_torch_file(path: Path) -> bool:
    """Return whether a file was written by torch, in its old or new format."""
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

    file (Union[Path, BinaryIO]): The file, or a stream with its content.
    source (str): Name of the file for error messages.
    RETURNS (Dict[str, Tensor]): The tensors by name, on the CPU. Other entries are skipped.
    RAISES (ValueError): If the file is damaged, too large, expands too far, or contains anything
        but tensors and plain values.
    """
    mapped = _can_be_mapped(file, source)
    try:
        values = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damaged bytes can make the unpickler raise anything
        raise ValueError(
            f"{source} cannot be read as torch weights. It is damaged, or it is a pickle that "
            f"contains more than tensors and plain values; such files are not opened because they "
            f"can run code. Save the state dict of the model instead."
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
    """Return whether a file can be memory-mapped, so that only the required tensors are read.

    RAISES (ValueError): If the file cannot be mapped and is larger than `MAX_READ_BYTES`, or
        expands too far.
    """
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
    stored = False
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            expanded = sum(member.file_size for member in members)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        expanded = size  # the old format, or a damaged file
    if not isinstance(file, Path):
        file.seek(0)
    check_expansion(expanded, size, source)
    mapped = stored and isinstance(file, Path)
    if size > MAX_READ_BYTES and not mapped:
        raise ValueError(
            f"{source} has {size:,} bytes; expected at most {MAX_READ_BYTES:,}, more than any biLM "
            f"needs. Save the tensors of the biLM as a separate file."
        )
    return mapped
