import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_elmo.embed import outputs as embed_outputs
from spacy_elmo.embed import run as embed_run
from spacy_elmo.embed import shards as embed_shards
from spacy_elmo.embed.outputs import tokens_path
from spacy_elmo.embed.run import EmbedSettings, embed_files

from .conftest import run

pytestmark = pytest.mark.slow


def text_of(n_words: int, seed: int = 1) -> str:
    """Return text with different words and sentences, without a random number generator."""
    words = [f"w{(i * i * 7919 + seed) % 1009}" + " ." * (i % 13 == 0) for i in range(n_words)]
    return "\n\n".join(" ".join(words[i : i + 60]) for i in range(0, n_words, 60))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for i in range(3):
        (folder / f"{i}.txt").write_text(text_of(40_000, i), encoding="utf8")
    nlp = spacy.blank("en")
    docs = [nlp(text_of(300, i)) for i in range(60)]
    DocBin(docs=docs).to_disk(folder / "1.spacy")
    return folder


def settings(model: Path) -> EmbedSettings:
    return EmbedSettings(model=str(model), shard_tokens=8000)


def contents(output: Path) -> list[bytes]:
    return [output.read_bytes(), tokens_path(output).read_bytes()]


@pytest.fixture(scope="module")
def whole(inputs: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    output = tmp_path_factory.mktemp("whole") / "out.hdf5"
    embed_files([inputs], output, settings(model), progress=False)
    return contents(output)


@pytest.mark.parametrize("n_shards", [1, 5])
def test_a_killed_run_is_resumed(
    inputs: Path, model: Path, whole: list[bytes], tmp_path: Path, n_shards: int
) -> None:
    output = tmp_path / "out.hdf5"
    args = ["embed", str(inputs), str(output), "-m", str(model), "--part-tokens", "8000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spacy", "elmo", *args],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    folder = tmp_path / "out.hdf5.parts"
    deadline = time.monotonic() + 120
    while not (folder / f"part-{n_shards - 1:05}").is_dir() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    done = len(list(folder.glob("part-*")))
    assert done >= n_shards
    printed = run(*args)
    assert "Resuming" in printed
    assert contents(output) == whole
    assert not folder.exists()


def test_a_run_killed_while_writing_the_output_is_resumed(
    inputs: Path, model: Path, whole: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.hdf5"
    real_move = embed_outputs.move_file

    def fail(source: Path, target: Path) -> None:
        if Path(target) == output:
            raise KeyboardInterrupt
        real_move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(embed_outputs, "move_file", fail)
        with pytest.raises(KeyboardInterrupt):
            embed_files([inputs], output, settings(model), progress=False)
    assert not output.exists()
    embed_files([inputs], output, settings(model), progress=False)
    assert contents(output) == whole


def test_a_run_killed_while_removing_its_shards_is_completed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out.hdf5"
    source.write_text("One two .", encoding="utf8")

    def fail(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embed_shards, "shutil", SimpleNamespace(rmtree=fail))
        with pytest.raises(KeyboardInterrupt):
            embed_files([source], output, EmbedSettings(model=str(model)), progress=False)
    before = contents(output)
    # the output is complete, and is only replaced with --force
    assert "--force" in run("embed", source, output, "-m", model, code=1)
    assert not (tmp_path / "out.hdf5.parts").exists()
    assert contents(output) == before


def test_other_settings_are_refused(model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out.hdf5"
    source.write_text("One two .", encoding="utf8")
    folder = tmp_path / "out.hdf5.parts"
    embed_files([source], output, EmbedSettings(model=str(model)), progress=False)
    before = contents(output)
    output.unlink()
    folder.mkdir()
    other = {"layers": "top", "lang": "en"}
    (folder / "settings.json").write_text(json.dumps(other), encoding="utf8")
    printed = run("embed", source, output, "-m", model, code=1)
    assert "layers" in printed and "lang," not in printed
    assert str(folder.name) in printed.replace(" ", "")
    (folder / "settings.json").write_text("{", encoding="utf8")
    assert "damaged" in run("embed", source, output, "-m", model, code=1)
    (folder / "settings.json").unlink()
    run("embed", source, output, "-m", model)
    assert contents(output) == before


def test_a_changed_input_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out.hdf5"
    source.write_text("One two .", encoding="utf8")

    def fail(source: Path, target: Path) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(embed_outputs, "move_file", fail)
        assert "No space left" in run("embed", source, output, "-m", model, code=1)
    source.write_text("One two three .", encoding="utf8")
    assert "inputs" in run("embed", source, output, "-m", model, code=1)


@pytest.mark.parametrize("name", ["vectors.f32", "lengths.npy", "tokens.txt", "next.json"])
@pytest.mark.parametrize("change", ["a byte", "the end", "all"])
def test_a_damaged_shard_is_refused_and_recomputed_once_removed(
    inputs: Path, model: Path, whole: list[bytes], tmp_path: Path, name: str, change: str
) -> None:
    output = tmp_path / "out.hdf5"

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed_run, "write_outputs", stop)
        with pytest.raises(KeyboardInterrupt):
            embed_files([inputs], output, settings(model), progress=False)
    path = tmp_path / "out.hdf5.parts" / "part-00001" / name
    data = bytearray(path.read_bytes())
    if change == "a byte":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif change == "the end":
        path.write_bytes(data[:-3])
    else:
        path.unlink()
    with pytest.raises(ValueError, match="part-00001.*Remove .*part-00001, and the next run"):
        embed_files([inputs], output, settings(model), progress=False)
    assert not output.exists()
    shutil.rmtree(path.parent)
    embed_files([inputs], output, settings(model), progress=False)
    assert contents(output) == whole
