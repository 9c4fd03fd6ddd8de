"""The type of a path that a user may give."""

from pathlib import Path

PathLike = str | Path
