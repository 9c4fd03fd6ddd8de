"""Finding input files by names, directories and patterns, with the same rules for all commands.

Suffixes are compared in lower case and without .gz or .zst. A warning lists the skipped files of a
directory. The output of a command is never one of its inputs.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from glob import escape, glob, has_magic
from pathlib import Path

from .paths import PathLike
from .streams import COMPRESSED

# suffixes of files that `embed` writes next to its vectors
GENERATED = (".hdf5.tokens.txt", ".npz.tokens.txt")
# how many file names a message lists
N_NAMED = 5


def plain_name(path: PathLike) -> str:
    """Return the name of a file in lower case, without .gz or .zst."""
    name = Path(path).name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name


def find_files(
    patterns: Sequence[PathLike], suffixes: Sequence[str], outputs: Sequence[PathLike] = ()
) -> list[Path]:
    """Find input files. A directory contributes the files directly in it; subdirectories and
    hidden files are skipped.

    patterns (Sequence[Union[str, Path]]): Files, directories, or patterns such as
        "books/**/*.txt".
    suffixes (Sequence[str]): Suffixes, in lower case, of the files to read from a directory.
    outputs (Sequence[Union[str, Path]]): Files and directories that the command writes.
    RETURNS (List[Path]): The files without duplicates, in the order of `patterns` and sorted
        within each pattern.
    RAISES (ValueError): If a pattern matches no file, a directory has no file with one of the
        suffixes, or an input does not exist or is also an output.
    """
    written = {os.path.realpath(path) for path in outputs}
    found: dict[str, Path] = {}
    repeated: list[Path] = []
    for pattern in patterns:
        path = Path(os.path.expanduser(pattern))
        named = path.is_file()
        if named and _is_written(path, written):
            raise ValueError(
                f"{path} is an input and is also written by the command. Give another output."
            )
        for match in [path] if named else sorted(_match(path, tuple(suffixes), written)):
            real = os.path.realpath(match)
            if real not in found:
                found[real] = match
            elif named:
                repeated.append(match)
    if repeated:
        warnings.warn(f"Given more than once, but read once: {_names(repeated)}", stacklevel=2)
    return list(found.values())


def _match(path: Path, suffixes: tuple[str, ...], written: set[str]) -> list[Path]:
    if path.is_dir():
        return _match_directory(path, suffixes, written)
    if os.path.lexists(path):
        what = "not a regular file" if path.exists() else "a broken symbolic link"
        raise ValueError(f"{path} is {what}. Give a file, a directory or a pattern.")
    if not has_magic(str(path)):
        raise ValueError(f"There is no file or directory {path}.")
    matches = _expand(str(path))
    files = [match for match in matches if match.is_file()]
    if not files:
        what = f"only directories; end it with {path}/*" if matches else "no file"
        raise ValueError(f"The pattern {path} matches {what}.")
    files = [file for file in files if not _is_written(file, written)]
    if not files:
        raise ValueError(f"The pattern {path} matches only files that this command writes.")
    return files


def _match_directory(path: Path, suffixes: tuple[str, ...], written: set[str]) -> list[Path]:
    visible = [p for p in path.iterdir() if not p.name.startswith(".")]
    visible = [p for p in visible if not _is_written(p, written)]
    files = [
        p
        for p in visible
        if p.is_file() and plain_name(p).endswith(suffixes) and not p.name.endswith(GENERATED)
    ]
    if not files:
        raise ValueError(
            f"The directory {path} holds no file that ends in {', '.join(suffixes)}, optionally "
            f"followed by {' or '.join(COMPRESSED)}. For other names or subdirectories, give a "
            f"pattern such as {path}/**/*."
        )
    others = sorted(set(visible) - set(files))
    if others:
        warnings.warn(
            f"{len(others)} of {len(visible)} entries of the directory {path} are skipped: "
            f"{_names(others)}. Only files directly in it that end in {', '.join(suffixes)} are "
            f"read.",
            stacklevel=4,
        )
    return files


def _names(paths: Sequence[Path]) -> str:
    names = [f"{path.name}/" if path.is_dir() else path.name for path in paths[:N_NAMED]]
    return ", ".join(names) + (", ..." if len(paths) > N_NAMED else "")


def _is_written(path: Path, written: set[str]) -> bool:
    """Return whether a path is one of the outputs or inside one."""
    if not written:
        return False
    real = os.path.realpath(path)
    return real in written or any(str(parent) in written for parent in Path(real).parents)


def _expand(pattern: str) -> list[Path]:
    """Expand a pattern. Each directory below "**" is visited once, because symbolic links can form
    loops."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return [Path(name) for name in glob(pattern)]
    split = parts.index("**")
    head, tail = os.path.join("", *parts[:split]), os.path.join("", *parts[split + 1 :]) or "*"
    return [
        match
        for start in (glob(head) if head else ["."])
        for folder in _folders(Path(start))
        for match in _expand(os.path.join(escape(str(folder)), tail))
    ]


def _folders(start: Path) -> Iterator[Path]:
    """YIELDS (Path): A directory and all its visible subdirectories, each once."""
    waiting, visited = [start], set()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in visited or not folder.is_dir():
            continue
        visited.add(real)
        yield folder
        waiting += [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
