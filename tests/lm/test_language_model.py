"""A biLM with its softmax and vocabulary, saved and loaded."""

import json

import pytest
import safetensors.torch
import torch

from spacy_elmo import load_bilm
from spacy_elmo.bilm import BiLM
from spacy_elmo.bilm.options import BiLMOptions
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.lm.lm_head import FullSoftmax, make_head
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.weights import save_bilm

from ..pretrain.toys import MODEL, documents
from ..weights.writers import without_digests

VOCAB = Vocab.count(Corpus.from_sentences(documents(60)))
HEAD = "lm_head.safetensors"
CUTOFFS = pytest.mark.parametrize("cutoffs", [(), (8,), (8, 16)], ids=str)


def model_of(cutoffs=(), seed=0, **sizes):
    torch.manual_seed(seed)
    bilm = BiLM(BiLMOptions.from_dict({**MODEL, **sizes}))
    head = make_head(len(VOCAB), bilm.options.projection_dim, cutoffs)
    return LanguageModel(bilm, head, VOCAB)


@pytest.fixture
def saved(tmp_path):
    model_of().save(tmp_path / "model")
    return tmp_path / "model"


def head_of(folder):
    with safetensors.safe_open(folder / HEAD, "pt") as file:
        metadata = file.metadata()
    return safetensors.torch.load_file(folder / HEAD), metadata


@CUTOFFS
def test_a_saved_model_is_loaded_bitwise_identical_and_saving_does_not_change_it(cutoffs, tmp_path):
    model = model_of(cutoffs)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save(tmp_path / "model")
    loaded = LanguageModel.load(tmp_path / "model")
    # saving changes nothing
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.bilm.warm_up()
    expected = model.state_dict()
    assert list(loaded.state_dict()) == list(expected)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert loaded.vocab.words == VOCAB.words
    assert loaded.head.cutoffs == cutoffs
    assert loaded.bilm.options == model.bilm.options
    assert not any(param.requires_grad for param in loaded.parameters())


@CUTOFFS
def test_the_directory_loads_as_a_bilm(cutoffs, tmp_path):
    model = model_of(cutoffs)
    model.save(tmp_path / "model")
    bilm = load_bilm(tmp_path / "model")
    model.bilm.warm_up()
    assert bilm.options == model.bilm.options
    for name, tensor in model.bilm.state_dict().items():
        assert torch.equal(bilm.state_dict()[name], tensor), name
    # start states that are computed from sentences, not zeros
    assert bilm.start_h.any() and bilm.start_c.any()
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        HEAD,
        "model.safetensors",
        "vocab.txt",
    ]


