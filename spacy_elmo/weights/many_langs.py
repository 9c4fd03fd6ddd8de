"""Reader in the making."""

from pathlib import Path
from typing import Any

from ..bilm.model import BiLM


def is_many_langs(path: Path) -> bool:
    return False


def read(path: Path, options_file: Any = None) -> BiLM:
    raise ValueError(f"{path} cannot be read yet.")
