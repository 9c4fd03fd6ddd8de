from pathlib import Path

import pytest

from .toys import write_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with text to train on."""
    write_text(tmp_path)
    return tmp_path
