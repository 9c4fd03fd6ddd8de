import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the models here are so small that threads only wait for each other
settings.register_profile("no deadline", deadline=None)  # nothing is shown by a slow machine
settings.load_profile("no deadline")

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data, named by SPACY_ELMO_DATA; tests that need it are skipped without."""
    path = Path(os.environ.get("SPACY_ELMO_DATA", DEFAULT_DATA))
    if not path.is_dir():
        pytest.skip(f"no real data: {path} is not there and SPACY_ELMO_DATA names no folder")
    return path


@pytest.fixture(scope="session")
def fixtures(data_dir: Path) -> Path:
    path = data_dir / "elmo-fixtures"
    if not path.is_dir():
        pytest.skip(f"no ELMo fixture weights: {path} is not there")
    return path
