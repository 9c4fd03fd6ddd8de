"""Pretrained weights in a pipeline, in the original format, and as the start of a training."""

import numpy as np
import pytest
import spacy

from spacy_elmo import ElmoEmbedder, load_bilm
from spacy_elmo.pretrain.log import read
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.weights import save_bilm

from . import toys
from .toys import config, pretraining, write_text

TEXT = "The cat sees the old fox."


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("use")
    write_text(folder)
    pretraining(config(folder), folder / "out").run()
    return folder


def pipeline(path):
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": {"width": 16, "depth": 2}})
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(path)}
    nlp.config["initialize"]["components"]["elmo"] = {"loader": loader}
    nlp.initialize()
    return nlp


def test_pretrained_weights_initialize_a_pipeline(trained):
    path = trained / "out" / "model-best"
    layers = pipeline(path)(TEXT)._.elmo
    assert layers.shape == (3, 7, 16)
    expected = ElmoEmbedder(weight_file=path).embed_sentence(
        ["The", "cat", "sees", "the", "old", "fox", "."]
    )
    np.testing.assert_allclose(layers, expected, atol=1e-6)


def test_pretrained_weights_are_written_in_the_original_format(trained, tmp_path):
    path = trained / "out" / "model-best"
    save_bilm(load_bilm(path), tmp_path / "weights.hdf5")
    found, expected = (pipeline(p)(TEXT)._.elmo for p in (tmp_path / "weights.hdf5", path))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_imported_weights_are_trained_on_other_text(trained, tmp_path):
    save_bilm(load_bilm(trained / "out" / "model-best"), tmp_path / "weights.hdf5")
    lines = [" ".join(reversed(words)) + "\n" for words in toys.sentences(60, seed=5)]
    (tmp_path / "domain.txt").write_text("".join(lines))
    fast = {"learn_rate": 0.02, "matrix_rate": 0.01}
    blocks = toys.values(trained, recipe=fast, training={"epochs": 4.0})
    blocks["text"]["train"] = blocks["text"]["heldout"] = [str(tmp_path / "domain.txt")]
    del blocks["model"]
    given = toys.PretrainConfig.from_dict(
        {**blocks, "init": {"path": str(tmp_path / "weights.hdf5")}}
    )
    training = pretraining(given, tmp_path / "tuned")
    bilm = load_bilm(tmp_path / "weights.hdf5")
    for name, param in bilm.named_parameters():
        # a new softmax over the imported weights
        assert param.equal(dict(training.trainer.model.bilm.named_parameters())[name]), name
    training.run()
    perplexities = [row["geometric"] for row in read(tmp_path / "tuned") if "geometric" in row]
    assert perplexities[-1] < 0.85 * perplexities[0]
    assert make_model(given, training.corpus).bilm.options == bilm.options
    assert load_bilm(tmp_path / "tuned" / "model-last").options == bilm.options
