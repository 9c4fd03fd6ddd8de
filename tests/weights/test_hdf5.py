"""The original format in every variant, compared with the plain reference."""

import json

import h5py
import numpy as np
import pytest
import torch

from spacy_elmo.bilm import BiLM
from spacy_elmo.weights import hdf5, hdf5_writer

from ..reference import byte_sentence, random_reference, word_sentence
from ..samples import SENTENCES, tiny_bilm
from .writers import fixture_top_layer, original_arrays, original_options, vectors, write_original

pytestmark = pytest.mark.slow

VARIANTS = {
    "usual": {},
    "no highway": {"n_highway": 0},
    "no token projection": {"filters": ((1, 2), (3, 4)), "dim": 6, "token_projection": False},
    "no state projection": {"hidden": 6, "dim": 6, "state_projection": False},
    "tanh": {"activation": "tanh"},
    "no clips": {"cell_clip": None, "proj_clip": None},
    "cell clip alone": {"cell_clip": 0.5, "proj_clip": None},
    "other clips": {"cell_clip": 1.5, "proj_clip": 0.8},
    "no skip connections": {"skip": False},
    "three layers": {"n_layers": 3},
    "one direction": {"n_directions": 1},
    "other filters": {"filters": ((5, 3), (1, 2), (5, 4)), "char_dim": 3},
}


