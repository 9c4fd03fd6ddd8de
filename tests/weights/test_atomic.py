"""Files and directories that appear whole or not at all."""

import errno
import os
import stat

import pytest

from spacy_elmo.weights import hdf5_writer, store
from spacy_elmo.weights.atomic import atomic_directory, atomic_file, move_file

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
def test_exception_leaves_the_old_file_and_no_litter(tmp_path, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(error), atomic_file(tmp_path / "x") as path:
        path.write_text("half")
        raise error
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_exception_leaves_no_file_where_none_was(tmp_path):
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


def test_directory_is_replaced_with_all_that_is_in_it(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "other").write_text("old")
    with atomic_directory(tmp_path / "d") as folder:
        fill(folder, "new")
        assert names(tmp_path / "d") == ["other"]
    assert names(tmp_path / "d") == ["deep"]
    assert names(tmp_path) == ["d"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_directory_and_no_litter(tmp_path, error):
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "old")
    with pytest.raises(error), atomic_directory(tmp_path / "d") as folder:
        fill(folder, "half")
        raise error
    assert (tmp_path / "d" / "deep" / "x").read_text() == "old"
    assert names(tmp_path) == ["d"]


def test_failing_swap_puts_the_old_directory_back(tmp_path, monkeypatch):
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
def test_modes_are_those_of_ordinary_files(tmp_path):
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

    monkeypatch.setattr(hdf5_writer, "_put", fail)
    with pytest.raises(OSError, match="disk full"):
        hdf5_writer.write(tiny_bilm(seed=2), tmp_path / "x.hdf5")
    assert (tmp_path / "x.hdf5").read_bytes() == before
    assert names(tmp_path) == ["x.hdf5", "x_options.json"]


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
def test_a_link_that_leads_nowhere_is_refused(tmp_path, write, to):
    (tmp_path / "link").symlink_to(tmp_path / to)
    with pytest.raises(OSError, match="leads nowhere"), write(tmp_path / "link"):
        pass
    assert names(tmp_path) == ["link"] and (tmp_path / "link").is_symlink()


def test_links_to_links_stay(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("x")
    with atomic_file(tmp_path / "one") as path:
        path.write_text("new")
    assert (tmp_path / "x").read_text() == "new" and not (tmp_path / "x").is_symlink()
    assert (tmp_path / "one").is_symlink() and (tmp_path / "two").is_symlink()
