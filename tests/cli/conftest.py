from pathlib import Path
from typing import Any

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_elmo.cli  # noqa: F401  (registers the commands)
from spacy_elmo import save_bilm

from ..samples import tiny_bilm


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save_bilm(tiny_bilm(), path)
    return path


def run(*args: Any, code: int = 0) -> str:
    """Run `elmo ...` in this process and return what it printed."""
    result = CliRunner().invoke(app, ["elmo", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code == 0:
        assert result.exception is None
    else:
        assert isinstance(result.exception, SystemExit), result.exception
    return " ".join(result.output.split())