def assert_same(bilm: BiLM, expected: list) -> None:
    np.testing.assert_allclose(
        vectors(bilm, SENTENCES), np.concatenate(expected, axis=1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_equal_the_reference(tmp_path, variant):
    reference = random_reference(**VARIANTS[variant])
    bilm = hdf5.read(write_original(tmp_path, reference))
    assert_same(bilm, [byte_sentence(reference, sentence) for sentence in SENTENCES])


def test_clips_of_the_usual_variant_are_active():
    reference = random_reference()
    clipped = byte_sentence(reference, SENTENCES[1])
    reference.proj_clip = None
    assert abs(byte_sentence(reference, SENTENCES[1]) - clipped).max() > 0.1
    reference.cell_clip, reference.proj_clip = 0.5, None
    assert abs(byte_sentence(reference, SENTENCES[1]) - clipped).max() > 0.1


@pytest.mark.parametrize("n_directions", [1, 2])
@pytest.mark.parametrize("multi", [True, False])
def test_one_layer_is_read_with_and_without_the_cell_level(tmp_path, n_directions, multi):
    reference = random_reference(n_layers=1, n_directions=n_directions)
    path = write_original(tmp_path, reference, arrays=original_arrays(reference, multi))
    assert_same(hdf5.read(path), [byte_sentence(reference, sentence) for sentence in SENTENCES])


@pytest.mark.parametrize("n_characters", [261, 262])
@pytest.mark.parametrize("zero_row", [False, True])
def test_both_numbers_of_characters_and_both_tables_are_read(tmp_path, n_characters, zero_row):
    reference = random_reference()
    arrays = original_arrays(reference)
    if zero_row:
        arrays["char_embed"] = np.concatenate([np.zeros((1, 5), "f4"), reference.chars])
    options = original_options(reference, n_characters=n_characters)
    bilm = hdf5.read(write_original(tmp_path, reference, options, arrays))
    assert_same(bilm, [byte_sentence(reference, sentence) for sentence in SENTENCES])


def test_words_are_truncated_to_the_number_of_positions(tmp_path):
    reference = random_reference()
    options = original_options(reference, max_characters_per_token=7)
    bilm = hdf5.read(write_original(tmp_path, reference, options))
    assert bilm.options.max_characters == 7
    assert_same(bilm, [byte_sentence(reference, sentence, 7) for sentence in SENTENCES])


def test_word_ids_are_read_with_a_vocabulary(tmp_path):
    words = ["<S>", "</S>", "<UNK>", "the", "bank", "river", "Übermut"]
    reference = random_reference(filters=(), n_words=7, word_dim=6, token_projection=False)
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf8")
    bilm = hdf5.read(write_original(tmp_path, reference))
    ids = {word: i for i, word in enumerate(words)}
    special = ("<UNK>", "<S>", "</S>")
    assert_same(bilm, [word_sentence(reference, s, ids, special) for s in SENTENCES])


def test_vocabulary_given_by_path_is_used(tmp_path):
    reference = random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    (tmp_path / "elsewhere").mkdir()
    vocab = tmp_path / "elsewhere" / "words"
    vocab.write_text("<S>\n</S>\n!!!MAXTERMID\n<UNK>\nthe", encoding="utf8")
    bilm = hdf5.read(write_original(tmp_path, reference), vocab_file=vocab)
    assert bilm.tokens.words.words == ["<S>", "</S>", "<UNK>", "the"]


@pytest.mark.parametrize("name", ["weights_options.json", "weights.json", "my_options_1.json"])
def test_options_are_found_next_to_the_weights(tmp_path, name):
    path = write_original(tmp_path, random_reference())
    (tmp_path / "options.json").rename(tmp_path / name)
    assert hdf5.read(path).options.hidden_dim == 12


def test_options_of_a_published_name_are_found(tmp_path):
    path = write_original(tmp_path, random_reference())
    path = path.rename(tmp_path / "elmo_small_weights.hdf5")
    (tmp_path / "options.json").rename(tmp_path / "elmo_small_options.json")
    (tmp_path / "elmo_large_options.json").write_text("{}")
    assert hdf5.read(path).options.hidden_dim == 12


def test_options_given_by_path_are_preferred(tmp_path):
    reference = random_reference()
    path = write_original(tmp_path, reference)
    other = tmp_path / "other.json"
    reference.skip = False
    other.write_text(json.dumps(original_options(reference)))
    assert hdf5.read(path).options.skip_connections
    assert not hdf5.read(path, other).options.skip_connections


def test_training_options_with_their_other_keys_are_read(tmp_path):
    reference = random_reference()
    options = {**original_options(reference), "n_epochs": 10, "unroll_steps": 20, "dropout": 0.1}
    path = write_original(tmp_path, reference, options)
    assert_same(hdf5.read(path), [byte_sentence(reference, sentence) for sentence in SENTENCES])


def test_model_is_frozen_and_warm(tmp_path):
    bilm = hdf5.read(write_original(tmp_path, random_reference()))
    assert not any(param.requires_grad for param in bilm.parameters())
    assert bilm.start_h.abs().max() > 0 and bilm.start_c.abs().max() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_highway": 0, "activation": "tanh", "cell_clip": None, "proj_clip": None},
        {"hidden_dim": 6, "state_projection": False, "skip_connections": False},
        {"filters": ((2, 6),), "token_projection": False, "n_layers": 1, "max_characters": 20},
    ],
)
def test_round_trip_is_bitwise_identical(tmp_path, changes):
    bilm = tiny_bilm(**changes)
    hdf5_writer.write(bilm, tmp_path / "tiny_weights.hdf5")
    again = hdf5.read(tmp_path / "tiny_weights.hdf5")
    assert again.options == bilm.options
    assert bilm.state_dict().keys() == again.state_dict().keys()
    for name, tensor in bilm.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_round_trip_of_a_file_is_bitwise_identical(tmp_path):
    reference = random_reference()
    path = write_original(tmp_path, reference)
    hdf5_writer.write(hdf5.read(path), tmp_path / "again.hdf5")
    arrays = original_arrays(reference)
    found = {}
    with h5py.File(tmp_path / "again.hdf5") as file:
        file.visititems(
            lambda name, item: found.update({name: item}) if hasattr(item, "dtype") else None
        )
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == np.float32
            assert np.array_equal(found[name][...], array), name
    assert json.loads((tmp_path / "again_options.json").read_text()) == original_options(reference)


def test_round_trip_of_word_ids_keeps_the_vocabulary(tmp_path):
    reference = random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nÜbermut\n", encoding="utf8")
    bilm = hdf5.read(write_original(tmp_path, reference))
    (tmp_path / "out").mkdir()
    hdf5_writer.write(bilm, tmp_path / "out" / "model.hdf5")
    again = hdf5.read(tmp_path / "out" / "model.hdf5")
    assert again.tokens.words.words == bilm.tokens.words.words
    assert np.array_equal(vectors(again, SENTENCES), vectors(bilm, SENTENCES))


def test_one_direction_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="only the forward direction.*spacy-elmo directory"):
        hdf5_writer.write(tiny_bilm(bidirectional=False), tmp_path / "x.hdf5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["vectors", "text", "directory"])
def test_file_that_is_not_a_bilm_is_not_replaced(tmp_path, kind):
    path = tmp_path / "vectors.hdf5"
    if kind == "vectors":
        with h5py.File(path, "w") as file:
            file.create_dataset("0", data=np.zeros((3, 5, 8)))
    elif kind == "text":
        path.write_text("mine")
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ValueError, match="vectors.hdf5 exists and holds no biLM"):
        hdf5_writer.write(tiny_bilm(), path)
    assert list(tmp_path.iterdir()) == [path]
    assert before is None or path.read_bytes() == before


