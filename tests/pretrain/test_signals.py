"""Trainings that are stopped by a signal."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from spacy import Config

from spacy_elmo.pretrain import checkpoint
from spacy_elmo.pretrain.log import read

from ..cli.conftest import run
from .test_stopping import interrupt_at, settings
from .toys import assert_same_training, pretraining

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def stop(folder, number, n_rows):
    """Run the command, stop it by a signal when the log has more rows, and return the step."""
    command = [sys.executable, "-m", "spacy", "elmo", "pretrain", "config.cfg", "out"]
    with (folder / "printed.txt").open("w") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=printed)
        while len(read(folder / "out")) <= n_rows and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        code = process.wait(60)
    text = " ".join((folder / "printed.txt").read_text().split())
    assert code == 128 + number, text
    assert "Traceback" not in text
    found = re.search("Stopped at step ([0-9]+) with the checkpoint out/checkpoints/([0-9]+)", text)
    assert found is not None, text
    latest = checkpoint.latest(folder / "out")
    step = int(found[1])
    assert int(found[2]) == int(latest.stem) == step == checkpoint.read(latest)[1]["step"]
    return step


@pytest.mark.slow
def test_signals_write_a_checkpoint_and_the_same_command_resumes(folder):
    changes = {
        "batches": {"n_rows": 8},
        "training": {"epochs": 4.0, "eval_every": 10, "dropout": 0.1},
    }
    Config(settings(folder, **changes).to_dict()).to_disk(folder / "config.cfg")
    steps = [stop(folder, signal.SIGTERM, 0), stop(folder, signal.SIGINT, 4)]
    assert 10 <= steps[0] < steps[1] < 55
    run("pretrain", folder / "config.cfg", folder / "out")
    pretraining(settings(folder, **changes), folder / "whole").run()
    assert_same_training(folder / "out", folder / "whole")
    rows = read(folder / "out")
    evaluated = [row["step"] for row in rows if "forward" in row]
    assert evaluated == [10, 20, 30, 40, 50, 55]
    losses = [row["step"] for row in rows if "loss" in row]
    assert losses == sorted({*steps, *evaluated})


def test_signal_handlers_are_restored(folder):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    pretraining(settings(folder), folder / "out").run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_in_the_last_step_does_not_stop_the_training(folder, monkeypatch):
    def change(trainer, result):
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    given = settings(folder)
    interrupt_at(monkeypatch, 28, change)
    assert pretraining(given, folder / "out").run() is not None
    monkeypatch.undo()
    assert pretraining(given, folder / "out").run() is None
    assert (folder / "out" / "model-last").is_dir()
