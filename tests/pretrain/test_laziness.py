"""Imports of a training: for tokenized text, neither spaCy nor thinc is imported."""

import subprocess
import sys

import pytest

from ..test_laziness import modules_after
from .toys import config, write_text

ALL = """
    pretrain.checkpoint pretrain.config pretrain.log pretrain.loop pretrain.muon pretrain.output
    pretrain.recipes pretrain.signals pretrain.start pretrain.trainer pretrain.windows
    corpus.corpus corpus.corpus_cache corpus.corpus_writer corpus.readers
    lm.evaluate lm.language_model lm.language_scorer lm.sampler lm.vocab
    runtime.memory runtime.workers
"""


def test_only_tokenizing_imports_spacy():
    imports = "\n".join(f"import spacy_elmo.{name}" for name in ALL.split())
    assert modules_after(imports, "spacy", "thinc", "matplotlib", "typer") == []


def test_modules_without_tensors_do_not_import_torch():
    names = "corpus.corpus corpus.corpus_cache corpus.corpus_writer corpus.readers lm.vocab"
    names += " lm.evaluation_windows lm.word_codes pretrain.draws pretrain.windows"
    imports = "\n".join(f"import spacy_elmo.{name}" for name in names.split())
    assert modules_after(imports, "torch") == []


@pytest.mark.slow
def test_a_whole_training_runs_without_spacy(tmp_path):
    write_text(tmp_path)
    given = config(tmp_path, model={"n_layers": 1}, training={"epochs": 0.2}).to_dict()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.modules['spacy'] = sys.modules['thinc'] = None\n"
        "from spacy_elmo.pretrain.config import PretrainConfig\n"
        "from spacy_elmo.pretrain.loop import Pretraining\n"
        "from spacy_elmo.runtime.workers import Workers\n"
        f"config = PretrainConfig.from_dict({given!r})\n"
        "Pretraining(config, Path(sys.argv[1]), Workers.join(), False).run()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model-last").is_dir()
