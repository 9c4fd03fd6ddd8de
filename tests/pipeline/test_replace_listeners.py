import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Config

from spacy_elmo.models.scalar_mix import settings_of

from ..pipelines import TAGGED, bilm_of, changed, examples, pipeline, randomize, weights_of

pytestmark = pytest.mark.slow

PATHS = ["model.tok2vec"]


def make_docs(nlp):
    return [example.predicted for example in examples(nlp)]


def scores(nlp, name="tagger"):
    docs = make_docs(nlp)
    if nlp.has_pipe("elmo"):
        docs = list(nlp.get_pipe("elmo").pipe(docs))
    return nlp.get_pipe(name).model.predict(docs)


def assert_same(found, expected):
    for one, other in zip(found, expected):
        assert_allclose(one, other, atol=1e-5)


def trained(**settings):
    """Return a pipeline whose mixes differ from their initial values."""
    nlp = pipeline("tagger", "tagger_2", elmo=settings)
    for name, pipe in nlp.pipeline[1:]:
        mix = nlp.get_pipe("elmo").listener_map[name][0].mix
        mix.set_param("w", np.array([0.5, -0.5, len(pipe.name)], dtype="f"))
        mix.set_param("gamma", np.array([1.5], dtype="f"))
    return nlp


@pytest.mark.parametrize("frozen", [True, False])
def test_predictions_stay_the_same_and_the_listener_is_removed(frozen):
    nlp = trained(frozen=frozen)
    expected, other = scores(nlp), scores(nlp, "tagger_2")
    nlp.replace_listeners("elmo", "tagger", PATHS)
    assert nlp.get_pipe("elmo").listening_components == ["tagger_2"]
    assert_same(nlp.get_pipe("tagger").model.predict(make_docs(nlp)), expected)
    assert_same(scores(nlp, "tagger_2"), other)
    block = nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert block["@architectures"] == "spacy-elmo.Tok2VecElmo.v1"
    assert block["elmo"]["@architectures"] == "spacy-elmo.BiLM.v1"


def test_settings_of_the_listener_are_kept():
    nlp = pipeline()
    listener = {
        "@architectures": "spacy-elmo.ElmoListener.v1",
        "width": 12,
        "depth": 2,
        "dropout": 0.3,
        "layer_norm": True,
        "l2": 0.01,
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    nlp.replace_listeners("elmo", "tagger", PATHS)
    block = nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert (block["dropout"], block["layer_norm"], block["l2"]) == (0.3, True, 0.01)
    mix = next(n for n in nlp.get_pipe("tagger").model.walk() if n.name == "scalar_mix")
    assert settings_of(mix).dropout == 0.3 and settings_of(mix).layer_norm


@pytest.mark.parametrize("frozen", [True, False])
def test_replaced_component_still_trains(frozen):
    nlp = trained(frozen=frozen)
    nlp.replace_listeners("elmo", "tagger", PATHS)
    tagger = nlp.get_pipe("tagger")
    weights, upstream = weights_of(tagger), weights_of(nlp.get_pipe("elmo"))
    optimizer = Adam(0.02)
    losses = [
        nlp.update(examples(nlp), sgd=optimizer, exclude=["elmo", "tagger_2"])["tagger"]
        for _ in range(10)
    ]
    assert losses[-1] < 0.9 * losses[0]
    assert bool(changed(weights, tagger)) is not frozen
    assert changed(upstream, nlp.get_pipe("elmo")) == []


def test_replaced_in_inference_mode_and_trained_outside_of_it():
    nlp = pipeline("tagger", elmo={"frozen": False})
    with torch.inference_mode():
        nlp.replace_listeners("elmo", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("elmo")
    before = weights_of(nlp.get_pipe("tagger"))
    optimizer = nlp.resume_training()
    for _ in range(2):
        nlp.update(examples(nlp), sgd=optimizer)
    assert changed(before, nlp.get_pipe("tagger"))


def test_copy_has_its_own_shim_id():
    nlp = trained(frozen=False)
    nlp.replace_listeners("elmo", "tagger", PATHS)
    nlp.replace_listeners("elmo", "tagger_2", PATHS)
    ids = [shim.id for _, pipe in nlp.pipeline for n in pipe.model.walk() for shim in n.shims]
    assert len(ids) == len(set(ids)) > 3
    assert bilm_of(nlp.get_pipe("tagger")) is not bilm_of(nlp.get_pipe("elmo"))


@pytest.mark.parametrize("frozen", [True, False])
def test_replaced_component_survives_a_directory(tmp_path, frozen):
    nlp = trained(frozen=frozen)
    nlp.replace_listeners("elmo", "tagger", PATHS)
    expected = nlp.get_pipe("tagger").model.predict(make_docs(nlp))
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path, exclude=["elmo", "tagger_2"])
    assert_same(other.get_pipe("tagger").model.predict(make_docs(other)), expected)
    # a frozen copy is still frozen after it was saved
    weights = weights_of(other.get_pipe("tagger"))
    optimizer = Adam(0.02)
    for _ in range(3):
        other.update(examples(other), sgd=optimizer)
    assert bool(changed(weights, other.get_pipe("tagger"))) is not frozen


def test_config_of_a_replaced_component_builds_a_new_one():
    nlp = trained()
    nlp.replace_listeners("elmo", "tagger", PATHS)
    nlp.remove_pipe("elmo")
    nlp.remove_pipe("tagger_2")
    other = spacy.util.load_model_from_config(Config().from_str(nlp.config.to_str()))
    other.from_bytes(nlp.to_bytes())
    assert_same(scores(other), scores(nlp))


@pytest.mark.parametrize("after", ["its own elmo", "no elmo"])
def test_sourced_with_replace_listeners_from_the_config(tmp_path, after):
    source = trained()
    source.to_disk(tmp_path)
    expected = scores(source)
    block = {"source": str(tmp_path), "replace_listeners": PATHS}
    config = {
        "nlp": {"lang": "en", "pipeline": ["tagger"]},
        "components": {"tagger": block},
    }
    if after != "no elmo":
        config["nlp"]["pipeline"] = ["elmo", "tagger"]
        config["components"]["elmo"] = {"source": str(tmp_path)}
    nlp = spacy.util.load_model_from_config(Config(config), auto_fill=True)
    assert_same(nlp.get_pipe("tagger").model.predict(make_docs(nlp)), expected)
    if nlp.has_pipe("elmo"):
        assert nlp.get_pipe("elmo").listening_components == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing", "tagger", PATHS),
        ("elmo", "nothing", PATHS),
        ("elmo", "tagger", ["model.nothing"]),
        ("elmo", "tagger", ["model.tok2vec", "model.tok2vec"]),
        ("tagger", "elmo", PATHS),
    ],
)
def test_invalid_arguments(arguments):
    nlp = trained()
    with pytest.raises(ValueError):
        nlp.replace_listeners(*arguments)
    assert nlp.get_pipe("elmo").listening_components == ["tagger", "tagger_2"]


