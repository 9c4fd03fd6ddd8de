import gc
import warnings

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from spacy.training import Example
from spacy.ty import InitializableComponent, ListenedToComponent, TrainableComponent

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.bilm import WordBatch
from spacy_elmo.models.architectures import build_tok2vec_elmo_v1
from spacy_elmo.pipeline.elmo import Elmo
from spacy_elmo.pipeline.upstream import check_upstreams

from ..pipelines import add_elmo, add_listener, bilm_of, blank, examples, make_tiny_loader, pipeline
from ..samples import SENTENCES, tiny_bilm


@pytest.fixture(scope="module")
def nlp():
    return pipeline()


def make_docs(nlp):
    return [Doc(nlp.vocab, words=sentence) for sentence in SENTENCES]


def test_spacy_sees_all_three_kinds_of_component(nlp):
    for protocol in (TrainableComponent, InitializableComponent, ListenedToComponent):
        assert isinstance(nlp.get_pipe("elmo"), protocol)


def test_layers_equal_the_output_of_the_bilm(nlp):
    docs = make_docs(nlp)
    batch = nlp.get_pipe("elmo").predict(docs)
    expected = tiny_bilm()(WordBatch.from_sentences(SENTENCES)).numpy()
    assert_allclose(batch.layers, expected, atol=1e-5)
    assert batch.lengths == [len(doc) for doc in docs]


def test_predict_writes_nothing(nlp):
    docs = make_docs(nlp)
    nlp.get_pipe("elmo").predict(docs)
    assert all(doc._.elmo is None and not doc.tensor.size for doc in docs)


def test_predict_takes_any_iterable(nlp):
    elmo = nlp.get_pipe("elmo")
    assert elmo.predict(iter(make_docs(nlp))).lengths == [len(doc) for doc in make_docs(nlp)]
    assert elmo.predict([]).layers.shape == (3, 0, 12)


def test_annotations_have_the_stated_shapes_and_types(nlp):
    doc = nlp("The bank of the river.")
    assert doc._.elmo.shape == (3, 6, 12) and doc.tensor.shape == (6, 12)
    assert doc._.elmo.dtype == doc.tensor.dtype == np.float32
    assert_allclose(doc.tensor, doc._.elmo.mean(axis=0), atol=1e-6)


def test_docs_do_not_keep_the_arrays_of_their_batch_alive(nlp):
    for doc in nlp.get_pipe("elmo").pipe(make_docs(nlp)):
        assert doc._.elmo.base is None and doc.tensor.base is None


def test_mix_of_doc_tensor():
    nlp = pipeline(elmo={"mix": [-9e10, 0.0, -9e10]})
    doc = nlp("The bank of the river.")
    assert_array_equal(doc.tensor, doc._.elmo[1])


def test_mix_of_doc_tensor_with_a_wrong_number_of_weights():
    with pytest.raises(ValueError, match="holds 2 numbers.*3 layers"):
        blank(elmo={"mix": [0.0, 1.0]})
    elmo = pipeline().get_pipe("elmo")
    with pytest.raises(ValueError, match="holds 2 numbers.*3 layers"):
        elmo.mix = [0.0, 1.0]
    assert elmo.mix is None


def test_int8():
    exact, nlp = pipeline("tagger"), pipeline("tagger", elmo={"model": {"precision": "int8"}})
    nlp.from_bytes(exact.to_bytes())
    found, expected = nlp("The bank of the river.")._.elmo, exact("The bank of the river.")._.elmo
    assert 0 < np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
    (other,) = nlp.pipe(["The bank of the river."], n_process=2)
    assert_allclose(other._.elmo, found, atol=1e-6)
    optimizer = nlp.resume_training()
    losses = [nlp.update(examples(nlp), sgd=optimizer)["tagger"] for _ in range(5)]
    assert losses[-1] < losses[0]


def test_int8_cannot_be_trained():
    message = 'frozen = false and precision = "int8".*Set frozen = true'
    with pytest.raises(ValueError, match=f"'elmo' has {message}"):
        blank(elmo={"frozen": False, "model": {"precision": "int8"}})
    elmo = pipeline(elmo={"model": {"precision": "int8"}}).get_pipe("elmo")
    with pytest.raises(ValueError, match=f"'elmo' has {message}"):
        elmo.frozen = False
    assert elmo.frozen
    with pytest.raises(ValueError, match=f"Tok2VecElmo.v1 has {message}"):
        build_tok2vec_elmo_v1(elmo.model, frozen=False)


def test_settings_choose_what_is_stored():
    doc = pipeline(elmo={"store_layers": False})("The bank")
    assert doc._.elmo is None and doc.tensor.shape == (2, 12)
    doc = pipeline(elmo={"store_tensor": False})("The bank")
    assert doc._.elmo.shape == (3, 2, 12) and not doc.tensor.size


