"""Outputs of commands: they are locked, may have any name, and killed runs leave no files."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_elmo import load_bilm
from spacy_elmo.embed import inputs as embed_inputs
from spacy_elmo.embed.run import EmbedSettings, embed_files

from .conftest import run

pytestmark = pytest.mark.slow

HOLD = """
import sys
from pathlib import Path
from spacy_elmo.embed.shards import only_run
with only_run(Path(sys.argv[1] + ".parts"), Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("Anna saw the river .\n\n" * 400, encoding="utf8")
    return path


def hold(output: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD, str(output)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_second_run_is_refused(tmp_path: Path, model: Path, source: Path, force: list) -> None:
    output = tmp_path / "out.hdf5"
    with hold(output) as holder:
        printed = run("embed", source, output, "-m", model, *force, code=1)
        assert "Another run of `embed` is writing" in printed
        run("embed", source, tmp_path / "other.hdf5", "-m", model)
        holder.send_signal(signal.SIGKILL)
    # a killed process holds no lock
    run("embed", source, output, "-m", model, *force)
    assert output.exists() and not (tmp_path / "out.hdf5.parts").exists()


def test_a_refused_run_leaves_no_files(tmp_path: Path, model: Path, source: Path) -> None:
    run("embed", source, tmp_path / "out.hdf5", "-m", tmp_path / "no-model", code=1)
    assert list(tmp_path.iterdir()) == [source]


def swap(path: Path, keep_time: bool) -> None:
    """Change the end of a file without changing its length."""
    stat = path.stat()
    path.write_bytes(path.read_bytes()[:-50] + b"Bob ate  the  apple .\n\n" * 2 + b"Yes.")
    assert path.stat().st_size == stat.st_size
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_text_that_changes_while_it_is_read(
    tmp_path: Path,
    model: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep_time: bool,
    after: int,
) -> None:
    monkeypatch.setattr(embed_inputs, "CHUNK_BYTES", 2000)
    source.write_text(source.read_text() * 20, encoding="utf8")
    output, before = tmp_path / "out.npz", source.read_bytes()
    chunks = embed_inputs.Inputs.chunks

    def changing(self: Any, start: Any) -> Iterator[Any]:
        for number, chunk in enumerate(chunks(self, start)):
            if number == after:
                swap(source, keep_time)
            yield chunk

    with monkeypatch.context() as patch:
        patch.setattr(embed_inputs.Inputs, "chunks", changing)
        printed = run("embed", source, output, "-m", model, "--part-tokens", 1000, code=1)
    assert "has changed while it was read" in printed
    assert not output.exists()
    # other text is not mixed with the finished shards
    if (tmp_path / "out.npz.parts" / "settings.json").exists():
        printed = run("embed", source, output, "-m", model, "--part-tokens", 1000, code=1)
        assert "other settings: inputs" in printed
    source.write_bytes(before)
    run("embed", source, output, "-m", model, "--part-tokens", 1000)
    run("embed", source, tmp_path / "new.npz", "-m", model, "--part-tokens", 1000)
    assert output.read_bytes() == (tmp_path / "new.npz").read_bytes()


def test_a_run_on_compressed_text_is_resumed(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zstandard = pytest.importorskip("zstandard")
    monkeypatch.setattr(embed_inputs, "CHUNK_BYTES", 2000)
    text = "".join(f"Anna saw river {i} .\n\n" for i in range(2000))
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.TXT.ZST").write_bytes(zstandard.compress(text.encode()))
    outputs: list[Path] = []
    for name in ("a.txt", "b.TXT.ZST"):
        outputs.append(tmp_path / f"{name}.npz")
        chunks = embed_inputs.Inputs.chunks

        def stopping(self: Any, start: Any, chunks: Any = chunks) -> Iterator[Any]:
            for number, chunk in enumerate(chunks(self, start)):
                if number == 5:
                    raise KeyboardInterrupt
                yield chunk

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(embed_inputs.Inputs, "chunks", stopping)
            settings = EmbedSettings(model=str(model), shard_tokens=900)
            embed_files([tmp_path / name], outputs[-1], settings, progress=False)
        printed = run("embed", tmp_path / name, outputs[-1], "-m", model, "--part-tokens", 900)
        assert "Resuming after" in printed
    found, expected = (np.load(path) for path in reversed(outputs))
    assert found.files == expected.files
    assert all(np.array_equal(found[name], expected[name]) for name in found.files)


@pytest.mark.parametrize("name", ["a.jsonl", "A.CONLL", "b.conllu.gz", "w.hdf5"])
def test_files_of_other_formats_are_not_embedded(tmp_path: Path, model: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    printed = run("embed", tmp_path / name, tmp_path / "out.npz", "-m", model, code=1)
    assert "is not a text file or a .spacy file" in printed


KILLED = """
import os, sys
from spacy_elmo import load_bilm, save_bilm
bilm = load_bilm(sys.argv[1])
os.fsync = lambda handle: os.kill(os.getpid(), 9)
save_bilm(bilm, sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks on Windows")
@pytest.mark.parametrize("name", ["folder", "w.hdf5", "x" * 240, "x" * 235 + ".hdf5"])
def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path, model: Path, name: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, model, tmp_path / name], check=False)
    assert {path.suffix for path in tmp_path.iterdir()} == {".part"}
    run("convert", model, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    load_bilm(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".HDF5", ".Npz"])
def test_long_names_of_outputs(tmp_path: Path, model: Path, source: Path, suffix: str) -> None:
    output = tmp_path / ("x" * (240 - len(suffix)) + suffix)
    run("embed", source, output, "-m", model)
    assert output.is_file() and output.with_name(f"{output.name}.tokens.txt").is_file()


def test_a_name_that_is_too_long_is_refused_before_embedding(
    tmp_path: Path, model: Path, source: Path
) -> None:
    output = tmp_path / ("x" * 246 + ".npz")
    assert "name too long" in run("embed", source, output, "-m", model, code=1)
    assert list(tmp_path.iterdir()) == [source]


def test_missing_folders_are_created(tmp_path: Path, model: Path, source: Path) -> None:
    corefs = tmp_path / "a.jsonl"
    corefs.write_text('{"sentences": [["Anna", "slept"]], "clusters": [[[0, 0]]]}\n')
    commands = (
        ("embed", source, "-m", model, "1/2/out.npz"),
        ("convert", model, "3/4/folder"),
        ("convert", model, "5/6/W.HDF5"),
        ("convert-coref", corefs, "7/8/out.SPACY"),
        ("show-coref", corefs, "9/10/out.html"),
    )
    for *command, output in commands:
        run(*command, tmp_path / str(output))
        assert (tmp_path / str(output)).exists()
    assert (tmp_path / "5/6/W.HDF5").is_file()


def test_a_clock_that_is_set_back(
    tmp_path: Path, model: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    embed_files([source], tmp_path / "out.npz", EmbedSettings(model=str(model)))
    shown = capfd.readouterr().err
    assert "tokens/s" in shown and ":-" not in shown and "-1" not in shown
