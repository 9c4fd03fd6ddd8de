"""Trainings that end early, and how they resume from a checkpoint."""

import math
import shutil
import types
from pathlib import Path

import pytest
import torch

from spacy_elmo.lm.evaluate import evaluate
from spacy_elmo.pretrain import checkpoint, loop
from spacy_elmo.pretrain.log import Log, read
from spacy_elmo.pretrain.loop import Pretraining
from spacy_elmo.pretrain.trainer import StepResult, Trainer

from . import toys
from .toys import assert_same_training, pretraining, write_text

pytestmark = pytest.mark.slow


def settings(folder, **changes):
    return toys.config(folder, model={"n_layers": 1}, **changes)


class Interrupted(Exception):
    """An error that ends a training without a signal."""


def interrupt_at(monkeypatch, step, change=None):
    """End the training at a step, or change the results of its steps."""
    train_step = Trainer.train_step

    def replaced(self):
        result = train_step(self)
        if self.step < step:
            return result
        if change is None:
            raise Interrupted
        return change(self, result)

    monkeypatch.setattr(Trainer, "train_step", replaced)


@pytest.mark.parametrize(
    "loss, step, message",
    [
        (math.nan, 14, "The loss of step 14 is not a number: nan. .*: .*000000010.safetensors"),
        (math.inf, 10, "The loss of step 10 is not a number: inf. .*: none"),
        (50.0, 25, "The loss of step 25 exploded: 50. .*: .*000000020.safetensors.*learn_rate"),
    ],
)
def test_a_wrong_loss_is_an_error(folder, monkeypatch, loss, step, message):
    def change(trainer, result):
        return StepResult(torch.full((2,), loss), result.norm)

    interrupt_at(monkeypatch, step, change)
    with pytest.raises(ValueError, match=message):
        pretraining(settings(folder), folder / "out").run()
    # no checkpoint and no log row was written after it
    assert all(int(path.stem) < step for path in checkpoint.find(folder / "out"))
    assert all(row["step"] < step for row in read(folder / "out"))


def test_an_exploding_loss_is_an_error(folder):
    training = pretraining(settings(folder, recipe={"learn_rate": 1e4}), folder / "out")
    with pytest.raises(ValueError, match="The loss of step [0-9]+ exploded: .* checkpoint: none"):
        training.run()


def test_checkpoints_hold_finite_weights(folder, monkeypatch):
    def change(trainer, result):
        # the loss is finite, and its gradient is not
        with torch.no_grad():
            trainer.params[0].fill_(torch.nan)
        return StepResult(result.losses, torch.tensor(torch.nan))

    interrupt_at(monkeypatch, 10, change)
    with pytest.raises(ValueError, match="Use a lower learn_rate"):
        pretraining(settings(folder), folder / "out").run()
    for path in checkpoint.find(folder / "out"):
        tensors, _ = checkpoint.read(path)
        assert all(tensor.isfinite().all() for tensor in tensors.values()), path


@pytest.fixture(scope="module")
def whole_and_interrupted(tmp_path_factory):
    """Return a training, and the same training ended at step 25, with checkpoints of steps 20 and
    24."""
    folder = tmp_path_factory.mktemp("stopping")
    write_text(folder)
    given = settings(
        folder,
        softmax={"kind": "sampled", "n_samples": 8},
        batches={"reset": 0.2},
        training={"dropout": 0.1, "checkpoint_every": 6},
    )
    pretraining(given, folder / "whole").run()
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Interrupted):
        interrupt_at(patched, 25)
        pretraining(given, folder / "interrupted").run()
    names = [path.name for path in checkpoint.find(folder / "interrupted")]
    assert names == ["000000020.safetensors", "000000024.safetensors"]
    return given, folder


@pytest.fixture
def interrupted(whole_and_interrupted, tmp_path):
    given, folder = whole_and_interrupted
    return given, shutil.copytree(folder / "interrupted", tmp_path / "out"), folder / "whole"


def log_of(output):
    keys = ("step", "loss", "norm", "rate", "words", "forward", "backward")
    return [{key: row.get(key) for key in keys} for row in read(output)]