def test_pipe_equals_call_whatever_the_batch_size(nlp):
    texts = ["The bank.", "", "Why? Because it was late.", "One", " ", "He went to the bank."] * 3
    expected = [nlp(text) for text in texts]
    for batch_size in (1, 2, 7, 100):
        for doc, one in zip(nlp.pipe(texts, batch_size=batch_size), expected):
            assert doc.text == one.text
            assert_allclose(doc._.elmo, one._.elmo, atol=1e-6, rtol=1e-5)


def test_batches_are_bounded_in_tokens():
    nlp = pipeline(elmo={"model": {"batch_tokens": 10}})
    elmo = nlp.get_pipe("elmo")
    seen = []
    predict = elmo.predict

    def watched(docs):
        seen.append([len(doc) for doc in docs])
        return predict(docs)

    elmo.predict = watched
    docs = [Doc(nlp.vocab, words=["a"] * n) for n in (4, 4, 4, 30, 1, 1)]
    assert list(elmo.pipe(docs)) == docs
    assert seen == [[4, 4, 4], [30], [1, 1]]


def test_weights_are_loaded_from_where_the_config_says(tmp_path):
    save_bilm(tiny_bilm(3), tmp_path / "tiny")
    nlp = blank()
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(tmp_path / "tiny")}
    nlp.config["initialize"]["components"]["elmo"] = {"loader": loader}
    nlp.initialize()
    found = bilm_of(nlp.get_pipe("elmo")).state_dict()
    for name, values in load_bilm(tmp_path / "tiny").state_dict().items():
        assert_array_equal(found[name], values)


def test_weights_are_not_opened_before_initialize(tmp_path):
    nlp = blank()
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(tmp_path / "nothing")}
    nlp.config["initialize"]["components"]["elmo"] = {"loader": loader}
    with pytest.raises(ValueError, match="nothing"):
        nlp.initialize()


def test_sizes_that_do_not_fit_the_weights():
    nlp = blank(elmo={"model": {"width": 14, "depth": 3}})
    with pytest.raises(ValueError, match="width 12 and depth 2.*width = 14.*depth = 3"):
        nlp.initialize()


def test_initialize_without_data_and_twice():
    nlp = blank()
    nlp.initialize()
    first = nlp("The bank")._.elmo
    nlp.get_pipe("elmo").initialize(lambda: examples(nlp), nlp=nlp, loader=make_tiny_loader(1))
    assert abs(nlp("The bank")._.elmo - first).max() > 0.01
    nlp.initialize()
    assert_array_equal(nlp("The bank")._.elmo, first)


def test_cached_layers_of_other_weights_are_dropped():
    nlp = pipeline("tagger")
    nlp.update(examples(nlp), sgd=False)
    elmo = nlp.get_pipe("elmo")
    assert len(elmo.output_cache)
    elmo.initialize(lambda: examples(nlp), loader=make_tiny_loader(1))
    docs = [example.predicted for example in examples(nlp)]
    expected = pipeline(elmo={}).get_pipe("elmo")
    expected.initialize(lambda: examples(nlp), loader=make_tiny_loader(1))
    assert_allclose(elmo.predict(docs).layers, expected.predict(docs).layers, atol=1e-6)


def test_listeners_are_found_and_named():
    nlp = blank("tagger", "ner")
    elmo = nlp.get_pipe("elmo")
    assert elmo.listening_components == ["tagger", "ner"]
    assert len(elmo.listeners) == 2
    elmo.find_listeners(nlp.get_pipe("tagger"))
    assert len(elmo.listeners) == 2


def test_listeners_are_removed_and_renamed():
    nlp = blank("tagger", "ner")
    elmo = nlp.get_pipe("elmo")
    nlp.rename_pipe("tagger", "pos")
    assert elmo.listening_components == ["pos", "ner"]
    assert elmo.remove_listener(elmo.listener_map["pos"][0], "pos")
    assert elmo.listening_components == ["ner"]
    assert not elmo.remove_listener(elmo.listener_map["ner"][0], "pos")
    nlp.remove_pipe("ner")
    nlp._link_components()
    assert elmo.listening_components == ["pos"] or elmo.listening_components == ["tagger"]


def test_listener_before_the_component_finds_nothing():
    nlp = spacy.blank("en")
    add_listener(nlp, "tagger")
    add_elmo(nlp)
    assert nlp.get_pipe("elmo").listeners == []


def test_listener_returns_zeros_without_layers_and_upstream():
    nlp = pipeline("tagger")
    listener = nlp.get_pipe("elmo").listeners[0].copy()
    docs = [nlp.make_doc("Ann saw Rome ."), nlp.make_doc("")]
    assert [vectors.shape for vectors in listener.predict(docs)] == [(4, 12), (0, 12)]
    assert not listener.predict(docs)[0].any()


def test_listener_mixes_the_layers_on_the_docs():
    nlp = pipeline("tagger")
    listener = nlp.get_pipe("elmo").listeners[0]
    listener.mix.set_param("w", np.array([0.1, 0.2, 0.9], dtype="f"))
    docs = [nlp("Ann saw Rome ."), nlp("")]
    s = np.exp([0.1, 0.2, 0.9]) / np.exp([0.1, 0.2, 0.9]).sum()
    expected = np.einsum("l,ltd->td", s, docs[0]._.elmo)
    assert_allclose(listener.predict(docs)[0], expected, atol=1e-5)


