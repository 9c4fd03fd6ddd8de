"""The script of the project that splits LitBank's novels."""

import importlib.util
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

SCRIPT = Path(__file__).parents[2] / "project" / "scripts" / "split_litbank_novels.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SCRIPT.parent))
    spec.loader.exec_module(module)
    sys.path.remove(str(SCRIPT.parent))
    yield module
    del sys.modules["convert_litbank"]


@pytest.fixture
def novels(script, tmp_path):
    folder = tmp_path / "original"
    folder.mkdir()
    for fold in script.TEST_FOLDS:
        for book in fold:
            (folder / f"{book}_title.txt").write_text(f"“Book {book}”\n", "utf8")
    return folder


def books(folder):
    return sorted(int(path.name.split("_")[0]) for path in folder.iterdir())


def run(script, *args):
    app = typer.Typer()
    app.command()(script.split_litbank_novels_cli)
    return CliRunner().invoke(app, list(map(str, args)))


def test_each_novel_is_in_one_set(script, novels, tmp_path):
    done = run(script, novels, tmp_path / "out")
    assert done.exit_code == 0, done.output
    parts = {part: books(tmp_path / "out" / part) for part in script.SPLITS}
    assert {part: len(found) for part, found in parts.items()} == {
        "train": 76,
        "heldout": 4,
        "dev": 10,
        "test": 10,
    }
    assert len({book for found in parts.values() for book in found}) == 100
    assert parts["heldout"] == [32, 120, 209, 215]
    assert 158 in parts["dev"] and 1023 in parts["test"]
    text = (tmp_path / "out" / "dev" / "158_title.txt").read_text("utf8")
    assert text == "“Book 158”\n"
    assert run(script, novels, tmp_path / "out").exit_code == 0  # replaces the same files


def test_emphasis_is_removed(script, novels, tmp_path):
    text = "_So_ it was, _any_body\nD__n it in 17__ _for\nme!_ ____"
    (novels / "11_title.txt").write_text(text, "utf8")
    script.split_novels(novels, tmp_path / "out")
    found = (tmp_path / "out" / "train" / "11_title.txt").read_text("utf8")
    assert found == "So it was, anybody\nD__n it in 17__ for\nme! ____"


def test_invalid_input_is_an_error(script, novels, tmp_path):
    out = tmp_path / "out"
    assert "There is no folder" in run(script, tmp_path / "none", out).output
    (novels / "11_title.txt").write_bytes(b"caf\xe9")
    assert "is not UTF-8" in run(script, novels, out).output
    (novels / "11_title.txt").unlink()
    assert "lacks 1 of the 100 novels" in " ".join(run(script, novels, out).output.split())
    (novels / "emma.txt").write_text("")
    assert "is not a novel of LitBank" in " ".join(run(script, novels, out).output.split())


def test_unexpected_files_in_the_output_are_an_error(script, novels, tmp_path):
    (tmp_path / "out" / "train").mkdir(parents=True)
    (tmp_path / "out" / "train" / "158_title.txt").write_text("")
    with pytest.raises(ValueError, match="contains 158_title.txt, which does not belong"):
        script.split_novels(novels, tmp_path / "out")


def test_the_real_novels(script, data_dir):
    folder = data_dir / "litbank" / "original"
    if not folder.is_dir():
        pytest.skip(f"no novels: {folder} is not there")
    assert script.find_novels(folder)[158].name == "158_emma.txt"
