"""A full disk: the error is one sentence, no partial file is left, and the next run resumes."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spacy_elmo import load_bilm

from ..pretrain.toys import write_text
from .conftest import run

pytestmark = pytest.mark.slow

resource = pytest.importorskip("resource", reason="no limit on the size of files")

WORDS = "Anna saw the river and Bob liked it .\n"
CONFIG = """
[text]
train = "{folder}/train-*.txt"
heldout = "{folder}/heldout.txt"
cache = "{folder}/cache"
tokenized = true
[vocab]
min_count = 1
[model]
hidden_dim = 32
projection_dim = 8
n_layers = 2
filters = [[1,8],[2,8]]
char_dim = 4
n_highway = 1
[softmax]
kind = "full"
[batches]
n_rows = 4
n_steps = 10
[recipe]
name = "modern"
[training]
epochs = 0.5
eval_every = 5
checkpoint_every = 5
"""


LIMITS = [
    ("hdf5", 2_000_000),
    ("npz", 2_000_000),
    ("HDF5", 3000),
]


def limited(limit: int, *args: Any) -> subprocess.CompletedProcess:
    """Run `elmo ...` with a limit on the size of files, in bytes."""
    return subprocess.run(
        [sys.executable, "-m", "spacy", "elmo", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def check_failed(done: subprocess.CompletedProcess, path: str = "") -> None:
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    assert "Traceback" not in output and "Exception ignored" not in output, output
    assert "too large" in output and path in output


@pytest.mark.parametrize("suffix, limit", LIMITS)
def test_embed(tmp_path: Path, model: Path, suffix: str, limit: int) -> None:
    source, output = tmp_path / "a.txt", tmp_path / f"out.{suffix}"
    source.write_text(WORDS * 4000, encoding="utf8")
    command = ("embed", source, output, "-m", model, "--part-tokens", 2000)
    check_failed(limited(limit, *command), "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", f"out.{suffix}.parts"]
    printed = run(*command)
    assert ("Resuming" in printed) == (limit > 100_000)
    run("embed", source, tmp_path / "whole.npz", "-m", model, "--part-tokens", 2000)
    whole = np.load(tmp_path / "whole.npz")
    if suffix == "npz":
        assert output.read_bytes() == (tmp_path / "whole.npz").read_bytes()
        return
    with h5py.File(output) as file:
        assert len(file) == len(whole.files)
        assert all(np.array_equal(file[name][...], whole[name]) for name in whole.files)


@pytest.mark.parametrize("name", ["w.hdf5", "folder"])
@pytest.mark.parametrize("limit", [700, *((x) for x in (0, 5000))])
def test_convert(tmp_path: Path, model: Path, name: str, limit: int) -> None:
    check_failed(limited(limit, "convert", model, tmp_path / name))
    assert list(tmp_path.iterdir()) == []
    run("convert", model, tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    check_failed(limited(limit, "convert", model, tmp_path / name))
    assert sorted(tmp_path.rglob("*")) == before
    load_bilm(tmp_path / name)


@pytest.mark.parametrize("limit", [30_000, *((x) for x in (100, 3000))])
def test_pretrain(tmp_path: Path, limit: int) -> None:
    write_text(tmp_path, 120)
    (tmp_path / "c.cfg").write_text(CONFIG.format(folder=tmp_path))
    check_failed(limited(limit, "pretrain", tmp_path / "c.cfg", tmp_path / "run"))
    hidden = [p for p in tmp_path.rglob(".*") if p.name != ".lock"]
    assert hidden == []
    run("pretrain", tmp_path / "c.cfg", tmp_path / "run")
    load_bilm(tmp_path / "run" / "model-best")


def test_evaluate_and_convert_coref(tmp_path: Path) -> None:
    write_text(tmp_path, 60)
    (tmp_path / "c.cfg").write_text(CONFIG.format(folder=tmp_path))
    run("pretrain", tmp_path / "c.cfg", tmp_path / "run")
    text = tmp_path / "heldout.txt"
    check_failed(limited(10, "evaluate", tmp_path / "run" / "model-best", text))
    source, output = tmp_path / "a.jsonl", tmp_path / "out.spacy"
    source.write_text('{"sentences": [["Anna", "slept"]], "clusters": [[[0, 0]]]}\n' * 50)
    for name in ("out.spacy", "out.conll", "out.jsonl"):
        output = tmp_path / name
        check_failed(limited(10, "convert-coref", source, output))
        assert not output.exists()
    check_failed(limited(10, "show-coref", source, tmp_path / "out.html"))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "out"))]


HDF5 = """
import sys, resource
from pathlib import Path
import numpy as np
from spacy_elmo.files.hdf5_file import new_hdf5
limit, checked = int(sys.argv[2]), sys.argv[3] == "1"
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with new_hdf5(Path(sys.argv[1])) as (file, check):
        for i in range(400):
            file.create_dataset(f"{i % 7}/{i}", data=np.full((i % 5, 64), i, dtype="f4"))
            if checked:
                check()
except OSError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("seed", [0, 1, *((x) for x in range(2, 8))])
def test_hdf5_never_crashes(tmp_path: Path, seed: int) -> None:
    limit = random.Random(seed).choice([0, 100, 3000, 30_000, 100_000])
    for checked in "01":
        command = [sys.executable, "-c", HDF5, str(tmp_path / "a.h5"), str(limit), checked]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (3, ""), limit
