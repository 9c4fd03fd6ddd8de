"""Trainings that are killed and resumed are bitwise identical to uninterrupted trainings."""

import os
import random
import signal
import subprocess
import sys
import time
import traceback

import pytest
from spacy import Config

from spacy_elmo.corpus.corpus_check import CHECKED_FILE
from spacy_elmo.pretrain import checkpoint

from ..cli.conftest import run
from .toys import assert_same_training, config, pretraining, write_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
]

KILLED = 9
SOFTMAXES = {
    "sampled": {"kind": "sampled", "n_samples": 8},
    "adaptive": {"kind": "adaptive", "cutoffs": [8, 16]},
}


def settings(folder, softmax, **training):
    return config(
        folder,
        model={"n_layers": 1},
        softmax=SOFTMAXES[softmax],
        batches={"n_rows": 8, "reset": 0.2},
        training={"dropout": 0.1, "seed": 3, **training},
    )


def run_until_killed(command, folder, condition):
    """Run a command and kill it when a condition becomes true."""
    with (folder / "printed.txt").open("a") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=printed)
        while not condition() and process.poll() is None:
            time.sleep(0.0005)
        process.kill()
        code = process.wait(60)
    assert code == -signal.SIGKILL, (folder / "printed.txt").read_text()


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_a_killed_command_resumes_bitwise_identical(softmax, tmp_path):
    write_text(tmp_path)
    given = settings(tmp_path, softmax, epochs=4.0, eval_every=30, checkpoint_every=3)
    Config(given.to_dict()).to_disk(tmp_path / "config.cfg")
    pretraining(given, tmp_path / "whole").run()
    command = [sys.executable, "-m", "spacy", "elmo", "pretrain", "config.cfg", "out"]
    draw = random.Random(softmax)

    def step():
        latest = checkpoint.latest(tmp_path / "out")
        return 0 if latest is None else int(latest.stem)

    def while_a_checkpoint_is_written():
        folder = tmp_path / "out" / checkpoint.FOLDER
        return step() >= second and any(folder.glob(".*.part"))

    first, second = draw.randint(3, 20), draw.randint(24, 45)
    if softmax == "sampled":
        run_until_killed(command, tmp_path, lambda: step() >= first)
    run_until_killed(command, tmp_path, while_a_checkpoint_is_written)
    assert step() < 55
    run("pretrain", tmp_path / "config.cfg", tmp_path / "out")
    assert_same_training(tmp_path / "out", tmp_path / "whole")


def exit_code(target):
    """Return the exit code of a child process that calls a function."""
    child = os.fork()
    if not child:
        try:
            target()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a training with two evaluations, and the names of its files in the order in which they
    are written."""
    folder = tmp_path_factory.mktemp("whole")
    write_text(folder, 30)
    given = settings(folder, "sampled", eval_every=4, checkpoint_every=3)
    names = []
    with pytest.MonkeyPatch.context() as patched:
        replace = os.replace

        def recording_replace(old, new):
            replace(old, new)
            # this file is written only some time after the cache has been created
            if os.path.basename(new) != CHECKED_FILE:
                names.append(os.path.basename(new))

        pretraining(given, folder / "first").run()
        patched.setattr(os, "replace", recording_replace)
        pretraining(given, folder / "whole").run()
    return given, folder / "whole", names


def exit_at_rename(count, after):
    """End the process before or after a rename, without cleaning up, as SIGKILL does."""
    replace, done = os.replace, []

    def exiting_replace(old, new):
        if os.path.basename(new) != CHECKED_FILE:
            done.append(new)
        if len(done) < count:
            replace(old, new)
            return
        if after:
            replace(old, new)
        os._exit(KILLED)

    os.replace = exiting_replace


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "curves.png", "model-last"])
def test_exit_before_or_after_a_file_is_written(name, after, whole, tmp_path):
    given, expected, names = whole
    assert_recovery(given, expected, tmp_path / "out", names.index(name) + 1, after=after)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["model-best", ".safetensors"])
def test_exit_before_or_after_each_file_of_a_kind(kind, after, whole, tmp_path):
    given, expected, names = whole
    found = [n for n, name in enumerate(names, start=1) if kind in name]
    assert len(found) > 1
    for n in found:
        assert_recovery(given, expected, tmp_path / str(n), n, after=after)


def assert_recovery(given, expected, output, count, *, after):
    def run_until_rename():
        exit_at_rename(count, after)
        pretraining(given, output).run()

    assert exit_code(run_until_rename) == KILLED
    pretraining(given, output).run()
    assert_same_training(output, expected)
