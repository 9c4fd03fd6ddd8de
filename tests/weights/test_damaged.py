"""Files that are damaged or belong to another model raise an error that states the reason."""

import json
import os

import h5py
import numpy as np
import pytest

from spacy_elmo.weights import hdf5_writer, load_bilm, save_bilm

from ..reference import random_reference
from ..samples import tiny_bilm
from .torch_writers import CHARS, WORDS, write_many_langs
from .writers import original_arrays, original_options, refused, without_digests, write_original

# Original files


def changed(folder, **arrays):
    """Write an HDF5 file with some arrays changed, or removed if None."""
    reference = random_reference()
    merged = {**original_arrays(reference), **{k.replace("__", "/"): v for k, v in arrays.items()}}
    present = {name: array for name, array in merged.items() if array is not None}
    return write_original(folder, reference, arrays=present)


@pytest.mark.parametrize(
    "name", ["char_embed", "CNN__b_cnn_2", "CNN_high_1__W_carry", "CNN_proj__W_proj"]
)
def test_missing_dataset_is_named(tmp_path, name):
    path = changed(tmp_path, **{name: None})
    refused(path, "weights.hdf5 has no dataset", name.replace("__", "/"), "damaged")


def test_missing_lstm_is_named(tmp_path):
    name = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0"
    refused(changed(tmp_path, **{name: None}), "weights.hdf5 has no dataset", name)


def test_error_gives_the_wrong_and_the_expected_shape(tmp_path):
    path = changed(tmp_path, CNN_proj__b_proj=np.zeros(7, "f4"))
    refused(
        path,
        "weights.hdf5: CNN_proj/b_proj has shape [7]",
        "the options require [6]",
        "another model",
    )


def test_character_table_of_another_length_is_refused(tmp_path):
    path = changed(tmp_path, char_embed=np.ones((300, 5), "f4"))
    refused(path, "weights.hdf5: char_embed has shape [300, 5]", "the options require [261, 5]")


def test_first_of_262_rows_must_be_zero(tmp_path):
    path = changed(tmp_path, char_embed=np.ones((262, 5), "f4"))
    refused(path, "weights.hdf5: char_embed has shape [262, 5]", "the options require [261, 5]")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    path = changed(tmp_path, CNN_proj__b_proj=np.array([0, 1, 2, value, 4, 5], "f4"))
    refused(path, "weights.hdf5: tokens.projection.bias holds values that are not finite")


def test_whole_numbers_are_refused(tmp_path):
    path = changed(tmp_path, CNN_proj__b_proj=np.zeros(6, "i4"))
    refused(path, "weights.hdf5: CNN_proj/b_proj holds values of type int32", "expected floating")


def test_dataset_that_the_options_do_not_mention_is_refused(tmp_path):
    path = changed(tmp_path, CNN_high_2__W_carry=np.zeros((18, 18), "f4"))
    refused(path, "weights.hdf5 holds CNN_high_2/W_carry", "options.json does not mention")


def test_truncated_file_is_refused(tmp_path):
    path = write_original(tmp_path, random_reference())
    path.write_bytes(path.read_bytes()[:-5000])
    refused(path, "weights.hdf5 is not a complete HDF5 file", "truncated", "Copy it again")


def test_error_says_where_missing_options_are_expected(tmp_path):
    path = write_original(tmp_path, random_reference())
    (tmp_path / "options.json").unlink()
    refused(path, "No options file for", "weights_options.json", "options_file")


def test_options_that_contradict_the_shapes_are_refused(tmp_path):
    reference = random_reference()
    options = original_options(random_reference(hidden=7))
    path = write_original(tmp_path, reference, options)
    refused(path, "weights.hdf5: RNN_0/RNN", "has shape [12, 48]", "the options require [12, 28]")


@pytest.mark.parametrize("key", ["dim", "projection_dim"])
def test_options_without_a_key_are_refused(tmp_path, key):
    options = original_options(random_reference())
    del options["lstm"][key]
    path = write_original(tmp_path, random_reference(), options)
    refused(path, "options.json lacks the key", key)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("activation", "gelu", "'activation' is 'gelu'; it must be 'relu' or 'tanh'"),
        ("n_characters", 100, "n_characters is 100; it must be 261"),
        ("filters", [[1, 4], 2], "has a value of a wrong type"),
        ("max_characters_per_token", 2, "it must be at least 3"),
        ("max_characters_per_token", float("inf"), "has a value of a wrong type"),
        ("max_characters_per_token", 10**12, "it must be a whole number up to 10000"),
        ("n_highway", 10**12, "has no dataset CNN_high_2/W_transform"),
    ],
)
def test_impossible_options_are_refused(tmp_path, key, value, message):
    options = original_options(random_reference(), **{key: value})
    refused(write_original(tmp_path, random_reference(), options), str(tmp_path), message)


