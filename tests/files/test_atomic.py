"""Files and directories are written atomically."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from spacy_elmo.files.atomic import atomic_directory, atomic_file, atomic_files, move_file
from spacy_elmo.weights import hdf5_writer, store

from ..samples import tiny_bilm


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_the_block_ends(tmp_path):
    with atomic_file(tmp_path / "x") as path:
        path.write_text("new")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_text() == "new"
    assert names(tmp_path) == ["x"]


def test_file_is_replaced(tmp_path):
    (tmp_path / "x").write_text("old")
    with atomic_file(tmp_path / "x") as path:
        path.write_text("new")
        assert (tmp_path / "x").read_text() == "old"
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(error), atomic_file(tmp_path / "x") as path:
        path.write_text("half")
        raise error
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_exception_leaves_no_new_file(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "x") as path:
        path.write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []


def fill(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "x").write_text(text)


def test_directory_appears_when_the_block_ends(tmp_path):
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")
        assert not (tmp_path / "d").exists()
    assert (tmp_path / "d" / "deep" / "x").read_text() == "new"
    assert names(tmp_path) == ["d"]


def test_directory_is_replaced_with_its_content(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "other").write_text("old")
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")
        assert names(tmp_path / "d") == ["other"]
    assert names(tmp_path / "d") == ["deep"]
    assert names(tmp_path) == ["d"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_directory_and_nothing_else(tmp_path, error):
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")
    with pytest.raises(error), atomic_directory(tmp_path / "d") as folder:
        fill(folder, "half")
        raise error
    assert (tmp_path / "d" / "deep" / "x").read_text() == "old"
    assert names(tmp_path) == ["d"]


def test_failed_replacement_restores_the_old_directory(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")
    replace = os.replace

    def fail_on_the_new_one(source, target):
        if str(source).endswith(".part"):
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_on_the_new_one)
    with pytest.raises(OSError, match="disk full"), atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")
    assert (tmp_path / "d" / "deep" / "x").read_text() == "old"
    assert names(tmp_path) == ["d"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_files_have_the_mode_of_ordinary_files(tmp_path):
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    with atomic_file(tmp_path / "x") as path:
        path.write_text("new")
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")

    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("x") == mode("plain") == mode("d/deep/x")
    assert mode("d") == mode("folder")


def test_interrupted_write_of_a_model_keeps_the_old_one(tmp_path, monkeypatch):
    store.write(tiny_bilm(seed=1), tmp_path / "x")
    before = (tmp_path / "x" / "model.safetensors").read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(store.safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write(tiny_bilm(seed=2), tmp_path / "x")
    assert (tmp_path / "x" / "model.safetensors").read_bytes() == before
    assert names(tmp_path) == ["x"]


def test_interrupted_export_keeps_the_old_files(tmp_path, monkeypatch):
    hdf5_writer.write(tiny_bilm(), tmp_path / "x.hdf5")
    before = (tmp_path / "x.hdf5").read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(hdf5_writer, "write_seal", fail)
    with pytest.raises(OSError, match="disk full"):
        hdf5_writer.write(tiny_bilm(seed=2), tmp_path / "x.hdf5")
    assert (tmp_path / "x.hdf5").read_bytes() == before
    assert names(tmp_path) == ["x.hdf5", "x_options.json"]


def test_several_files_appear_together_in_their_order(tmp_path):
    (tmp_path / "b").write_text("old")
    paths = [tmp_path / name for name in "abc"]
    with atomic_files(*paths) as (a, b, _):
        a.write_text("new a")
        b.write_text("new b")
        assert not (tmp_path / "a").exists()
    assert [(tmp_path / name).read_text() for name in "ab"] == ["new a", "new b"]
    assert names(tmp_path) == ["a", "b"]  # a path that was not written does not appear


WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from spacy_elmo.files.atomic import atomic_directory, atomic_file, atomic_files, move_file

path, kind = Path(sys.argv[1]), sys.argv[2]
with (atomic_file if kind == "file" else atomic_directory)(path) as temporary:
    (temporary if kind == "file" else temporary / "x").write_text("half")
    if kind == "rename":
        replace = os.replace
        os.replace = lambda a, b: os._exit(9) if str(a).endswith(".part") else replace(a, b)
    else:
        os._exit(9)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
@pytest.mark.parametrize("kind", ["file", "directory", "rename"])
def test_next_writer_removes_the_leftovers_of_a_killed_one(tmp_path, kind):
    path = tmp_path / "out"
    write(path, kind, "old")
    for _ in range(2):
        command = [sys.executable, "-c", WRITE_AND_DIE, str(path), kind]
        assert subprocess.run(command).returncode == 9
    assert any(path.suffix == ".part" for path in tmp_path.iterdir())
    if kind == "file":
        assert path.read_text() == "old"
    with pytest.raises(KeyError):
        write(path, kind, "new", KeyError)
    # if the process was killed between its renames, the old directory is restored
    assert (path if kind == "file" else path / "x").read_text() == "old"
    write(path, kind, "new")
    assert names(tmp_path) == ["out"]


def write(path, kind, text, error=None):
    with (atomic_file if kind == "file" else atomic_directory)(path) as temporary:
        (temporary if kind == "file" else temporary / "x").write_text(text)
        if error is not None:
            raise error


def test_writers_of_the_same_target_do_not_disturb_each_other(tmp_path):
    with atomic_directory(tmp_path / "d") as first:
        fill(first, "first")
        with atomic_directory(tmp_path / "d") as second:
            fill(second, "second")
        assert (tmp_path / "d" / "deep" / "x").read_text() == "second"
    assert (tmp_path / "d" / "deep" / "x").read_text() == "first"
    assert names(tmp_path) == ["d"]


@pytest.mark.parametrize("name", [".d.mkv.part", ".d.part", ".other.0123abcd.part", ".d.old"])
def test_other_hidden_files_stay(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with atomic_file(tmp_path / "d") as path:
        path.write_text("new")
    assert names(tmp_path) == [name, "d"]


@pytest.mark.parametrize("length", [200, 240, 255])
def test_long_names_are_written(tmp_path, length):
    with atomic_file(tmp_path / ("x" * length)) as path:
        path.write_text("new")
    assert names(tmp_path) == ["x" * length]


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "x")
    with atomic_file(tmp_path / "link") as path:
        path.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "x").read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_umask_of_the_process_is_never_changed(tmp_path, monkeypatch):
    def fail(mask):
        raise AssertionError("the umask belongs to all threads")

    monkeypatch.setattr(os, "umask", fail)
    with atomic_file(tmp_path / "x") as path:
        path.write_text("new")
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")


@pytest.mark.skipif(os.name != "posix", reason="folders are opened on POSIX")
def test_folders_are_synced_with_their_files(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(handle):
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    with atomic_file(tmp_path / "x") as path:
        path.write_text("new")
    assert synced[-1] == tmp_path.stat().st_ino
    assert (tmp_path / "x").stat().st_ino in synced
    synced.clear()
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")
    assert synced[-1] == tmp_path.stat().st_ino
    for name in ("d", "d/deep", "d/deep/x"):
        assert (tmp_path / name).stat().st_ino in synced


def test_a_file_moves_to_another_file_system(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    replace = os.replace

    def refuse(old, new):
        if old == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    move_file(source, target)
    assert target.read_text() == "new" and names(tmp_path) == ["target"]


@pytest.mark.parametrize("write", [atomic_file, atomic_directory])
@pytest.mark.parametrize("to", ["link", "missing/x"])
def test_a_broken_link_is_refused(tmp_path, write, to):
    (tmp_path / "link").symlink_to(tmp_path / to)
    with pytest.raises(OSError, match="broken symbolic link"), write(tmp_path / "link"):
        pass
    assert names(tmp_path) == ["link"] and (tmp_path / "link").is_symlink()


def test_links_to_links_stay(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("x")
    with atomic_file(tmp_path / "one") as path:
        path.write_text("new")
    assert (tmp_path / "x").read_text() == "new" and not (tmp_path / "x").is_symlink()
    assert (tmp_path / "one").is_symlink() and (tmp_path / "two").is_symlink()
