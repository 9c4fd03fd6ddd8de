"""Directories of ELMoForManyLangs, compared with the plain reference."""

import json
from pathlib import PureWindowsPath

import numpy as np
import pytest
import torch

from spacy_elmo.weights import many_langs

from ..reference import many_langs_sentence, random_reference
from ..samples import SENTENCES
from .torch_writers import CHARS, WORDS, write_lexicon, write_many_langs
from .writers import vectors

BOTH = {"n_chars": len(CHARS), "n_words": len(WORDS), "word_dim": 3}
ONLY_CHARS = {"n_chars": len(CHARS)}
ONLY_WORDS = {"filters": (), "n_words": len(WORDS), "word_dim": 3}


def numbered(entries):
    return {entry: i for i, entry in enumerate(entries)}


def assert_same(bilm, reference, chars=CHARS, words=WORDS, n_positions=50):
    chars = numbered(chars) if reference.chars is not None else {}
    words = numbered(words) if reference.words is not None else {}
    expected = [many_langs_sentence(reference, s, chars, words, n_positions) for s in SENTENCES]
    # subtracting 1 from the bias of the forget gate and adding it rounds the bias. The large random
    # weights amplify the difference, to as much as 5e-5 on some processors.
    np.testing.assert_allclose(
        vectors(bilm, SENTENCES), np.concatenate(expected, axis=1), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    "sizes",
    [
        BOTH,
        ONLY_CHARS,
        ONLY_WORDS,
        {**BOTH, "n_layers": 1, "n_highway": 0},
        {**BOTH, "cell_clip": 0.5, "proj_clip": 0.7, "n_highway": 1},
        {**BOTH, "cell_clip": None, "proj_clip": None, "activation": "tanh"},
    ],
    ids=["both", "characters", "words", "one layer", "clips", "no clips"],
)
def test_layers_equal_the_reference(tmp_path, sizes):
    reference = random_reference(**sizes)
    assert many_langs.is_many_langs(write_many_langs(tmp_path, reference))
    assert_same(many_langs.read(tmp_path), reference)


def test_input_of_width_zero_is_ignored_although_its_lexicon_exists(tmp_path):
    reference = random_reference(**ONLY_CHARS)
    write_many_langs(tmp_path, reference)
    write_lexicon(tmp_path / "word.dic", WORDS)
    bilm = many_langs.read(tmp_path)
    assert bilm.tokens.words is None
    assert_same(bilm, reference)


def test_words_are_truncated_to_the_number_of_positions_for_both_tables(tmp_path):
    reference = random_reference(**BOTH)
    write_many_langs(tmp_path, reference)
    change(tmp_path / "sizes.json", "token_embedder", max_characters_per_token=6)
    bilm = many_langs.read(tmp_path)
    assert bilm.tokens.words.max_characters == 6
    assert_same(bilm, reference, n_positions=6)
    found = bilm.tokens.words.encode(["bankrupt", "river"]).tolist()
    assert found == [WORDS.index("bank"), WORDS.index("<oov>")]


def change(path, part, **values):
    content = json.loads(path.read_text())
    content[part].update(values)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "config_path", ["sizes.json", "../up/sizes.json", "C:\\models\\sizes.json", "/gone/sizes.json"]
)
def test_architecture_is_found_by_its_base_name(tmp_path, config_path):
    reference = random_reference(**BOTH)
    write_many_langs(tmp_path, reference)
    (tmp_path / "config.json").write_text(json.dumps({"config_path": config_path}))
    assert_same(many_langs.read(tmp_path), reference)
    assert PureWindowsPath(config_path).name == "sizes.json"


@pytest.mark.parametrize("name", ["sizes.json", "config.json"])
def test_default_architecture_replaces_a_missing_one(tmp_path, monkeypatch, name):
    reference = random_reference(**BOTH)
    write_many_langs(tmp_path, reference)
    architecture = json.loads((tmp_path / "sizes.json").read_text())
    monkeypatch.setattr(many_langs, "DEFAULT", architecture)
    (tmp_path / name).unlink()
    assert_same(many_langs.read(tmp_path), reference)


