"""Vectors that are not finite raise an error that names the word, in every function of a biLM."""

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Example

from spacy_elmo import ElmoEmbedder, save_bilm
from spacy_elmo.bilm import WordBatch
from spacy_elmo.embed.run import EmbedSettings, embed_files

from ..samples import SENTENCES, tiny_bilm

NOT_FINITE = r"vectors that are not finite \(NaN or infinity\)"


def overflowing(value=3e38):
    """RETURNS (BiLM): A biLM with finite weights whose vectors overflow."""
    bilm = tiny_bilm()
    bilm.tokens.projection.weight.fill_(value)
    return bilm


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("start", ["warm", "zero"])
@pytest.mark.filterwarnings("ignore")
def test_overflow_is_an_error(precision, start):
    batch = WordBatch.from_sentences(SENTENCES)
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match=f"{NOT_FINITE} for [0-9]+ of [0-9]+ tokens"),
    ):
        overflowing()(batch, precision=precision, start_state=start)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["bias", "input_weight", "state_weight", "projection"])
def test_weight_that_is_not_finite_is_an_error_if_it_affects_the_vectors(layer, value, name):
    bilm = tiny_bilm()
    getattr(bilm.layers[layer], name).view(-1)[3] = value
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        try:
            found = bilm(batch)
        except ValueError as error:
            assert "not finite" in str(error)
        else:  # an infinite value before a sigmoid only opens a gate
            assert torch.isfinite(found).all()


def test_error_names_the_word_and_its_sentence():
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences([["all", "is", "well"], ["here", "a", "bad", "word"]])
    embed_words = bilm.tokens.forward

    def forward(words):
        vectors = embed_words(words)
        vectors[words.index("bad")] = torch.nan
        return vectors

    bilm.tokens.forward = forward
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match="of 7 tokens, first for .* in 'here a bad"),
    ):
        bilm(batch)
    with pytest.raises(ValueError, match=NOT_FINITE), torch.no_grad():
        bilm.carry(batch)


def test_large_finite_values_are_no_error():
    """Their sum is infinite."""
    bilm = tiny_bilm()
    bilm.tokens.projection.weight.zero_()
    bilm.tokens.projection.bias.fill_(3e38)
    batch = WordBatch.from_sentences([["a", "b"], ["c"]])
    with torch.no_grad():
        layers = bilm(batch)
    assert torch.isfinite(layers).all() and not torch.isfinite(layers.sum())


def test_every_public_way_to_run_a_bilm_raises(tmp_path):
    # as after a training that diverged: the saved weights are finite, and the vectors are not
    save_bilm(overflowing(), tmp_path / "bilm")
    for start in ("warm", "zero", "carry"):
        with pytest.raises(ValueError, match=NOT_FINITE):
            ElmoEmbedder(weight_file=tmp_path / "bilm", start_state=start).embed_batch(SENTENCES)
    (tmp_path / "a.txt").write_text("Some text.")
    with pytest.raises(ValueError, match=NOT_FINITE):
        settings = EmbedSettings(model=str(tmp_path / "bilm"))
        embed_files([tmp_path / "a.txt"], tmp_path / "x.hdf5", settings)
    assert not (tmp_path / "x.hdf5").exists()
    bilm = tiny_bilm()
    width, depth = bilm.options.width, bilm.options.n_layers
    nlp = spacy.blank("en")
    architecture = {"@architectures": "spacy-elmo.BiLM.v1", "width": width, "depth": depth}
    elmo = nlp.add_pipe("elmo", config={"model": architecture})
    example = Example.from_dict(nlp.make_doc("text"), {})
    elmo.initialize(lambda: [example], nlp=nlp, loader=overflowing)
    with pytest.raises(ValueError, match=NOT_FINITE):
        nlp("Some text.")


def test_no_check_while_gradients_are_recorded():
    batch = WordBatch.from_sentences(SENTENCES)
    layers = overflowing().requires_grad_(True)(batch)
    assert not np.isfinite(layers.detach().numpy()).all()
