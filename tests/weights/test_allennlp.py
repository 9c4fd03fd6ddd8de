"""State dicts and archives of AllenNLP, compared with the plain reference."""

import json

import h5py
import numpy as np
import pytest
import torch

from spacy_elmo.bilm.bilm import Mix
from spacy_elmo.weights import allennlp

from ..reference import Cell, Highway, Reference, byte_sentence, random_reference
from ..samples import SENTENCES
from .torch_writers import allennlp_state, torch_bytes, write_tar
from .writers import fixture_top_layer, original_options, vectors

PREFIX = "text_field_embedder.token_embedder_elmo._elmo."
VARIANTS = {
    "usual": {},
    "one layer": {"n_layers": 1},
    "three layers": {"n_layers": 3},
    "no highway": {"n_highway": 0},
    "other filters": {"filters": ((5, 3), (1, 2)), "char_dim": 3, "n_highway": 1},
    "no state projection": {"hidden": 6, "dim": 6, "state_projection": False},
    "projection of as many features": {"filters": ((1, 2), (3, 4)), "dim": 6},
}


def write_state(path, state, legacy=False):
    path.write_bytes(torch_bytes(state, legacy))
    return path


def assert_same(bilm, reference, n_positions=50):
    expected = [byte_sentence(reference, sentence, n_positions) for sentence in SENTENCES]
    np.testing.assert_allclose(
        vectors(bilm, SENTENCES), np.concatenate(expected, axis=1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_equal_the_reference(tmp_path, variant):
    reference = random_reference(**VARIANTS[variant])
    path = write_state(tmp_path / "best.th", allennlp_state(reference, PREFIX))
    assert_same(allennlp.read(path), reference)


@pytest.mark.parametrize("prefix", ["", "a.b._elmo."])
@pytest.mark.parametrize("legacy", [False, True])
def test_any_prefix_and_both_torch_formats_are_read(tmp_path, prefix, legacy):
    reference = random_reference()
    state = {**allennlp_state(reference, prefix), "tag_projection.weight": torch.ones(2, 2)}
    path = write_state(tmp_path / "weights.bin", state, legacy)
    assert allennlp.is_allennlp(path)
    assert_same(allennlp.read(path), reference)


def test_names_may_begin_with_the_inner_module(tmp_path):
    reference = random_reference()
    inner = {name[len("_elmo_lstm.") :]: x for name, x in allennlp_state(reference).items()}
    assert_same(allennlp.read(write_state(tmp_path / "inner.th", inner)), reference)


def test_options_give_what_shapes_do_not_determine(tmp_path):
    reference = random_reference(activation="tanh", cell_clip=0.6, proj_clip=None, skip=False)
    path = write_state(tmp_path / "best.th", allennlp_state(reference))
    options = tmp_path / "sizes.json"
    options.write_text(json.dumps(original_options(reference, max_characters_per_token=9)))
    assert_same(allennlp.read(path, options), reference, n_positions=9)


def test_options_next_to_the_state_dict_are_found(tmp_path):
    reference = random_reference(skip=False)
    path = write_state(tmp_path / "best.th", allennlp_state(reference))
    (tmp_path / "options.json").write_text(json.dumps(original_options(reference)))
    assert_same(allennlp.read(path), reference)


def test_mixes_are_loaded_with_the_model(tmp_path):
    mixes = [(1.5, 0.1, -0.2, 0.3), (0.5, 1.0, 2.0, 3.0)]
    state = allennlp_state(random_reference(), PREFIX, mixes)
    bilm = allennlp.read(write_state(tmp_path / "best.th", state))
    expected = [Mix(tuple(np.float32(x) for x in weights), gamma) for gamma, *weights in mixes]
    assert bilm.mixes == expected


def test_equal_modules_are_loaded_as_one_with_all_mixes(tmp_path):
    reference = random_reference()
    state = {
        **allennlp_state(reference, "a.", [(1.0, 0.0, 0.0, 0.0)]),
        **allennlp_state(reference, "b.", [(2.0, 0.0, 0.0, 0.0)]),
    }
    bilm = allennlp.read(write_state(tmp_path / "best.th", state))
    assert [mix.gamma for mix in bilm.mixes] == [1.0, 2.0]
    assert_same(bilm, reference)


def test_different_modules_are_refused_by_their_names(tmp_path):
    state = {
        **allennlp_state(random_reference(1), "a."),
        **allennlp_state(random_reference(2), "b."),
    }
    path = write_state(tmp_path / "best.th", state)
    with pytest.raises(
        ValueError, match=r"best.th holds 2 ELMo.*a\._elmo_lstm\., b\..*expected one"
    ):
        allennlp.read(path)


def archive(reference, **members):
    files = {"config.json": {}, "weights.th": torch_bytes(allennlp_state(reference, PREFIX))}
    return {**files, **{name.replace("__", "/"): x for name, x in members.items()}}


def test_archive_without_options_is_read(tmp_path):
    reference = random_reference()
    path = write_tar(tmp_path / "model.tar.gz", archive(reference))
    assert allennlp.is_allennlp(path)
    assert_same(allennlp.read(path), reference)


def elmo_config(options_file):
    elmo = {"type": "elmo_token_embedder", "options_file": options_file}
    return {"model": {"text_field_embedder": {"token_embedders": [{"x": 1}, {"elmo": elmo}]}}}


@pytest.mark.parametrize(
    "name",
    [
        "fta/model.text_field_embedder.elmo.options_file",
        "deep/er/sizes.json",
        "elmo_options_v2.json",
    ],
)
def test_options_in_an_archive_are_found(tmp_path, name):
    reference = random_reference(proj_clip=None, skip=False)
    members = archive(reference)
    members["config.json"] = elmo_config("https://example.org/models/sizes.json")
    members["vocabulary/tokens.txt"] = b"the\n"
    members[name] = original_options(reference)
    assert_same(allennlp.read(write_tar(tmp_path / "model.tar.gz", members)), reference)


def test_options_named_by_the_config_are_preferred(tmp_path):
    reference = random_reference(skip=False)
    members = archive(reference)
    members["config.json"] = elmo_config("/models/of/somebody/sizes.json")
    members["sizes.json"] = original_options(reference)
    members["other_options.json"] = {"no": "options"}
    assert_same(allennlp.read(write_tar(tmp_path / "model.tar.gz", members)), reference)


def test_options_given_by_path_are_preferred_to_the_archive(tmp_path):
    reference = random_reference()
    members = {**archive(reference), "options.json": original_options(random_reference(hidden=7))}
    path = write_tar(tmp_path / "model.tar.gz", members)
    options = tmp_path / "right.json"
    options.write_text(json.dumps(original_options(reference)))
    assert_same(allennlp.read(path, options), reference)


def test_different_options_in_an_archive_are_refused(tmp_path):
    members = archive(random_reference())
    members["a_options.json"] = original_options(random_reference())
    members["b_options.json"] = original_options(random_reference(hidden=7))
    path = write_tar(tmp_path / "model.tar.gz", members)
    with pytest.raises(
        ValueError, match="a_options.json, b_options.json; expected one.*options_file"
    ):
        allennlp.read(path)


def test_weights_without_elmo_are_refused(tmp_path):
    path = write_state(tmp_path / "best.th", {"encoder.weight": torch.ones(2, 2)})
    with pytest.raises(ValueError, match="best.th holds 1 tensors but no ELMo.*_char_embedding"):
        allennlp.read(path)


def test_fixture_weights_in_this_format_give_the_published_vectors(fixtures, tmp_path):
    path = write_state(tmp_path / "lm.th", allennlp_state(from_hdf5(fixtures / "lm_weights.hdf5")))
    bilm = allennlp.read(path, fixtures / "options.json")
    found, expected = fixture_top_layer(bilm, fixtures)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


def from_hdf5(path):
    """Return the weights of a file with two layers and two highways."""
    with h5py.File(path) as file:

        def get(name):
            return file[name][...]

        def cell(direction, number):
            place = f"RNN_{direction}/RNN/MultiRNNCell/Cell{number}/LSTMCell"
            return Cell(*(get(f"{place}/{name}") for name in ("W_0", "B", "W_P_0")))

        parts = ("W_transform", "b_transform", "W_carry", "b_carry")
        return Reference(
            cells=[[cell(direction, number) for number in range(2)] for direction in range(2)],
            chars=get("char_embed"),
            filters=[(get(f"CNN/W_cnn_{i}")[0], get(f"CNN/b_cnn_{i}")) for i in range(5)],
            highways=[Highway(*(get(f"CNN_high_{k}/{x}") for x in parts)) for k in range(2)],
            projection=(get("CNN_proj/W_proj"), get("CNN_proj/b_proj")),
        )
