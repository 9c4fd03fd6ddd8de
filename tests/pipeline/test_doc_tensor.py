"""`elmo` and spaCy's `tok2vec` share `doc.tensor`: no component reads the vectors of another."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli.init_config import init_config
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train

from ..pipelines import TAGGED, WIDTH, add_elmo, add_listener, blank, examples, pipeline, randomize

pytestmark = pytest.mark.slow

TEXTS = ["Ann saw Rome .", "Bob likes the old town .", "", "Why did Ann leave ?"]
NARROW = 7  # a width that the biLM does not have
NAMES = ("tok2vec", "tagger", "morphologizer")


def add_tok2vec(nlp, width=WIDTH, **place):
    embed = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": width,
        "depth": 1,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
    }
    return nlp.add_pipe("tok2vec", config={"model": embed}, **place)


def add_reader(nlp, name="tagger", width=WIDTH, **place):
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": width, "upstream": "*"}
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    return nlp.add_pipe(name, config={"model": model}, **place)


def trained(width=WIDTH):
    """Return a pipeline like spaCy's small pipelines, with components that listen to a shared
    tok2vec. Its weights are random, so that other vectors give other tags."""
    nlp = spacy.blank("en")
    add_tok2vec(nlp, width)
    add_reader(nlp, "tagger", width)
    add_reader(nlp, "morphologizer", width)
    nlp.initialize(lambda: with_morphology(nlp))
    randomize(nlp, NAMES)
    return nlp


def with_morphology(nlp):
    found = examples(nlp)
    for example in found:
        for i, token in enumerate(example.reference):
            token.pos_ = ("NOUN", "VERB", "ADJ")[i % 3]
    return found


def annotations(nlp, pipe=False):
    docs = list(nlp.pipe(TEXTS)) if pipe else [nlp(text) for text in TEXTS]
    return [(token.tag_, token.pos_) for doc in docs for token in doc]


def initialize(elmo):
    elmo.initialize(loader=spacy.registry.misc.get("spacy-elmo-tests.TinyBiLM.v1")())


PLACES = [
    {"first": True},
    {"before": "tagger"},
    {"after": "tagger"},
    {"last": True},
]


@pytest.mark.parametrize("width", [WIDTH, NARROW])
@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
def test_adding_elmo_changes_no_annotation(place, width):
    nlp = trained(width)
    expected = annotations(nlp)
    assert len(set(expected)) > 2
    elmo = nlp.add_pipe("elmo", config={"model": {"width": WIDTH, "depth": 2}}, **place)
    initialize(elmo)
    assert annotations(nlp) == annotations(nlp, pipe=True) == expected
    doc = nlp(TEXTS[0])
    assert doc._.elmo.shape == (3, 4, WIDTH)
    assert annotations_of(nlp(doc)) == annotations_of(doc)


def annotations_of(doc):
    return [(token.tag_, token.pos_) for token in doc]


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
def test_adding_elmo_changes_no_annotation_after_saving_or_sourcing(place, tmp_path):
    nlp = trained()
    expected = annotations(nlp)
    initialize(nlp.add_pipe("elmo", config={"model": {"width": WIDTH}}, **place))
    nlp.to_disk(tmp_path / "nlp")
    assert annotations(spacy.load(tmp_path / "nlp")) == expected
    config = nlp.config.copy()
    for name in nlp.pipe_names:
        config["components"][name] = {"source": str(tmp_path / "nlp")}
    assert annotations(spacy.util.load_model_from_config(config)) == expected
    other = spacy.blank("en")
    for name in nlp.pipe_names:
        other.add_pipe(name, source=nlp)
    assert annotations(other) == expected
    assert annotations(other.from_bytes(nlp.to_bytes())) == expected


@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
@pytest.mark.parametrize("name", ["tagger", "morphologizer"])
def test_adding_elmo_changes_no_annotation_of_a_component_that_is_enabled_later(name, tmp_path):
    nlp = trained()
    expected = annotations(nlp)
    with nlp.select_pipes(disable=["tagger", "morphologizer"]):
        initialize(nlp.add_pipe("elmo", config={"model": {"width": WIDTH}}, after="tok2vec"))
        nlp(TEXTS[0])
    assert annotations(nlp) == expected
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp", disable=[name])
    loaded(TEXTS[0])
    loaded.enable_pipe(name)
    assert annotations(loaded) == expected


@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
def test_adding_elmo_changes_no_annotation_in_other_processes():
    nlp = trained()
    expected = annotations(nlp)
    initialize(nlp.add_pipe("elmo", config={"model": {"width": WIDTH}}, after="tok2vec"))
    docs = list(nlp.pipe(TEXTS, n_process=2))
    assert [pair for doc in docs for pair in annotations_of(doc)] == expected
    for again in (pickle.loads(pickle.dumps(nlp.get_pipe("elmo"))), copy.deepcopy(nlp)):
        elmo = again if not isinstance(again, Language) else again.get_pipe("elmo")
        assert elmo.tensor_sharing.users == nlp.get_pipe("elmo").tensor_sharing.users


@pytest.mark.parametrize(
    "place, message",
    [
        ({"first": True}, "because 'tok2vec' comes later and sets it.* are in doc._.elmo"),
        ({"after": "tok2vec"}, "because 'tagger' comes later and reads it.* after 'morphologizer'"),
    ],
)
def test_one_warning_says_where_the_vectors_are(place, message, tmp_path):
    nlp = trained()
    elmo = nlp.add_pipe("elmo", config={"model": {"width": WIDTH}}, **place)
    with pytest.warns(UserWarning, match=message):
        initialize(elmo)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    with pytest.warns(UserWarning, match=message):
        loaded(TEXTS[0])
    for each in (nlp, loaded):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            doc = each(TEXTS[0])
        assert_array_equal(doc.tensor, trained()(TEXTS[0]).tensor)


@pytest.mark.parametrize("setting", [None, False])
def test_no_warning_if_no_other_component_uses_doc_tensor(setting):
    nlp = spacy.blank("en")
    add_elmo(nlp, store_tensor=setting)
    nlp.add_pipe("sentencizer")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize()
        doc = nlp(TEXTS[0])
    assert doc.tensor.shape == ((0,) if setting is False else (4, WIDTH))


def test_no_warning_with_store_tensor_false_or_at_the_end_of_the_pipeline():
    nlp = trained()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = {"model": {"width": WIDTH}, "store_tensor": False}
        initialize(nlp.add_pipe("elmo", config=config, after="tok2vec"))
        assert annotations(nlp) == annotations(trained())
        nlp.remove_pipe("elmo")
        initialize(nlp.add_pipe("elmo", config={"model": {"width": WIDTH}}))
        doc = nlp(TEXTS[0])
    assert_allclose(doc.tensor, doc._.elmo.mean(axis=0), atol=1e-6)


def test_store_tensor_true_is_refused_if_a_listener_would_read_it():
    nlp = trained()
    config = {"model": {"width": WIDTH}, "store_tensor": True}
    elmo = nlp.add_pipe("elmo", config=config, after="tok2vec")
    message = "store_tensor = true.*'tagger' reads.*store_tensor = null or false.*ElmoListener"
    with pytest.raises(ValueError, match=message):
        initialize(elmo)
    elmo.store_tensor = False
    initialize(elmo)
    elmo.store_tensor = True
    for run in (lambda: nlp(TEXTS[0]), lambda: elmo.update(examples(nlp))):
        with pytest.raises(ValueError, match=message):
            run()
    elmo.store_tensor = None
    with pytest.warns(UserWarning, match="does not set doc.tensor"):
        assert annotations(nlp) == annotations(trained())
    elmo.store_tensor = True
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: with_morphology(nlp))


def test_the_order_of_the_pipeline_that_sourced_the_components_counts():
    source = trained()
    config = {"model": {"width": WIDTH}, "store_tensor": True}
    with pytest.warns(UserWarning, match="overwrites doc.tensor"):
        initialize(source.add_pipe("elmo", config=config, first=True))
    nlp = spacy.blank("en")
    for name in ("tok2vec", "elmo", "tagger"):
        nlp.add_pipe(name, source=source)
    with pytest.raises(ValueError, match="'tagger' reads"):
        nlp(TEXTS[0])


def test_store_tensor_true_is_allowed_before_tok2vec_and_after_the_listeners():
    nlp = trained()
    config = {"model": {"width": WIDTH}, "store_tensor": True}
    elmo = nlp.add_pipe("elmo", config=config, first=True)
    with pytest.warns(UserWarning, match="'tok2vec' comes after 'elmo' and overwrites doc.tensor"):
        initialize(elmo)
    assert annotations(nlp) == annotations(trained())
    nlp.remove_pipe("elmo")
    initialize(nlp.add_pipe("elmo", config=config, last=True))
    doc = nlp(TEXTS[0])
    assert_allclose(doc.tensor, doc._.elmo.mean(axis=0), atol=1e-6)


@Language.component("reads_tensor", requires=["doc.tensor"])
def reads_tensor(doc):
    return doc


@Language.component("sets_tensor", assigns=["doc.tensor"])
def sets_tensor(doc):
    doc.tensor = np.ones((len(doc), 3), dtype="f")
    return doc


def test_other_components_are_found_by_what_their_factories_declare():
    nlp = spacy.blank("en")
    elmo = add_elmo(nlp)
    nlp.add_pipe("sets_tensor")
    nlp.add_pipe("reads_tensor")
    with pytest.warns(UserWarning, match="'sets_tensor' comes later and sets it"):
        nlp.initialize()
    assert nlp(TEXTS[0]).tensor.shape == (4, 3)
    nlp.remove_pipe("sets_tensor")
    elmo.store_tensor = True
    with pytest.raises(ValueError, match="'reads_tensor' reads"):
        nlp(TEXTS[0])


@pytest.mark.parametrize("first", ["elmo", "tagger"])
def test_a_tok2vec_listener_without_a_tok2vec_is_an_error(first):
    nlp = spacy.blank("en")
    for name in sorted(["elmo", "tagger"], reverse=first != "elmo"):
        if name == "elmo":
            add_elmo(nlp)
        else:
            add_reader(nlp)
    with pytest.raises(ValueError, match="'tagger' has a spacy.Tok2VecListener.*ElmoListener.v1"):
        nlp.initialize(lambda: examples(nlp))


def corpus(path):
    nlp = spacy.blank("en")
    DocBin(docs=[example.reference for example in examples(nlp)] * 3).to_disk(path)
    return str(path)


def train_few_steps(config, tmp_path):
    config["paths"].update(train=corpus(tmp_path / "c.spacy"), dev=corpus(tmp_path / "c.spacy"))
    config["training"].update(max_steps=2, eval_frequency=1)
    loader = {"@misc": "spacy-elmo-tests.TinyBiLM.v1", "seed": 0}
    config["initialize"]["components"]["elmo"] = {"loader": loader}
    config["components"]["elmo"]["model"]["width"] = WIDTH
    nlp = init_nlp(config)
    with (tmp_path / "out.txt").open("w") as out:
        train(nlp, None, stdout=out, stderr=out)
    return nlp


@pytest.mark.parametrize("names", [["elmo", "ner"], ["tok2vec", "elmo", "ner"], ["ner", "elmo"]])
def test_training_a_config_of_spacy_init_config_warns(names, tmp_path):
    config = init_config(pipeline=names)
    with pytest.warns(UserWarning, match="No component listens to 'elmo'.*init config"):
        nlp = train_few_steps(config, tmp_path)
    # a component that listens to tok2vec still gets its vectors
    doc = nlp("Ann saw Rome .")
    expected = nlp.get_pipe("tok2vec").predict([nlp.make_doc("Ann saw Rome .")])[0]
    if names[-1] == "ner":
        assert_allclose(doc.tensor, expected, atol=1e-6)


def test_training_with_a_listener_gives_no_warning():
    nlp = spacy.blank("en")
    add_tok2vec(nlp)
    add_elmo(nlp, store_tensor=False)
    add_reader(nlp, "morphologizer")
    add_listener(nlp, "tagger")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: with_morphology(nlp))
        losses = [nlp.update(with_morphology(nlp)) for _ in range(20)]
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    assert losses[-1]["morphologizer"] < losses[0]["morphologizer"]


@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
def test_both_kinds_of_listeners_predict_what_they_were_trained_on():
    """Training and prediction use the same vectors."""
    nlp = spacy.blank("en")
    add_tok2vec(nlp)
    add_elmo(nlp)
    add_reader(nlp, "tagger")
    add_listener(nlp, "tagger_2")
    nlp.initialize(lambda: examples(nlp))
    for _ in range(60):
        nlp.update(examples(nlp))
    tags = [tag for _, gold in TAGGED for tag in gold]
    assert nlp.evaluate(examples(nlp))["tag_acc"] == 1.0
    nlp.disable_pipe("tagger_2")
    found = [token.tag_ for doc in nlp.pipe([text for text, _ in TAGGED]) for token in doc]
    assert found == tags


@pytest.mark.filterwarnings("ignore:'elmo' does not set doc.tensor")
def test_training_on_elmo_next_to_frozen_components_on_tok2vec(tmp_path):
    nlp = trained()
    expected = annotations(nlp)
    add_elmo(nlp, first=True)
    add_listener(nlp, "ner")
    nlp.to_disk(tmp_path / "nlp")
    config = nlp.config.copy()
    for name in NAMES:
        config["components"][name] = {"source": str(tmp_path / "nlp")}
    config["training"]["frozen_components"] = list(NAMES)
    loaded = train_few_steps(config, tmp_path)
    assert annotations(loaded) == expected
    assert loaded.get_pipe("elmo").listening_components == ["ner"]


def test_a_listener_that_was_disabled_while_others_were_initialized(tmp_path):
    """`spacy train` disables sourced components while it initializes the others."""
    nlp = pipeline("tagger", "ner")
    nlp.to_disk(tmp_path / "nlp")
    config = nlp.config.copy()
    config["components"]["tagger"] = {"source": str(tmp_path / "nlp")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = train_few_steps(config, tmp_path)
    assert sorted(trained.get_pipe("elmo").listening_components) == ["ner", "tagger"]
    again = blank("tagger")
    with again.select_pipes(disable=["tagger"]):
        again.initialize()
        again.update(examples(again))
    assert not again.get_pipe("elmo").listeners
    again.get_pipe("tagger").initialize(lambda: examples(again))
    assert again.update(examples(again))["tagger"] > 0


def test_a_doc_with_vectors_of_another_pipeline():
    """A Doc with vectors of another pipeline gets the vectors of this pipeline."""
    nlp = spacy.blank("en")
    add_elmo(nlp)
    nlp.initialize()
    doc = trained()(TEXTS[0])
    assert_allclose(nlp(doc).tensor, nlp(TEXTS[0]).tensor, atol=1e-6)