def test_a_resumed_training_is_bitwise_identical(interrupted):
    given, output, whole = interrupted
    assert pretraining(given, output).run() is not None
    assert_same_training(output, whole)
    assert log_of(output) == log_of(whole)


def test_each_step_is_logged_once(interrupted):
    given, output, whole = interrupted
    with (output / "log.jsonl").open("a") as file:
        # rows that were written after the checkpoint, the last one truncated
        file.write('{"step": 25, "seconds": 1.0, "loss": 1.0}\n{"step": 26, "sec')
    pretraining(given, output).run()
    assert log_of(output) == log_of(whole)
    assert [row["step"] for row in read(output)] == [6, 10, 10, 12, 18, 20, 20, 24, 28, 28]


def test_a_damaged_checkpoint_is_an_error_and_the_previous_one_resumes(interrupted):
    given, output, whole = interrupted
    for damage in (b"", b"other bytes", checkpoint.latest(output).read_bytes()[:-100]):
        checkpoint.latest(output).write_bytes(damage)
        with pytest.raises(ValueError, match="000000024.safetensors is not a complete .*Remove it"):
            pretraining(given, output)
    checkpoint.latest(output).unlink()
    pretraining(given, output).run()
    assert_same_training(output, whole)


def test_leftovers_of_a_killed_training_are_no_checkpoint(interrupted):
    given, output, whole = interrupted
    for name in (".000000030.safetensors.x1.part", "000000030.safetensors.part", "note.txt"):
        (output / "checkpoints" / name).write_bytes(b"half")
    (output / ".model-best.y2.part").mkdir()
    pretraining(given, output).run()
    assert_same_training(output, whole)


def test_the_time_of_earlier_runs_counts(interrupted):
    given, output, _ = interrupted
    before = checkpoint.read(checkpoint.latest(output))[1]["seconds"]
    training = pretraining(given, output)
    assert training.seconds_before == before > 0
    training.run()
    assert read(output)[-1]["seconds"] > before


def test_evaluations_of_earlier_runs_count_for_the_patience(folder, monkeypatch):
    still = {"name": "paper", "learn_rate": 1e-30}
    changes = {"recipe": still, "training": {"patience": 3, "eval_every": 3}}
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        interrupt_at(patched, 8)
        pretraining(settings(folder, **changes), folder / "out").run()
    pretraining(settings(folder, **changes), folder / "out").run()
    evaluated = [row["step"] for row in read(folder / "out") if "forward" in row]
    assert evaluated == [3, 6, 9, 12]


def test_checkpoints_of_earlier_versions_resume(interrupted):
    given, output, whole = interrupted
    path = checkpoint.latest(output)
    tensors, info = checkpoint.read(path)
    info["looks_since_best"] = info.pop("evals_since_best")
    checkpoint.write(output, int(path.stem), tensors, info)
    pretraining(given, output).run()
    assert_same_training(output, whole)


def test_another_training_text_is_an_error(folder, monkeypatch):
    interrupt_at(monkeypatch, 11)
    with pytest.raises(Interrupted):
        pretraining(settings(folder), folder / "out").run()
    with (folder / "train-00.txt").open("a") as file:
        file.write("an unheard word .\n")
    with pytest.raises(ValueError, match="started with another training text"):
        pretraining(settings(folder), folder / "out")


def test_another_held_out_text_or_vocabulary_is_an_error(folder, monkeypatch):
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n.\ncat\n")
    given = settings(folder, vocab={"file": str(folder / "vocab.txt")})
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        interrupt_at(patched, 11)
        pretraining(given, folder / "out").run()
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n.\nhen\n")
    with pytest.raises(ValueError, match="started with another vocabulary"):
        pretraining(given, folder / "out")
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n.\ncat\n")
    text = (folder / "heldout.txt").read_text()
    (folder / "heldout.txt").write_text(text + "an unheard word .\n")
    with pytest.raises(ValueError, match="started with another held-out text"):
        pretraining(given, folder / "out")
    (folder / "heldout.txt").write_text(text)
    assert pretraining(given, folder / "out").run() is not None


