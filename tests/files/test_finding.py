"""Finding files by names, directories and patterns."""

import os
import sys
import warnings

import pytest

from spacy_elmo.files.finding import find_files

SUFFIXES = (".txt", ".spacy")


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a")


def found(folder, *patterns, outputs=()):
    """Return the names of the files found, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        paths = find_files([str(folder / p) for p in patterns], SUFFIXES, outputs)
    return [str(p.relative_to(folder)) for p in paths], [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "name",
    ["a.txt", "A.TXT", "a.Txt", "a.txt.gz", "A.TXT.GZ", "a.txt.zst", "d.SPACY"],
)
def test_suffixes_are_compared_in_lower_case(tmp_path, name):
    make(tmp_path, name)
    assert found(tmp_path, "") == ([name], [])


def test_other_entries_of_a_directory_are_listed_in_a_warning(tmp_path):
    make(tmp_path, "a.txt", "B.md", "folder/c.txt", ".hidden.txt", ".git/d.txt", "n.npz.tokens.txt")
    (tmp_path / "lost.txt").symlink_to(tmp_path / "nowhere")
    names, (message,) = found(tmp_path, "")
    assert names == ["a.txt"]
    assert "4 of 5 entries" in message
    assert "B.md, folder/, lost.txt, n.npz.tokens.txt" in message


def test_a_warning_lists_at_most_five_names(tmp_path):
    make(tmp_path, "a.txt", *(f"{i}.md" for i in range(9)))
    assert "9 of 10 entries" in found(tmp_path, "")[1][0]
    assert found(tmp_path, "")[1][0].count(".md") == 5


def test_each_file_is_read_once(tmp_path):
    make(tmp_path, "a.txt", "b.txt")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    assert found(tmp_path, "", "*.txt") == (["a.txt", "b.txt"], [])
    names, (message,) = found(tmp_path, "b.txt", "a.txt", "b.txt")
    assert names == ["b.txt", "a.txt"]
    assert message == "Given more than once, but read once: b.txt"


def test_loops_of_symbolic_links_end(tmp_path):
    make(tmp_path, "a.txt", "x/b.txt", "y/c.txt")
    for folder in ("x", "y"):
        for name in ("up", "again"):
            (tmp_path / folder / name).symlink_to(tmp_path)
    assert found(tmp_path, "**/*.txt")[0] == ["a.txt", "x/b.txt", "y/c.txt"]
    assert sorted(found(tmp_path, "x/**/*.txt")[0]) == ["x/b.txt", "x/up/a.txt", "x/up/y/c.txt"]
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    with pytest.raises(ValueError, match="self.txt is a broken symbolic link"):
        found(tmp_path, "self.txt")


def test_patterns_follow_links_and_skip_hidden_files(tmp_path):
    make(tmp_path, "data/a.txt", "data/.b.txt", "data/.c/d.txt", "data/e/f/g.txt")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert found(tmp_path, "link/**/*.txt")[0] == ["link/a.txt", "link/e/f/g.txt"]
    assert found(tmp_path, "*/e/**/*.txt")[0] == ["data/e/f/g.txt"]
    assert found(tmp_path, "data/**/f/**/*.txt")[0] == ["data/e/f/g.txt"]


def test_patterns_relative_to_the_current_directory(tmp_path, monkeypatch):
    make(tmp_path, "a.txt", "x/b.txt")
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in find_files(["**/*.txt"], SUFFIXES)] == ["a.txt", "x/b.txt"]


def test_outputs_are_not_inputs(tmp_path):
    make(tmp_path, "a.txt", "out.txt", "run/b.txt")
    outputs = [tmp_path / "out.txt", tmp_path / "run"]
    assert found(tmp_path, "", outputs=outputs) == (["a.txt"], [])
    assert found(tmp_path, "**/*.txt", outputs=outputs)[0] == ["a.txt"]
    for pattern, message in (
        ("out.txt", "is also written by the command"),
        ("run/*", "only files that"),
    ):
        with pytest.raises(ValueError, match=message):
            found(tmp_path, pattern, outputs=outputs)


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("none.txt", "There is no file or directory"),
        ("*.csv", "matches no file"),
        ("emp*", "matches only directories"),
        ("empty", "holds no file that ends in .txt, .spacy"),
        ("hidden", "holds no file that ends in .txt, .spacy"),
        ("pipe", "is not a regular file"),
        ("linked_pipe", "is not a regular file"),
        ("-", "There is no file or directory"),
    ],
)
def test_inputs_that_match_no_file_are_refused(tmp_path, pattern, message):
    if "pipe" in pattern and sys.platform == "win32":
        pytest.skip("no named pipes in folders")
    (tmp_path / "empty").mkdir()
    make(tmp_path, "hidden/.a.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "linked_pipe").symlink_to("pipe")
    with pytest.raises(ValueError, match=message):
        found(tmp_path, pattern)