def test_some_docs_without_layers():
    nlp = pipeline("tagger")
    listener = nlp.get_pipe("elmo").listeners[0]
    docs = [nlp("Ann saw Rome ."), nlp.make_doc("Ann")]
    expected = listener.predict([docs[0], nlp("Ann")])
    for found, rows in zip(listener.predict(docs), expected):
        assert_allclose(found, rows, atol=1e-6)
    with pytest.raises(ValueError, match="Only 1 of 2 Docs have ELMo layers"):
        listener.copy().predict(docs)  # a copy has no upstream component


def test_update_returns_losses_and_needs_examples():
    nlp = pipeline("tagger", elmo={"frozen": False})
    elmo = nlp.get_pipe("elmo")
    losses = {"other": 1.0}
    assert elmo.update(examples(nlp), losses=losses) is losses
    assert losses == {"other": 1.0, "elmo": 0.0}
    assert elmo.update([]) == {"elmo": 0.0}
    with pytest.raises(TypeError):
        elmo.update([nlp.make_doc("a")])


def test_loss_is_the_squared_norm_of_the_gradient():
    nlp = pipeline("tagger", elmo={"frozen": False})
    losses = nlp.update(examples(nlp), sgd=False)
    assert losses["elmo"] > 0 and isinstance(losses["elmo"], float)


def test_methods_of_trainable_pipe_without_labels_or_loss(nlp):
    elmo = nlp.get_pipe("elmo")
    assert elmo.is_trainable and elmo.labels == ()
    assert elmo.get_loss([], None) is None
    assert elmo.score([]) == {}
    assert elmo.rehearse([]) is None
    with pytest.raises(NotImplementedError, match="add them to the component that listens"):
        elmo.add_label("X")


def test_no_weights_yet():
    nlp = blank()
    with pytest.raises(ValueError, match="no weights yet.*nlp.initialize"):
        nlp("The bank")


def test_update_does_not_annotate_the_docs_of_examples(nlp):
    batch = [Example(nlp.make_doc("a b"), nlp.make_doc("a b"))]
    nlp.get_pipe("elmo").update(batch)
    assert batch[0].reference._.elmo is None and batch[0].predicted._.elmo is None


def test_two_elmo_components_in_a_pipeline():
    nlp = blank()
    add_elmo(nlp, "elmo_2", seed=1, store_layers=False, store_tensor=False)
    nlp.initialize()
    doc = nlp("The bank")
    assert_allclose(doc._.elmo, pipeline()("The bank")._.elmo, atol=1e-6)
    assert isinstance(nlp.get_pipe("elmo_2"), Elmo)


def test_sentences_of_another_component_can_be_the_segments():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    add_elmo(nlp, model={"segmenter": {"@misc": "spacy-elmo.sentence_segments.v1"}})
    nlp.initialize()
    doc = nlp("Why? Because.")
    assert_allclose(doc._.elmo[:, :2], nlp("Why?")._.elmo, atol=1e-6)


def test_trained_listener_without_layers_warns():
    nlp = pipeline("tagger")
    tagger = nlp.get_pipe("tagger")
    nlp.get_pipe("elmo").listeners[0].mix.set_param("gamma", np.array([1.5], dtype="f"))
    expected = tagger.predict([nlp("Ann saw Rome .")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tagger.predict([nlp.make_doc("Ann saw Rome .")])
    assert [list(ids) for ids in found] == [list(ids) for ids in expected]
    nlp.remove_pipe("elmo")
    gc.collect()
    with pytest.warns(UserWarning, match="'elmo' is in the pipeline, enabled"):
        tagger.predict([nlp.make_doc("Ann saw Rome .")])


def test_listener_of_a_missing_component():
    nlp = blank()
    add_listener(nlp, "tagger", upstream="bert")
    with pytest.raises(ValueError, match='upstream "bert", but the .elmo. components .* are elmo'):
        nlp.initialize(lambda: examples(nlp))


def test_listener_of_a_component_that_is_disabled_while_others_are_initialized():
    nlp = blank()
    nlp.initialize(lambda: examples(nlp))
    add_listener(nlp, "tagger", upstream="elmo")
    # as spaCy does with sourced components
    with nlp.select_pipes(disable=["elmo"]):
        check_upstreams(nlp)
    with nlp.select_pipes(disable=["elmo"]), pytest.raises(ValueError, match="elmo_3"):
        add_listener(nlp, "tagger_2", upstream="elmo_3")
        check_upstreams(nlp)


@pytest.mark.parametrize("settings", [{"dropout": 1.0}, {"dropout": -0.1}])
def test_dropout_out_of_range(settings):
    with pytest.raises(ValueError, match="'dropout' of a (mix|listener) is"):
        add_listener(blank(), "tagger", **settings)


def test_negative_cache_size():
    with pytest.raises(ValueError, match="'cache_mb' of 'elmo' is -1"):
        blank(elmo={"cache_mb": -1})
