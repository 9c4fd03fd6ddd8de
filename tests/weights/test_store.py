"""Our own format: a directory or bytes, from a model of any origin."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from spacy_elmo.bilm.bilm import Mix
from spacy_elmo.weights import allennlp, hdf5, many_langs, store

from ..reference import random_reference
from ..samples import SENTENCES, tiny_bilm
from .torch_writers import CHARS, WORDS, allennlp_state, torch_bytes, write_many_langs
from .writers import fixture_top_layer, vectors, without_digests, write_original


def from_original(folder):
    return hdf5.read(write_original(folder, random_reference()))


def from_word_ids(folder):
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nÜbermut\n", encoding="utf8")
    reference = random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    return hdf5.read(write_original(folder, reference))


def from_one_direction(folder):
    return hdf5.read(write_original(folder, random_reference(n_directions=1)))


def from_allennlp(folder):
    state = allennlp_state(random_reference(), "x.", [(1.5, 0.1, -0.2, 0.3)])
    (folder / "best.th").write_bytes(torch_bytes(state))
    return allennlp.read(folder / "best.th")


def from_many_langs(folder):
    sizes = {"n_chars": len(CHARS), "n_words": len(WORDS), "word_dim": 3}
    return many_langs.read(write_many_langs(folder, random_reference(**sizes)))


SOURCES = [from_original, from_word_ids, from_one_direction, from_allennlp, from_many_langs]


def assert_equal(found, expected):
    assert found.options == expected.options
    assert found.mixes == expected.mixes
    assert found.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert np.array_equal(vectors(found, SENTENCES), vectors(expected, SENTENCES))


@pytest.mark.parametrize("source", SOURCES)
def test_directory_gives_the_same_model(tmp_path, source):
    (tmp_path / "in").mkdir()
    bilm = source(tmp_path / "in")
    store.write(bilm, tmp_path / "out")
    assert store.is_store(tmp_path / "out")
    assert_equal(store.read(tmp_path / "out"), bilm)


@pytest.mark.parametrize("source", SOURCES)
def test_bytes_give_the_same_model(tmp_path, source):
    bilm = source(tmp_path)
    assert_equal(store.from_bytes(store.to_bytes(bilm)), bilm)


def test_start_state_is_stored_and_not_recomputed():
    bilm = tiny_bilm()
    bilm.start_h.fill_(0.25)
    assert torch.equal(store.from_bytes(store.to_bytes(bilm)).start_h, bilm.start_h)


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    bilm = tiny_bilm()
    store.write(bilm, tmp_path / "full")
    store.write(bilm, tmp_path / "half", torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    found = store.read(tmp_path / "half").state_dict()
    for name, tensor in bilm.state_dict().items():
        assert found[name].dtype == torch.float32
        expected = tensor if name.startswith("start_") else tensor.half().float()
        assert torch.equal(found[name], expected), name


def test_model_is_frozen():
    bilm = store.from_bytes(store.to_bytes(tiny_bilm()))
    assert not any(param.requires_grad for param in bilm.parameters())


def test_weights_that_require_gradients_are_written(tmp_path):
    bilm = tiny_bilm().requires_grad_(True)
    store.write(bilm, tmp_path / "x")
    data = store.to_bytes(bilm)
    bilm.requires_grad_(False)
    assert_equal(store.read(tmp_path / "x"), bilm)
    assert_equal(store.from_bytes(data), bilm)


def test_mixes_are_stored(tmp_path):
    bilm = tiny_bilm()
    bilm.mixes = [Mix((0.1, 0.2, -9e10), 1.5), Mix((0.0, 0.0, 0.0), 1.0)]
    store.write(bilm, tmp_path / "x")
    assert store.read(tmp_path / "x").mixes == bilm.mixes


def test_writing_replaces_a_model(tmp_path):
    store.write(tiny_bilm(seed=1), tmp_path / "x")
    store.write(tiny_bilm(seed=2), tmp_path / "x")
    assert_equal(store.read(tmp_path / "x"), tiny_bilm(seed=2))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_writing_does_not_remove_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds something other than a biLM.*Give a new or empty"):
        store.write(tiny_bilm(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_writing_does_not_remove_a_model_of_other_software(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ValueError, match="something other than a biLM of spacy-elmo"):
        store.write(tiny_bilm(), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"


def test_writing_does_not_remove_files_next_to_a_model(tmp_path):
    store.write(tiny_bilm(), tmp_path / "x")
    (tmp_path / "x" / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match="something other than a biLM"):
        store.write(tiny_bilm(), tmp_path / "x")
    assert (tmp_path / "x" / "notes.md").read_text() == "mine"


@pytest.mark.parametrize("name", [".DS_Store", ".nfs0000000000a1", "._config.json"])
def test_hidden_files_of_the_system_do_not_prevent_writing(tmp_path, name):
    store.write(tiny_bilm(seed=1), tmp_path / "x")
    (tmp_path / "x" / name).write_text("left behind")
    store.write(tiny_bilm(seed=2), tmp_path / "x")
    assert_equal(store.read(tmp_path / "x"), tiny_bilm(seed=2))


@pytest.mark.parametrize("name", [".git", ".venv", ".nfs", ".env"])
@pytest.mark.parametrize("beside_a_model", [True, False])
def test_writing_does_not_remove_hidden_files_of_users(tmp_path, name, beside_a_model):
    path = tmp_path / "x"
    path.mkdir()
    if beside_a_model:
        store.write(tiny_bilm(), path)
    hidden = path / name
    if name == ".env":
        hidden.write_text("SECRET=1")
    else:
        hidden.mkdir()
    with pytest.raises(ValueError, match="something other than a biLM"):
        store.write(tiny_bilm(), path)
    assert hidden.exists()


def test_writing_through_a_link_replaces_its_target(tmp_path):
    store.write(tiny_bilm(seed=1), tmp_path / "target")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    store.write(tiny_bilm(seed=2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_equal(store.read(tmp_path / "target"), tiny_bilm(seed=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_writing_fills_an_empty_directory(tmp_path):
    (tmp_path / "x").mkdir()
    store.write(tiny_bilm(), tmp_path / "x")
    assert_equal(store.read(tmp_path / "x"), tiny_bilm())


def test_newer_version_is_refused(tmp_path):
    store.write(tiny_bilm(), tmp_path / "x")
    without_digests(tmp_path / "x", version=2)
    with pytest.raises(ValueError, match="has version 2; this release reads version 1. Update"):
        store.read(tmp_path / "x")


def test_option_of_a_newer_version_is_refused(tmp_path):
    store.write(tiny_bilm(), tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    without_digests(tmp_path / "x", options={**config["options"], "attention": True})
    with pytest.raises(ValueError, match="model.safetensors.*hold attention.*newer version"):
        store.read(tmp_path / "x")


def test_weights_of_another_kind_of_model_are_refused():
    data = safetensors.torch.save({"x": torch.ones(2)})
    with pytest.raises(ValueError, match="The saved biLM is not a complete biLM"):
        store.from_bytes(data)


def test_fixture_vectors_survive_a_round_trip(fixtures, tmp_path):
    store.write(hdf5.read(fixtures / "lm_weights.hdf5"), tmp_path / "x")
    found, expected = fixture_top_layer(store.read(tmp_path / "x"), fixtures)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)
