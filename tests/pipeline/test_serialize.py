import pickle
import shutil
import warnings

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_elmo import save_bilm
from spacy_elmo.models.scalar_mix import settings_of

from ..pipelines import add_elmo, add_listener, blank, changed, examples, pipeline, weights_of
from ..samples import tiny_bilm

TEXT = "The bank of the river. \n\n Why?"


@pytest.fixture(scope="module")
def nlp():
    return pipeline("tagger", "ner")


def assert_same_output(one, other):
    first, second = one(TEXT), other(TEXT)
    assert_allclose(first._.elmo, second._.elmo, atol=1e-6)
    assert_allclose(first.tensor, second.tensor, atol=1e-6)
    assert [token.tag_ for token in first] == [token.tag_ for token in second]
    assert first.ents == second.ents or str(first.ents) == str(second.ents)


def test_component_to_bytes(nlp):
    elmo = nlp.get_pipe("elmo")
    other = blank().get_pipe("elmo").from_bytes(elmo.to_bytes())
    doc = nlp.make_doc(TEXT)
    assert_array_equal(other.predict([doc]).layers, elmo.predict([doc]).layers)
    assert other.to_bytes(exclude=["vocab"]) == elmo.to_bytes(exclude=["vocab"])


def test_component_to_disk(nlp, tmp_path):
    elmo = nlp.get_pipe("elmo")
    elmo.to_disk(tmp_path / "elmo")
    other = blank().get_pipe("elmo").from_disk(tmp_path / "elmo")
    assert changed(weights_of(elmo), other) == []


def test_pipeline_to_bytes(nlp):
    assert_same_output(blank("tagger", "ner").from_bytes(nlp.to_bytes()), nlp)


def test_pipeline_to_disk(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    assert_same_output(other, nlp)
    assert other.get_pipe("elmo").listening_components == ["tagger", "ner"]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_vectors_after_training_are_the_same_when_loaded(tmp_path, frozen):
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"frozen": frozen})
    add_listener(nlp, "tagger", width=nlp.get_pipe("elmo").model.get_dim("nO"))
    optimizer = nlp.initialize(lambda: examples(nlp))
    for _ in range(3):
        nlp.update(examples(nlp), sgd=optimizer)
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    # the first pipeline has encoded some of the words in training, in batches of other sizes
    for text in [TEXT, "Ann saw the old town.", "Bob likes a bank and a river in the old town ."]:
        assert_allclose(other(text)._.elmo, nlp(text)._.elmo, rtol=0, atol=5e-5)


def test_before_initialize(tmp_path):
    nlp = blank("tagger")
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    assert not other.get_pipe("elmo").loaded
    assert not blank("tagger").from_bytes(nlp.to_bytes()).get_pipe("elmo").loaded
    component = blank().get_pipe("elmo")
    assert not component.from_bytes(nlp.get_pipe("elmo").to_bytes()).loaded
    other.initialize(lambda: examples(other))
    assert other(TEXT)._.elmo is not None


@pytest.mark.parametrize("settings", [{"frozen": False}, {"mix": [0.1, 0.2, 0.3]}, {"cache_mb": 7}])
def test_settings_survive(tmp_path, settings):
    pipeline(elmo=settings).to_disk(tmp_path)
    other = spacy.load(tmp_path)
    for name, value in settings.items():
        assert other.config["components"]["elmo"][name] == value
    assert other.get_pipe("elmo").frozen is settings.get("frozen", True)


def test_settings_can_be_overridden_when_a_pipeline_is_loaded(tmp_path):
    pipeline("tagger").to_disk(tmp_path)
    overrides = {"components.elmo.frozen": False, "components.elmo.model.start_state": "zero"}
    other = spacy.load(tmp_path, config=overrides)
    before = weights_of(other.get_pipe("elmo"))
    optimizer = other.resume_training()
    for _ in range(3):
        other.update(examples(other), sgd=optimizer)
    assert changed(before, other.get_pipe("elmo"))
    assert other.get_pipe("elmo").model.attrs["settings"].start_state == "zero"


def test_saved_pipeline_does_not_need_the_weight_file(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "weights")
    nlp = blank()
    nlp.config["initialize"]["components"]["elmo"] = {
        "loader": {
            "@misc": "spacy-elmo.PretrainedLoader.v1",
            "path": str(tmp_path / "weights"),
        }
    }
    nlp.initialize()
    nlp.to_disk(tmp_path / "nlp")
    shutil.rmtree(tmp_path / "weights")
    other = spacy.load(tmp_path / "nlp")
    assert_allclose(other(TEXT)._.elmo, nlp(TEXT)._.elmo, atol=1e-6)


def test_exclude(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path, exclude=["ner"])
    assert other.get_pipe("elmo").listening_components == ["tagger"]
    elmo = nlp.get_pipe("elmo")
    assert len(elmo.to_bytes(exclude=["model"])) < len(elmo.to_bytes())
    elmo.to_disk(tmp_path / "part", exclude=["model"])
    assert not (tmp_path / "part" / "model").exists()
    other = blank().get_pipe("elmo").from_bytes(elmo.to_bytes(), exclude=["model"])
    assert not other.loaded