def test_a_bilm_is_replaced(tmp_path):
    hdf5_writer.write(tiny_bilm(seed=0), tmp_path / "x.hdf5")
    hdf5_writer.write(tiny_bilm(seed=1), tmp_path / "x.hdf5")
    found, expected = hdf5.read(tmp_path / "x.hdf5"), tiny_bilm(seed=1)
    assert np.array_equal(vectors(found, SENTENCES), vectors(expected, SENTENCES))


def test_fixture_vectors_are_the_published_ones(fixtures):
    bilm = hdf5.read(fixtures / "lm_weights.hdf5")
    found, expected = fixture_top_layer(bilm, fixtures)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


def test_fixture_weights_survive_a_round_trip(fixtures, tmp_path):
    hdf5_writer.write(hdf5.read(fixtures / "lm_weights.hdf5"), tmp_path / "copy.hdf5")
    with (
        h5py.File(fixtures / "lm_weights.hdf5") as first,
        h5py.File(tmp_path / "copy.hdf5") as copy,
    ):
        names = []
        first.visit(names.append)
        copied = []
        copy.visit(copied.append)
        assert sorted(names) == sorted(copied)
        for name in names:
            if isinstance(first[name], h5py.Dataset):
                assert np.array_equal(first[name][...], copy[name][...]), name


@pytest.fixture
def word_model(tmp_path):
    """Return a model over word ids, and a folder to write to."""
    reference = random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nowl\n", encoding="utf8")
    (tmp_path / "out").mkdir()
    return hdf5.read(write_original(tmp_path, reference)), tmp_path / "out"


@pytest.mark.parametrize("suffix", ["hdf5", "h5"])
def test_vocabulary_of_another_model_is_not_replaced(word_model, suffix):
    bilm, out = word_model
    for name in ("a", "b"):  # of the same words
        hdf5_writer.write(bilm, out / f"{name}.{suffix}")
    bilm.tokens.words.words[3] = "zebra"
    for name in ("a", "c"):
        with pytest.raises(ValueError, match="vocab.txt exists and belongs to another biLM"):
            hdf5_writer.write(bilm, out / f"{name}.{suffix}")
    assert sorted(path.name for path in out.glob(f"*.{suffix}")) == [f"a.{suffix}", f"b.{suffix}"]
    assert (out / "vocab.txt").read_text().endswith("owl\n")


def test_unrelated_vocabulary_is_not_replaced(word_model):
    bilm, out = word_model
    (out / "vocab.txt").write_text("of a softmax\n")
    with pytest.raises(ValueError, match="vocab.txt exists and belongs to another biLM"):
        hdf5_writer.write(bilm, out / "a.hdf5")
    assert (out / "vocab.txt").read_text() == "of a softmax\n"


def test_only_model_in_a_folder_is_replaced_with_its_vocabulary(word_model):
    bilm, out = word_model
    hdf5_writer.write(bilm, out / "a.hdf5")
    # neither has a vocabulary
    hdf5_writer.write(tiny_bilm(), out / "characters.hdf5")
    with h5py.File(out / "vectors.hdf5", "w") as file:
        file.create_dataset("0", data=np.zeros((3, 5, 8)))
    bilm.tokens.words.words[3] = "zebra"
    hdf5_writer.write(bilm, out / "a.hdf5")
    assert (out / "vocab.txt").read_text().endswith("zebra\n")


def test_options_of_another_model_are_not_replaced(tmp_path):
    options = tmp_path / "small_options.json"
    options.write_text('{"lstm": "of another model"}')
    for name in ("small.hdf5", "small_weights.hdf5"):
        with pytest.raises(ValueError, match="small_options.json exists and belongs to another"):
            hdf5_writer.write(tiny_bilm(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["small_options.json"]
    # the same options in another JSON format
    options.unlink()
    hdf5_writer.write(tiny_bilm(), tmp_path / "small.hdf5")
    options.write_text(json.dumps(json.loads(options.read_text())))
    hdf5_writer.write(tiny_bilm(seed=1), tmp_path / "small_weights.hdf5")
    # and both models have them
    with pytest.raises(ValueError, match="small_options.json exists and belongs to another"):
        hdf5_writer.write(tiny_bilm(cell_clip=0.5), tmp_path / "small.hdf5")
