import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the test models are too small for several threads
settings.register_profile("no deadline", deadline=None)  # a slow machine must not fail tests
settings.load_profile("no deadline")

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data that SPACY_ELMO_DATA names. Tests that need it are skipped if
    it does not exist."""
    path = Path(os.environ.get("SPACY_ELMO_DATA", DEFAULT_DATA))
    if not path.is_dir():
        pytest.skip(f"no real data: {path} does not exist; set SPACY_ELMO_DATA to the folder")
    return path


@pytest.fixture(scope="session")
def fixtures(data_dir: Path) -> Path:
    path = data_dir / "elmo-fixtures"
    if not path.is_dir():
        pytest.skip(f"no ELMo fixture weights: {path} does not exist")
    return path
