"""Imports are lazy: no module is imported before it is used."""

import subprocess
import sys

import pytest

import spacy_elmo

HEAVY = ["h5py", "matplotlib", "scipy", "safetensors", "spacy_elmo.weights", "spacy_elmo.bilm"]


def modules_after(code, *names):
    """Run code in a new process, and return which of some modules it has loaded."""
    command = f"import sys\n{code}\nprint(*(name for name in {names!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_package_imports_neither_torch_nor_spacy():
    names = ("torch", "spacy", "thinc", "numpy", "h5py")
    assert modules_after("import spacy_elmo; spacy_elmo.__version__; dir(spacy_elmo)", *names) == []


@pytest.mark.slow
def test_the_command_line_imports_no_heavy_modules():
    before = set(modules_after("import spacy.cli", *HEAVY))
    assert set(modules_after("import spacy.cli, spacy_elmo.cli", *HEAVY)) == before


def test_loading_a_bilm_does_not_import_the_compiler_of_torch():
    code = "import spacy_elmo; spacy_elmo.load_bilm('en_small')"
    assert modules_after(code, "torch._dynamo", "spacy_elmo.bilm") == ["spacy_elmo.bilm"]


def test_unknown_names_are_an_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        spacy_elmo.nothing  # noqa: B018