@pytest.mark.parametrize(("size", "message"), [("width", "width 12"), ("depth", "width 12")])
def test_sizes_cannot_be_overridden_when_a_pipeline_is_loaded(tmp_path, size, message):
    nlp = pipeline()
    nlp.to_disk(tmp_path)
    overrides = {f"components.elmo.model.{size}": 1}
    pattern = f"elmo has {message}.*'elmo' says.*{size} = 1.*as they were saved"
    with pytest.raises(ValueError, match=pattern):
        spacy.load(tmp_path, config=overrides)
    other = spacy.blank("en")
    add_elmo(other, model={size: 1})
    with pytest.raises(ValueError, match=f"state of 'elmo' has {message}"):
        other.from_bytes(nlp.to_bytes())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1000],
        lambda data: data[:1],
        lambda data: b"",
        lambda data: data + b"0",
        lambda data: bytes(len(data)),
        lambda data: data[:40] + b"\xff" + data[41:],
    ],
    ids=["cut", "one byte", "empty", "more", "zeros", "a wrong byte"],
)
def test_a_damaged_model(tmp_path, damage):
    pipeline().to_disk(tmp_path)
    file = tmp_path / "elmo" / "model"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match="elmo cannot be read: .*copy it again"):
        spacy.load(tmp_path)


def test_pickle(nlp):
    other = pickle.loads(pickle.dumps(nlp))
    assert_same_output(other, nlp)
    assert other.get_pipe("elmo").listening_components == ["tagger", "ner"]
    other.update(examples(other), sgd=False)


def test_pickle_in_the_middle_of_training():
    nlp = pipeline("tagger", elmo={"frozen": False})
    nlp.get_pipe("elmo").update(examples(nlp))
    other = pickle.loads(pickle.dumps(nlp))
    assert_same_output(other, nlp)
    assert other.get_pipe("elmo").listeners[0].pending is None
    losses = other.update(examples(other), sgd=False)
    assert losses["elmo"] > 0


def test_loading_drops_cached_layers(nlp):
    other = pipeline("tagger", "ner", elmo={})
    add = other.get_pipe("elmo")
    add.initialize(lambda: examples(other), loader=lambda: tiny_bilm(5))
    other.update(examples(other), sgd=False)
    add.from_bytes(nlp.get_pipe("elmo").to_bytes())
    docs = [example.predicted for example in examples(other)]
    assert_allclose(add.predict(docs).layers, nlp.get_pipe("elmo").predict(docs).layers, atol=1e-6)


def test_saving_leaves_the_pipeline_as_it_was(nlp, tmp_path):
    before = nlp(TEXT)._.elmo
    nlp.to_disk(tmp_path)
    assert_array_equal(nlp(TEXT)._.elmo, before)


def test_doc_to_bytes(nlp):
    doc = nlp(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert_array_equal(other._.elmo, doc._.elmo)
    assert_array_equal(other.tensor, doc.tensor)


def test_doc_bin_with_user_data(nlp):
    docs = [nlp(TEXT), nlp("One")]
    stored = DocBin(docs=docs, store_user_data=True).to_bytes()
    for doc, other in zip(docs, DocBin().from_bytes(stored).get_docs(Vocab())):
        assert_array_equal(other._.elmo, doc._.elmo)


def test_listeners_read_docs_from_a_doc_bin(nlp):
    doc = nlp(TEXT)
    stored = DocBin(docs=[doc], store_user_data=True).to_bytes()
    other = next(DocBin().from_bytes(stored).get_docs(nlp.vocab))
    expected = nlp.get_pipe("tagger").model.predict([doc])[0]
    assert_allclose(nlp.get_pipe("tagger").model.predict([other])[0], expected, atol=1e-6)


def test_doc_from_docs(nlp):
    docs = [nlp("The bank."), nlp("Why?")]
    with pytest.warns(UserWarning, match="W101"):
        joined = Doc.from_docs(docs)
    assert_array_equal(joined.tensor, np.concatenate([doc.tensor for doc in docs]))
    assert joined._.elmo is None
    assert nlp.get_pipe("elmo")(joined)._.elmo.shape == (3, 5, 12)


def test_doc_copy_is_deep(nlp):
    doc = nlp(TEXT)
    other = doc.copy()
    other.tensor[:] = 0
    other._.elmo[:] = 0
    assert doc.tensor.any() and doc._.elmo.any()


def test_span_as_doc(nlp):
    doc = nlp("The bank of the river.")
    part = doc[1:4].as_doc()
    assert_array_equal(part.tensor, doc.tensor[1:4])
    assert part._.elmo is None
    assert doc[1:4].as_doc(copy_user_data=True)._.elmo is None


def test_mix_can_be_overridden_when_a_pipeline_is_loaded(tmp_path):
    nlp = blank()
    add_listener(nlp, "tagger", dropout=0.5, layer_norm=True)
    nlp.initialize(lambda: examples(nlp))
    nlp.to_disk(tmp_path)
    block = "components.tagger.model.tok2vec"
    other = spacy.load(tmp_path, config={f"{block}.dropout": 0.0, f"{block}.layer_norm": False})
    settings = settings_of(other.get_pipe("elmo").listeners[0].mix)
    assert settings.dropout == 0.0 and not settings.layer_norm