def test_settings_that_do_not_change_the_weights_may_change(interrupted):
    given, output, whole = interrupted
    moved = output.parent / "moved"
    moved.mkdir()
    for path in Path(given.text.train[0]).parent.glob("*.txt"):
        shutil.copy(path, moved)
    text = {"train": [str(moved / "train-*.txt")], "heldout": [str(moved / "heldout.txt")]}
    changed = given.model_copy(
        update={
            "text": given.text.model_copy(update={**text, "cache": str(moved / "other-cache")}),
            "training": given.training.model_copy(
                update={"checkpoint_every": 7, "max_minutes": 600.0}
            ),
        }
    )
    assert pretraining(changed, output).run() is not None
    assert_same_training(output, whole)


def test_a_higher_time_limit_resumes_the_training(folder):
    short = settings(folder, training={"max_minutes": 1e-9})
    assert pretraining(short, folder / "out").run() is not None
    assert pretraining(short, folder / "out").run() is None
    pretraining(settings(folder), folder / "out").run()
    rows = read(folder / "out")
    assert [row["step"] for row in rows if "forward" in row] == [1, 10, 20, 28]


def test_a_training_that_is_killed_after_its_time_limit_ends_regularly(folder, monkeypatch):
    # the time limit is reached in the evaluation at step 10, and the process is killed after the
    # checkpoint of this step
    clock = {"seconds": 0.0}
    monkeypatch.setattr(Pretraining, "seconds", property(lambda self: clock["seconds"]))

    def slow_evaluate(*args):
        clock["seconds"] = 61.0
        return evaluate(*args)

    def write_and_die(*args):
        checkpoint.write(*args)
        raise Interrupted

    given = settings(folder, training={"max_minutes": 1.0})
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(loop, "evaluate", slow_evaluate)
        module = types.SimpleNamespace(**{**vars(checkpoint), "write": write_and_die})
        patched.setattr(loop, "checkpoint", module)
        pretraining(given, folder / "out").run()
    assert not (folder / "out" / "model-last").exists()
    training = pretraining(given, folder / "out")
    assert training.trainer.time_fraction > 1
    assert training.run() is not None
    assert training.trainer.step == 11
    assert (folder / "out" / "model-last").is_dir()
    assert pretraining(given, folder / "out").run() is None


def test_learning_rates_follow_the_elapsed_time(folder, monkeypatch):
    seconds = iter([0.0, *(60.0 * n for n in range(1, 100))])
    monkeypatch.setattr(Pretraining, "seconds", property(lambda self: self.clock))

    def tick(trainer, result):
        training.clock = next(seconds)
        return result

    training = pretraining(settings(folder, training={"max_minutes": 10.0}), folder / "out")
    training.clock = 0.0
    interrupt_at(monkeypatch, 0, tick)
    training.run()
    rows = [row for row in read(folder / "out") if "rate" in row]
    # each step except the first takes a minute
    assert [row["step"] for row in rows] == [10, 12]
    rates = training.config.recipe.rates
    assert [row["rate"] for row in rows] == [rates(0.8)[0], rates(1.0)[0]]


def test_old_checkpoints_are_removed(tmp_path):
    for step in (5, 10, 15, 1_000_000_000, 20):
        checkpoint.write(tmp_path, step, {"x": torch.zeros(1)}, {"step": step})
    names = [path.name for path in checkpoint.find(tmp_path)]
    assert len(names) == checkpoint.MAX_CHECKPOINTS
    assert "000000020.safetensors" in names


def test_rows_after_the_resumed_step_are_dropped(tmp_path):
    log = Log(tmp_path, 0)
    for step in (1, 2, 2, 3):
        log.add(step=step, loss=0.1 * step)
    assert [row["step"] for row in Log(tmp_path, 2).rows] == [1, 2, 2]
    assert [row["step"] for row in read(tmp_path)] == [1, 2, 2]


def test_a_checkpoint_of_another_version_is_an_error(tmp_path, monkeypatch):
    path = checkpoint.write(tmp_path, 1, {"x": torch.zeros(1)}, {})
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(ValueError, match="written by another version .* in a new directory"):
        checkpoint.read(path)
