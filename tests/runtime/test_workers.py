"""Distributed training in two processes, compared with the same training in one process."""

import shutil
import subprocess
import sys

import pytest
import torch
from spacy import Config

from spacy_elmo.pretrain import checkpoint
from spacy_elmo.pretrain.log import read
from spacy_elmo.runtime.workers import Workers

from ..pretrain.toys import ONE, config, pretraining, tensors, write_text

distributed = torch.distributed.is_available() and torch.distributed.is_gloo_available()
needs_gloo = pytest.mark.skipif(not distributed, reason="this build of PyTorch has no gloo")
SETTINGS = {
    "softmax": {"kind": "sampled", "n_samples": 8},
    "batches": {"n_rows": 8, "n_steps": 4, "reset": 0.2, "accumulate": 2},
    "recipe": {"name": "paper"},
    "training": {"eval_every": 7, "checkpoint_every": 5},
}


def run_two_processes(folder, name="config.cfg"):
    """Run the command in two processes."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        *("-m", "spacy", "elmo", "pretrain", name, "out"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train for twenty steps in two processes and in one."""
    folder = tmp_path_factory.mktemp("workers")
    write_text(folder, 142)
    given = config(folder, **SETTINGS)
    Config(given.to_dict()).to_disk(folder / "config.cfg")
    alone = pretraining(given, folder / "alone")
    assert alone.trainer.n_steps == 20 and alone.trainer.sampler is not None
    alone.run()
    code, printed, errors = run_two_processes(folder)
    assert code == 0, errors
    return folder, printed


def assert_near(found, expected):
    assert list(found) == list(expected) and found
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.slow
@needs_gloo
def test_two_processes_give_the_weights_and_states_of_one_process(trained):
    folder, _ = trained
    for model in ("model-best", "model-last"):
        assert_near(tensors(folder / "out" / model), tensors(folder / "alone" / model))
    found, expected = (checkpoint.find(folder / name) for name in ("out", "alone"))
    assert [path.name for path in found] == [path.name for path in expected]
    for path, other in zip(found, expected):
        (state, info), (other_state, other_info) = checkpoint.read(path), checkpoint.read(other)
        assert_near(state, other_state)
        assert info["windows"] == other_info["windows"]
        assert state["state.h"].shape[2] == 8


@needs_gloo
def test_two_processes_write_the_log_of_one_process(trained):
    folder, _ = trained
    found, expected = read(folder / "out"), read(folder / "alone")
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, other in zip(found, expected):
        for timed in ("seconds", "words_per_second"):
            assert (row.pop(timed, None) is None) == (other.pop(timed, None) is None)
        assert row == pytest.approx(other, rel=1e-5)


@needs_gloo
def test_one_process_resumes_from_two(trained):
    folder, _ = trained
    given = config(folder, **SETTINGS)
    checkpoint.latest(folder / "out").unlink()
    training = pretraining(given, folder / "out")
    assert training.trainer.step == 15
    training.run()
    assert_near(tensors(folder / "out" / "model-last"), tensors(folder / "alone" / "model-last"))


@pytest.mark.slow
@needs_gloo
def test_two_processes_resume_from_one(trained, tmp_path):
    folder, _ = trained
    shutil.copytree(folder / "alone", tmp_path / "out")
    for name in ("config.cfg", "cache"):
        (tmp_path / name).symlink_to(folder / name)
    checkpoint.latest(tmp_path / "out").unlink()
    code, _, errors = run_two_processes(tmp_path)
    assert code == 0, errors
    assert_near(tensors(tmp_path / "out" / "model-last"), tensors(folder / "alone" / "model-last"))


@needs_gloo
def test_two_processes_print_once(trained):
    _, printed = trained
    assert printed.count("held-out perplexity") == 3
    assert printed.count("Wrote") == 1


@pytest.mark.parametrize("gpu_id", [0, 7])
def test_missing_gpu_is_an_error(gpu_id, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=f"--gpu-id is {gpu_id}, but torch .* finds 0 GPUs"):
        Workers.join(gpu_id)


def test_single_process_needs_no_process_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Workers.join()
    assert alone == ONE
    values = torch.arange(3.0)
    assert torch.equal(alone.sum(values), values) and torch.equal(alone.gather(values, 0), values)
    assert alone.any(True) and not alone.any(False)
    alone.wait()
    alone.leave()
    assert not (distributed and torch.distributed.is_initialized())
