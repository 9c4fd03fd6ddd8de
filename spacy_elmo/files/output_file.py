"""Checking the file that a command writes, before it reads its inputs."""

from collections.abc import Sequence
from pathlib import Path

from .paths import PathLike


def check_output(output: PathLike, suffixes: Sequence[str], force: bool) -> Path:
    """Check the name of an output file, and that no existing file is replaced by mistake.

    output (Union[str, Path]): The file to write.
    suffixes (Sequence[str]): Suffixes that its name may have.
    force (bool): Whether to allow an existing file.
    RETURNS (Path): The file.
    RAISES (ValueError): If the suffix is wrong, or the file exists and `force` is not set.
    """
    output = Path(output)
    if output.suffix.lower() not in suffixes:
        raise ValueError(f"OUTPUT is {output}, but it must end in {', '.join(suffixes)}.")
    if output.exists() and not force:
        raise ValueError(
            f"{output} exists, and the last file on the command line is the OUTPUT. Give --force "
            f"to replace it."
        )
    return output