def test_default_architecture_is_the_published_one(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    (tmp_path / "sizes.json").unlink()
    with pytest.raises(ValueError, match=r"convolutions.0.weight.*\[32, 50, 1\].*cnn_50_100_512"):
        many_langs.read(tmp_path)


def test_line_with_only_an_id_is_an_ideographic_space_and_the_last_one_counts(tmp_path):
    reference = random_reference(n_chars=9, n_words=len(WORDS), word_dim=3)
    write_many_langs(tmp_path, reference)
    lines = ["<bos>\t0", "<eos>\t1", "<oov>\t2", "<pad>\t3", "\u3000\t4", "b\t5", "\u00a0\t6"]
    lines += ["<bow>\t7", "<eow>\t8"]
    (tmp_path / "char.dic").write_text("\n".join(lines) + "\r\n", encoding="utf8")
    chars = numbered(["<bos>", "<eos>", "<oov>", "<pad>", "?", "b", "\u3000", "<bow>", "<eow>"])
    del chars["?"]
    words = ["a\u3000b", "\u00a0", "b"]
    expected = many_langs_sentence(reference, words, chars, numbered(WORDS))
    found = vectors(many_langs.read(tmp_path), [words])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_later_line_of_the_same_word_counts(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    write_lexicon(tmp_path / "word.dic", [*WORDS[:-1], "bank"])
    words = many_langs.read(tmp_path).tokens.words
    assert words.encode(["bank"]).tolist() == [len(WORDS) - 1]


@pytest.mark.parametrize(
    "part, message",
    [
        ("token_embedder", "token_embedder is 'lstm'; only 'cnn' is supported"),
        ("encoder", "encoder is 'lstm'; only 'elmo' is supported"),
    ],
)
def test_unsupported_architectures_are_refused(tmp_path, part, message):
    write_many_langs(tmp_path, random_reference(**BOTH))
    change(tmp_path / "sizes.json", part, name="lstm")
    with pytest.raises(ValueError, match=f"sizes.json.*{message}"):
        many_langs.read(tmp_path)


def test_architecture_without_any_input_is_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    change(tmp_path / "sizes.json", "token_embedder", word_dim=0, char_dim=0)
    with pytest.raises(ValueError, match="sizes.json does not describe a biLM.*at least one"):
        many_langs.read(tmp_path)


def test_missing_file_of_the_model_is_named(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    (tmp_path / "token_embedder.pkl").unlink()
    with pytest.raises(ValueError, match="has no token_embedder.pkl; expected encoder.pkl and"):
        many_langs.read(tmp_path)


def test_lexicon_without_a_special_entry_is_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    write_lexicon(tmp_path / "word.dic", ["unk", *WORDS[1:]])
    with pytest.raises(ValueError, match="word.dic lacks <oov>; expected <oov>, <bos>, <eos>"):
        many_langs.read(tmp_path)


def test_lexicon_of_another_model_is_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    write_lexicon(tmp_path / "char.dic", [*CHARS, "y"])
    with pytest.raises(ValueError, match=rf"char.dic, line {len(CHARS) + 1}.*below {len(CHARS)}"):
        many_langs.read(tmp_path)


def test_two_entries_of_one_id_are_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    with (tmp_path / "word.dic").open("a") as file:
        file.write("zebra\t4\n")
    with pytest.raises(ValueError, match="word.dic gives the id 4 to both 'the' and 'zebra'"):
        many_langs.read(tmp_path)


def test_tensor_that_the_architecture_lacks_is_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(**BOTH))
    state = torch.load(tmp_path / "encoder.pkl", weights_only=True)
    torch.save({**state, "forward_layer_7.bias": torch.ones(1)}, tmp_path / "encoder.pkl")
    with pytest.raises(ValueError, match="encoder.pkl holds forward_layer_7.bias.*sizes.json"):
        many_langs.read(tmp_path)


def test_model_is_frozen_and_warm(tmp_path):
    bilm = many_langs.read(write_many_langs(tmp_path, random_reference(**BOTH)))
    assert not any(param.requires_grad for param in bilm.parameters())
    assert bilm.start_h.abs().max() > 0
