"""HDF5 files that we write contain a complete model and do not depend on the files next to them."""

import json
import subprocess
import sys

import h5py
import pytest
import torch

from spacy_elmo.bilm import BiLM
from spacy_elmo.bilm.characters import WordLexicon
from spacy_elmo.weights import load_bilm, save_bilm

from ..samples import tiny_bilm, tiny_options
from .writers import refused


def assert_same(found, expected):
    assert found.options == expected.options
    for name, tensor in expected.named_parameters():
        assert torch.equal(dict(found.named_parameters())[name], tensor), name


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "M.HDF5", "M.H5"])
def test_export_is_found_by_its_directory(tmp_path, name):
    bilm = tiny_bilm()
    save_bilm(bilm, tmp_path / name)
    assert (tmp_path / name).is_file()
    assert_same(load_bilm(tmp_path), bilm)
    assert_same(load_bilm(tmp_path / name), bilm)


def test_two_exports_of_a_directory_must_be_named(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "a.h5")
    save_bilm(tiny_bilm(), tmp_path / "b.hdf5")
    refused(tmp_path, "must hold one .hdf5 or .h5 weight file", "found: a.h5, b.hdf5")


EXPORT_AND_DIE = """
import os, sys
from pathlib import Path
from tests.samples import tiny_bilm
from spacy_elmo import save_bilm

path, n = Path(sys.argv[1]), int(sys.argv[2])
replace, done = os.replace, []

def replace_or_die(a, b):
    if len(done) == n:
        os._exit(9)
    done.append(b)
    replace(a, b)

os.replace = replace_or_die
save_bilm(tiny_bilm(seed=2, hidden_dim=9), path)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_renames", [0, 1])
def test_killed_export_leaves_the_old_or_the_new_model(tmp_path, n_renames):
    path = tmp_path / "x.hdf5"
    old, new = tiny_bilm(), tiny_bilm(seed=2, hidden_dim=9)
    save_bilm(old, path)
    command = [sys.executable, "-c", EXPORT_AND_DIE, str(path), str(n_renames)]
    assert subprocess.run(command).returncode == 9
    if n_renames:
        with pytest.warns(UserWarning, match="x_options.json differs from the options in"):
            assert_same(load_bilm(path), new)
    else:
        assert_same(load_bilm(path), old)
    save_bilm(new, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.hdf5", "x_options.json"]
    assert_same(load_bilm(path), new)


def test_lost_or_damaged_options_are_not_needed(tmp_path):
    bilm = tiny_bilm()
    save_bilm(bilm, tmp_path / "x.hdf5")
    (tmp_path / "x_options.json").write_text("{")
    with pytest.warns(UserWarning, match="which are used. Export the model again"):
        assert_same(load_bilm(tmp_path / "x.hdf5"), bilm)
    (tmp_path / "x_options.json").unlink()
    assert_same(load_bilm(tmp_path / "x.hdf5"), bilm)


def test_given_options_are_used(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "x.hdf5")
    options = json.loads((tmp_path / "x_options.json").read_text())
    options["lstm"]["cell_clip"] = 2.5
    (tmp_path / "mine.json").write_text(json.dumps(options))
    bilm = load_bilm(tmp_path / "x.hdf5", options_file=tmp_path / "mine.json")
    assert bilm.options.cell_clip == 2.5


def test_file_contains_vocabularies_of_any_size(tmp_path):
    words = ["<S>", "</S>", "<UNK>", *(f"Wört{number}" for number in range(100_000))]
    sizes = {"filters": (), "char_dim": 1, "n_highway": 0, "n_words": len(words), "word_dim": 6}
    options = tiny_options(token_projection=False, **sizes)
    bilm = BiLM(options, words=WordLexicon(words, "<UNK>", "<S>", "</S>")).requires_grad_(False)
    save_bilm(bilm, tmp_path / "x.hdf5")
    (tmp_path / "vocab.txt").unlink()
    loaded = load_bilm(tmp_path / "x.hdf5")
    assert torch.equal(loaded.tokens.word_embedding, bilm.tokens.word_embedding)
    assert loaded.tokens.words.words == words


def test_file_that_was_changed_on_purpose_can_be_read(tmp_path):
    path = tmp_path / "x.hdf5"
    bilm = tiny_bilm()
    save_bilm(bilm, path)
    with h5py.File(path, "r+") as file:
        file["CNN_proj/b_proj"][0] = 0.5
    refused(path, "x.hdf5 has changed since it was written", "copy its datasets to a new file")
    with h5py.File(path) as file, h5py.File(tmp_path / "mine.hdf5", "w") as copy:
        for name in file:
            file.copy(name, copy)
    loaded = load_bilm(tmp_path / "mine.hdf5", options_file=tmp_path / "x_options.json")
    assert loaded.tokens.projection.bias[0] == 0.5
