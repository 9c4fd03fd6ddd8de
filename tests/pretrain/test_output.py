"""The output directory of a training: its lock, its checks, and the removal of leftovers."""

import subprocess
import sys

import pytest

from spacy_elmo.pretrain.output import check_output, locked_output, tidy

from .toys import config, pretraining, write_text

pytestmark = pytest.mark.slow

HOLD = """
import sys
from pathlib import Path
from spacy_elmo.pretrain.output import locked_output
with locked_output(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks of this kind")
def test_one_process_at_a_time_locks_the_directory(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="Another process is training"):
            locked_output(tmp_path / "out").__enter__()
        other.kill()
    with locked_output(tmp_path / "out"):
        pass
    with locked_output(tmp_path / "out"):
        pass
    check_output(tmp_path / "out", config(tmp_path))


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for path in (checkpoints / ".000000030.safetensors.x1.part", tmp_path / ".log.jsonl.y.part"):
        path.write_bytes(b"half")
    (tmp_path / ".model-last.z.part").mkdir()
    others = [checkpoints / "000000020.safetensors", tmp_path / "log.jsonl", tmp_path / ".hidden"]
    for path in others:
        path.write_bytes(b"whole")
    tidy(tmp_path)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(others)


def test_hidden_files_of_other_programs_stay(tmp_path):
    output = tmp_path / "out"
    (output / ".notes.old").mkdir(parents=True)
    (output / "notes").mkdir()
    names = (".film.mkv.part", ".bashrc.old", ".lock", ".DS_Store", ".notes.old/a")
    for name in names:
        (output / name).write_text(name)
    with locked_output(output):
        pass
    assert all((output / name).read_text() == name for name in names)
    with pytest.raises(ValueError, match="holds 'notes', but no training to resume"):
        check_output(output, config(tmp_path))
    (output / "notes").rmdir()
    check_output(output, config(tmp_path))


def test_a_model_that_was_being_replaced_is_restored(tmp_path):
    for name, content in ((".model-best.a1.old", "old"), (".model-last.b2.old", "older")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    (tmp_path / "model-last").mkdir()
    (tmp_path / "model-last" / "config.json").write_text("new")
    tidy(tmp_path)
    assert (tmp_path / "model-best" / "config.json").read_text() == "old"
    assert (tmp_path / "model-last" / "config.json").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-best", "model-last"]


def test_a_stray_file_is_an_error_before_the_training(tmp_path):
    write_text(tmp_path)
    given = config(tmp_path, model={"n_layers": 1})
    pretraining(given, tmp_path / "out").run()
    (tmp_path / "out" / "model-best" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="model-best exists and holds something other"):
        pretraining(given, tmp_path / "out")