def test_listener_within_other_layers():
    """The listener is the embed of a tok2vec layer: spaCy passes the block that contains it."""
    nlp = pipeline()
    tok2vec = {
        "@architectures": "spacy.Tok2Vec.v2",
        "embed": {
            "@architectures": "spacy-elmo.ElmoListener.v1",
            "width": 12,
            "depth": 2,
            "l2": 0.5,
        },
        "encode": {
            "@architectures": "spacy.MaxoutWindowEncoder.v2",
            "width": 12,
            "window_size": 1,
            "maxout_pieces": 2,
            "depth": 1,
        },
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    nlp.add_pipe("tagger", config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    randomize(nlp, ["tagger"])
    expected = scores(nlp)
    nlp.replace_listeners("elmo", "tagger", ["model.tok2vec.embed"])
    assert_same(nlp.get_pipe("tagger").model.predict(make_docs(nlp)), expected)
    block = nlp.config["components"]["tagger"]["model"]["tok2vec"]["embed"]
    assert (block["@architectures"], block["l2"]) == ("spacy-elmo.Tok2VecElmo.v1", 0.5)


def test_weights_of_the_copy_are_those_of_the_upstream():
    nlp = trained()
    nlp.replace_listeners("elmo", "tagger", PATHS)
    copied = weights_of(nlp.get_pipe("tagger"))
    for name, values in weights_of(nlp.get_pipe("elmo")).items():
        assert_array_equal(values, copied[name])
    assert [token.tag_ for token in nlp(TAGGED[0][0])]


def test_two_listeners_of_a_component_are_replaced(tmp_path):
    nlp = pipeline()
    listener = {"@architectures": "spacy-elmo.ElmoListener.v1", "width": 12, "depth": 2}
    both = {
        "@architectures": "spacy-elmo.ConcatEmbed.v1",
        "width": None,
        "elmo": listener,
        "embed": {**listener, "top_only": True},
    }
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": both}})
    nlp.initialize(lambda: examples(nlp))
    expected = scores(nlp)
    paths = ["model.tok2vec.elmo", "model.tok2vec.embed"]
    nlp.replace_listeners("elmo", "tagger", paths)
    assert nlp.get_pipe("elmo").listening_components == []
    names = [node.name for node in nlp.get_pipe("tagger").model.walk()]
    assert "elmo-listener" not in names and names.count("scalar_mix") == 2
    assert_same(nlp.get_pipe("tagger").model.predict(make_docs(nlp)), expected)
    block = nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert [block[name].get("top_only") for name in ("elmo", "embed")] == [False, True]
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, exclude=["elmo"])
    assert_same(loaded.get_pipe("tagger").model.predict(make_docs(loaded)), expected)