def test_options_that_are_not_json_are_refused(tmp_path):
    path = write_original(tmp_path, random_reference())
    (tmp_path / "options.json").write_bytes(b"{'lstm': \xff")
    refused(path, "options.json is not valid JSON")


def test_deeply_nested_options_are_refused(tmp_path):
    path = write_original(tmp_path, random_reference())
    (tmp_path / "options.json").write_text("[" * 200_000)
    refused(path, "options.json is not valid JSON")


def word_model(folder, vocab):
    (folder / "vocab.txt").write_bytes(vocab)
    reference = random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    return write_original(folder, reference)


def test_error_says_where_a_missing_vocabulary_is_expected(tmp_path):
    path = word_model(tmp_path, b"")
    (tmp_path / "vocab.txt").unlink()
    refused(path, "weights.hdf5 is a model with word input", "vocab.txt", "vocab_file")


def test_vocabulary_of_another_length_is_refused(tmp_path):
    path = word_model(tmp_path, b"<S>\n</S>\n<UNK>\n")
    refused(path, "vocab.txt holds 3 words", "weights.hdf5 are for 4", "another model")


def test_vocabulary_without_a_special_word_is_refused(tmp_path):
    path = word_model(tmp_path, b"<S>\n</S>\nunk\nthe\n")
    refused(path, "vocab.txt: The vocabulary of 4 words lacks <UNK>")


def test_vocabulary_of_another_encoding_is_refused(tmp_path):
    path = word_model(tmp_path, "<S>\n</S>\n<UNK>\nÜ\n".encode("latin1"))
    refused(path, "vocab.txt, line 4: the byte 0xdc is not UTF-8", "Convert the file")


def test_models_with_lexicons_are_not_written_in_the_original_format(tmp_path):
    for sizes in (
        {"n_chars": len(CHARS)},
        {"filters": (), "n_words": 9, "word_dim": 3},
    ):
        folder = tmp_path / str(len(sizes))
        folder.mkdir()
        bilm = load_bilm(write_many_langs(folder, random_reference(**sizes)))
        with pytest.raises(
            ValueError, match="lexicons of ELMoForManyLangs. Save it as a spacy-elmo"
        ):
            hdf5_writer.write(bilm, folder / "x.hdf5")
        assert not (folder / "x.hdf5").exists()


def test_hdf5_without_a_bilm_is_refused(tmp_path):
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file.create_dataset("0", data=np.zeros((3, 5, 8)))
    (tmp_path / "options.json").write_text(json.dumps(original_options(random_reference())))
    refused(tmp_path / "weights.hdf5", "weights.hdf5 has no dataset char_embed", "not a biLM")


# Our own format


def test_store_with_weights_of_another_model_is_refused(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "a")
    save_bilm(tiny_bilm(hidden_dim=7), tmp_path / "b")
    os.replace(tmp_path / "b" / "model.safetensors", tmp_path / "a" / "model.safetensors")
    refused(tmp_path / "a", "model.safetensors: start_c has shape [2, 2, 7]", "[2, 2, 12]")


@pytest.mark.parametrize(
    "change",
    [
        {"options": None},
        {"options": {"hidden_dim": 12}},
        {"mixes": [{"weights": ["x"], "gamma": 1}]},
        {"mixes": [{"weights": [0, 0, 0], "gamma": float("nan")}]},
        {"mixes": 1},
        {"words": {"words": ["a"], "unknown": "b"}},
        {"words": {"words": "abc", "unknown": "a", "start": "b", "end": "c"}},
        {"characters": [1, 2]},
        {"format": "other"},
        {"version": None},
        {"n_layers": 10**15},
        {"max_characters": 50.5},
        {"n_characters": -1},
        {"hidden_dim": 10**18},
        {"hidden_dim": "12"},
        {"n_characters": 33},
        {"cell_clip": 10**25},
        {"filters": [[1, float("inf")]]},
    ],
)
def test_damaged_configuration_is_refused(tmp_path, change):
    save_bilm(tiny_bilm(), tmp_path / "x")
    without_digests(tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    for name, value in change.items():
        (config["options"] if name in config["options"] else config)[name] = value
    (tmp_path / "x" / "config.json").write_text(json.dumps(config))
    refused(tmp_path / "x", "model.safetensors")


@pytest.mark.parametrize("value", ["x", [], float("inf")])
def test_damaged_word_length_is_refused(tmp_path, value):
    (tmp_path / "in").mkdir()
    sizes = {"filters": (), "n_words": len(WORDS), "word_dim": 3}
    save_bilm(
        load_bilm(write_many_langs(tmp_path / "in", random_reference(**sizes))), tmp_path / "x"
    )
    without_digests(tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    config["words"]["max_characters"] = value
    (tmp_path / "x" / "config.json").write_text(json.dumps(config))
    refused(tmp_path / "x", "configuration of", "model.safetensors")


def test_truncated_safetensors_are_refused(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "x")
    path = tmp_path / "x" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refused(tmp_path / "x", "model.safetensors is not a complete safetensors file", "Copy it again")