@pytest.mark.parametrize("name", [HEAD, "vocab.txt", "model.safetensors", "config.json"])
def test_every_file_is_checked_against_its_digest(saved, name):
    data = bytearray((saved / name).read_bytes())
    for place in range(len(data) - 1, 0, -max(1, len(data) // 40)):
        changed = data.copy()
        changed[place] ^= 1
        (saved / name).write_bytes(changed)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            LanguageModel.load(saved)
    (saved / name).write_bytes(data)
    LanguageModel.load(saved)


@pytest.mark.parametrize("name", [HEAD, "vocab.txt", "model.safetensors"])
def test_files_of_different_models_are_an_error(saved, tmp_path, name):
    model_of(seed=1).save(tmp_path / "other")
    changed = (tmp_path / "other" / name).read_bytes()
    if name == "vocab.txt":
        changed = changed.replace(b"\n", b"x\n").replace(b">x", b">")
    (saved / name).write_bytes(changed)
    with pytest.raises(
        ValueError, match=f"{name} has changed since it was written.* Copy it again"
    ):
        LanguageModel.load(saved)


def test_a_directory_without_digests_is_read(saved):
    expected = LanguageModel.load(saved).state_dict()
    without_digests(saved)
    for name, tensor in LanguageModel.load(saved).state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_saving_replaces_another_language_model(saved):
    other = model_of((8,), seed=1)
    other.save(saved)
    loaded = LanguageModel.load(saved)
    assert loaded.head.cutoffs == (8,)
    assert torch.equal(loaded.head.weight, other.head.weight)


def test_saving_a_bilm_does_not_replace_a_language_model(saved):
    with pytest.raises(ValueError, match=rf"other than a biLM .*\({HEAD}, vocab.txt\), which"):
        save_bilm(model_of((8,), seed=1).bilm, saved)
    assert LanguageModel.load(saved).head is not None


@pytest.mark.parametrize("name", [HEAD, "vocab.txt"])
def test_a_directory_without_a_softmax_is_an_error(saved, name):
    (saved / name).unlink()
    with pytest.raises(ValueError, match=f"model holds no language model: {HEAD} or vocab.txt is"):
        LanguageModel.load(saved)
    assert load_bilm(saved) is not None


def test_a_missing_directory_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no language model"):
        LanguageModel.load(tmp_path / "nothing")


def cut_off(folder):
    data = (folder / HEAD).read_bytes()
    (folder / HEAD).write_bytes(data[: len(data) // 2])


def no_softmax(folder):
    (folder / HEAD).write_bytes(b"no softmax")


def empty(folder):
    (folder / HEAD).write_bytes(b"")


def with_config(config):
    def damage(folder):
        tensors, _ = head_of(folder)
        metadata = None if config is None else {"config": config}
        safetensors.torch.save_file(tensors, folder / HEAD, metadata)

    return damage


DAMAGE = {
    "cut off": cut_off,
    "other bytes": no_softmax,
    "empty": empty,
    "without a config": with_config(None),
    "config is no JSON": with_config("{"),
    "config is a list": with_config("[]"),
    "config lacks the cutoffs": with_config("{}"),
    "cutoffs are no list": with_config(json.dumps({"cutoffs": 8})),
    "cutoffs are strings": with_config(json.dumps({"cutoffs": ["a"]})),
    "cutoffs beyond the words": with_config(json.dumps({"cutoffs": [10**6]})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_softmax_is_an_error(saved, damage):
    without_digests(saved)
    damage(saved)
    with pytest.raises(ValueError, match=f"{HEAD} is not a (whole|complete) (softmax|safetensors)"):
        LanguageModel.load(saved)


def test_a_softmax_of_another_shape_is_an_error(saved):
    without_digests(saved)
    tensors, metadata = head_of(saved)
    wrong = {
        "bias has shape": {**tensors, "bias": tensors["bias"][1:].clone()},
        "weight has shape": {**tensors, "weight": tensors["weight"][:, 1:].clone()},
        "lacks bias": {"weight": tensors["weight"]},
        "holds more, which": {**tensors, "more": tensors["bias"].clone()},
        "not finite": {**tensors, "bias": tensors["bias"] * torch.nan},
        "expected floating": {**tensors, "bias": tensors["bias"].long()},
    }
    for message, content in wrong.items():
        safetensors.torch.save_file(content, saved / HEAD, metadata)
        with pytest.raises(ValueError, match=f"{HEAD}.*{message}"):
            LanguageModel.load(saved)


def test_a_vocabulary_of_another_size_is_an_error(saved):
    without_digests(saved)
    lines = (saved / "vocab.txt").read_text().splitlines(keepends=True)
    (saved / "vocab.txt").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=f"{HEAD}: .* has shape"):
        LanguageModel.load(saved)


def test_softmax_and_vocabulary_must_have_the_same_size():
    bilm = BiLM(BiLMOptions.from_dict(MODEL))
    with pytest.raises(ValueError, match=f"has 5 classes, but the vocabulary {len(VOCAB)} words"):
        LanguageModel(bilm, FullSoftmax(5, 8), VOCAB)


def test_the_word_table_does_not_depend_on_the_chunks(monkeypatch):
    model = model_of()
    with torch.no_grad():
        expected = model.word_table(VOCAB.words)
        monkeypatch.setattr("spacy_elmo.lm.language_model.CHUNK_WORDS", 7)
        torch.testing.assert_close(model.word_table(VOCAB.words), expected)
    assert expected.shape == (2 + len(VOCAB), 8)
