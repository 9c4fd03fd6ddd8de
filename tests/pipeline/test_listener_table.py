"""One test for each case that spaCy's listener protocol handles wrongly."""

import gc
import weakref

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from thinc.api import fix_random_seed

from spacy_elmo.models.scalar_mix import ScalarMix

from ..pipelines import (
    add_elmo,
    add_listener,
    add_up,
    assert_same_gradients,
    bilm_of,
    blank,
    changed,
    examples,
    gradients,
    pipeline,
    randomize,
    weights_of,
)


@pytest.fixture(scope="module")
def nlp():
    """Return a pipeline with two taggers and an ner on an unfrozen biLM. No test changes its
    weights."""
    return pipeline("tagger", "tagger_2", "ner", elmo={"frozen": False})


@pytest.fixture(scope="module")
def alone(nlp):
    """Return the gradient of each listener in a pipeline with no other listener and the same
    weights."""
    found = {}
    for name in ("tagger", "tagger_2", "ner"):
        single = pipeline(name, elmo={"frozen": False})
        single.get_pipe(name).from_bytes(nlp.get_pipe(name).to_bytes())
        fix_random_seed(0)
        single.update(examples(single), sgd=False)
        found[name] = gradients(single)
        assert all(abs(gradient).max() > 0 for gradient in found[name].values())
    return found


@pytest.fixture(autouse=True)
def same_random_choices():
    fix_random_seed(0)  # ner draws random numbers in each update


def test_all_listeners_report(nlp, alone):
    nlp.update(examples(nlp), sgd=False)
    assert_same_gradients(gradients(nlp), add_up(*alone.values()))


def test_order_of_reports_does_not_matter(nlp, alone):
    batch = examples(nlp)
    nlp.get_pipe("elmo").update(batch)
    for name in ("ner", "tagger", "tagger_2"):
        nlp.get_pipe(name).update(batch, sgd=None)
    assert_same_gradients(gradients(nlp), add_up(*alone.values()))


@pytest.mark.parametrize("silent", ["tagger", "tagger_2", "ner"])
def test_last_listeners_component_is_frozen_or_excluded(nlp, alone, silent):
    nlp.update(examples(nlp), sgd=False, exclude=[silent])
    expected = add_up(*(alone[name] for name in alone if name != silent))
    assert_same_gradients(gradients(nlp), expected)


def test_last_listeners_component_returns_early(nlp, alone):
    # without gold entities, ner does not call its model
    nlp.update(examples(nlp, entities=False), sgd=False)
    assert_same_gradients(gradients(nlp), add_up(alone["tagger"], alone["tagger_2"]))


def test_gradient_of_a_silent_listener_is_not_applied_one_batch_later(nlp, alone):
    nlp.update(examples(nlp, entities=False), sgd=False)
    gradients(nlp)
    fix_random_seed(0)
    nlp.update(examples(nlp), sgd=False)
    assert_same_gradients(gradients(nlp), add_up(*alone.values()))


def test_no_listener_reports(nlp):
    nlp.get_pipe("elmo").update(examples(nlp))
    assert gradients(nlp) == {}


def test_gradients_of_sub_batches_add_up_with_a_silent_listener(nlp, alone):
    batch = examples(nlp)
    for part in (batch[:1], batch[1:]):
        nlp.update(part, sgd=False, exclude=["ner"])
    found = gradients(nlp)
    # the tagger's gradient is not divided by the batch size
    assert_same_gradients(found, add_up(alone["tagger"], alone["tagger_2"]))


def test_downstream_calls_its_model_per_doc_inside_one_update(nlp):
    batch = examples(nlp)
    docs = [example.predicted for example in batch]
    rng = np.random.default_rng(0)
    d_mixed = [rng.normal(size=(len(doc), 12)).astype("f") for doc in docs]
    elmo = nlp.get_pipe("elmo")
    listener = elmo.listener_map["tagger"][0]

    elmo.update(batch)
    _, backprop = listener.begin_update(docs)
    backprop(d_mixed)
    expected = gradients(nlp)

    elmo.update(batch)
    for doc, d_doc in reversed(list(zip(docs, d_mixed))):
        mixed, backprop = listener.begin_update([doc])
        assert_allclose(mixed[0], elmo.predict([doc]).layers.mean(0), atol=1e-5)
        backprop([d_doc])
    assert_same_gradients(gradients(nlp), expected)


def test_listeners_callback_is_called_twice_in_one_update(nlp):
    batch = examples(nlp)
    docs = [example.predicted for example in batch]
    d_mixed = [np.ones((len(doc), 12), dtype="f") for doc in docs]
    elmo = nlp.get_pipe("elmo")
    listener = elmo.listener_map["tagger"][0]

    elmo.update(batch)
    _, backprop = listener.begin_update(docs)
    backprop(d_mixed)
    once = gradients(nlp)

    elmo.update(batch)
    _, backprop = listener.begin_update(docs)
    backprop(d_mixed)
    backprop(d_mixed)  # the other listeners have not reported: the gradients add up
    assert_same_gradients(gradients(nlp), add_up(once, once))
    with pytest.raises(ValueError, match="after the biLM's backward pass"):
        backprop(d_mixed)
    assert gradients(nlp) == {}


def test_callback_for_some_docs_is_called_twice_in_one_update(nlp):
    batch = examples(nlp)
    docs = [example.predicted for example in batch][1:3]
    elmo = nlp.get_pipe("elmo")
    listener = elmo.listener_map["tagger"][0]
    d_mixed = [np.full((len(doc), 12), 0.5, dtype="f") for doc in docs]

    found = []
    for n_calls in (1, 2):
        elmo.update(batch)
        _, backprop = listener.begin_update(docs)
        for _ in range(n_calls):
            backprop(d_mixed)
        found.append(gradients(nlp))
    assert_same_gradients(found[1], add_up(found[0], found[0]))


def test_upstream_in_frozen_components_and_in_annotating_components():
    nlp = pipeline("tagger")
    before = nlp.get_pipe("elmo").to_bytes()
    mix = nlp.get_pipe("elmo").listeners[0].mix
    optimizer = nlp.resume_training()
    for _ in range(2):
        nlp.update(examples(nlp), sgd=optimizer, exclude=["elmo"], annotates=["elmo"])
    assert nlp.get_pipe("elmo").to_bytes() == before
    assert mix.get_param("w").any()


def test_upstream_in_frozen_components_but_not_in_annotating_components():
    nlp = pipeline("tagger")
    elmo = nlp.get_pipe("elmo")
    before = elmo.to_bytes()
    nlp.update(examples(nlp), sgd=nlp.resume_training(), exclude=["elmo"])
    assert elmo.listeners[0].mix.get_param("w").any() and elmo.to_bytes() == before
    elmo.frozen = False  # the gradient would be lost
    with pytest.raises(ValueError, match="annotating_components"):
        nlp.update(examples(nlp), sgd=False, exclude=["elmo"])


@pytest.mark.parametrize("frozen", [True, False])
def test_upstream_only_annotates_after_it_was_updated_earlier(frozen):
    nlp = pipeline("tagger", elmo={"frozen": frozen})
    optimizer = nlp.resume_training()
    # the last batch stays pending, because the excluded tagger does not report a gradient
    nlp.update(examples(nlp), sgd=optimizer)
    nlp.update(examples(nlp), sgd=optimizer, exclude=["tagger"])
    weights = weights_of(nlp.get_pipe("elmo"))
    mix = nlp.get_pipe("elmo").listeners[0].mix
    w = mix.get_param("w").copy()
    nlp.update(examples(nlp), sgd=optimizer, exclude=["elmo"], annotates=["elmo"])
    assert changed(weights, nlp.get_pipe("elmo")) == []
    assert (mix.get_param("w") != w).all()


def test_upstream_in_frozen_components_but_built_by_factory():
    nlp = blank("tagger")
    with nlp.select_pipes(disable=["elmo"]):
        nlp.initialize(lambda: examples(nlp))
    with pytest.raises(ValueError, match="no weights yet.*initialize"):
        nlp.update(examples(nlp), sgd=False, exclude=["elmo"], annotates=["elmo"])
    with pytest.raises(ValueError, match="no weights yet.*initialize"):
        nlp("Ann saw Rome .")


def test_component_level_freezing_allocates_no_gradient():
    nlp = pipeline("tagger", "ner")
    elmo = nlp.get_pipe("elmo")
    losses = nlp.update(examples(nlp), sgd=False)
    assert losses["elmo"] == 0.0
    pending = elmo.listeners[0].pending
    assert pending.batch.d_layers is None
    assert not any(param.requires_grad for param in bilm_of(elmo).parameters())
    assert gradients(nlp) == {}


def test_unfrozen_upstream_with_a_frozen_downstream_component():
    """The frozen component keeps its predictions if its listener is replaced first."""
    nlp = pipeline("tagger", "tagger_2", elmo={"frozen": False})
    optimizer = nlp.resume_training()
    nlp.replace_listeners("elmo", "tagger", ["model.tok2vec"])
    docs = [example.predicted for example in examples(nlp)]
    before = nlp.get_pipe("tagger").model.predict(docs)
    weights = weights_of(nlp.get_pipe("elmo"))
    for _ in range(3):
        nlp.update(examples(nlp), sgd=optimizer, exclude=["tagger"])
    assert changed(weights, nlp.get_pipe("elmo"))
    for found, expected in zip(nlp.get_pipe("tagger").model.predict(docs), before):
        assert_array_equal(found, expected)


def test_rehearsal_copies_read_from_the_docs():
    nlp = pipeline("tagger")
    optimizer = nlp.resume_training()
    losses = {}
    annotated = examples(nlp)
    for example in annotated:
        nlp.get_pipe("elmo")(example.predicted)
    nlp.rehearse(annotated, sgd=optimizer, losses=losses)
    assert np.isfinite(losses["tagger"])


def test_two_upstream_components_claim_one_listener():
    nlp = blank()
    add_elmo(nlp, "elmo_2", seed=1)
    add_listener(nlp, "tagger")
    with pytest.raises(ValueError, match="'tagger'.*2 'elmo' components: elmo, elmo_2"):
        nlp.initialize(lambda: examples(nlp))


def two_upstreams(*order):
    nlp = spacy.blank("en")
    for name in order:
        if name == "elmo":
            add_elmo(nlp)
        elif name == "elmo_2":
            add_elmo(nlp, name, seed=1)
        else:
            add_listener(nlp, name, upstream={"tagger": "elmo", "tagger_2": "elmo_2"}[name])
    nlp.initialize(lambda: examples(nlp))
    return nlp


def test_two_upstream_components_each_with_its_listener():
    nlp = two_upstreams("elmo", "tagger", "elmo_2", "tagger_2")
    assert nlp.get_pipe("elmo").listening_components == ["tagger"]
    assert nlp.get_pipe("elmo_2").listening_components == ["tagger_2"]
    randomize(nlp, ["tagger", "tagger_2"])
    batch = examples(nlp)
    docs = [example.predicted for example in batch]
    nlp.update(batch, sgd=False)
    for name, listening, other in (
        ("elmo", "tagger", "tagger_2"),
        ("elmo_2", "tagger_2", "tagger"),
    ):
        elmo, tagger = nlp.get_pipe(name), nlp.get_pipe(listening)
        received = elmo.listener_map[listening][0].pending.batch.layers
        assert_allclose(received, elmo.predict(docs).layers, atol=1e-5)
        scores = tagger.model.predict([elmo(doc.copy()) for doc in docs])
        with nlp.select_pipes(disable=[other]):  # a tagger does not overwrite tags
            for doc, expected in zip(nlp.pipe(doc.copy() for doc in docs), scores):
                labels = [tagger.labels[i] for i in expected.argmax(axis=1)]
                assert [token.tag_ for token in doc] == labels


def test_listener_after_another_upstream_is_an_error():
    with pytest.raises(ValueError, match="'tagger' listens to 'elmo', but 'elmo_2' comes between"):
        two_upstreams("elmo", "elmo_2", "tagger", "tagger_2")


def test_upstream_with_store_layers_false():
    nlp = blank(elmo={"store_layers": False})
    with pytest.raises(ValueError, match="'tagger' listens to 'elmo'.*store_layers = true"):
        add_listener(nlp, "tagger")


def test_sourced_component_is_linked_to_its_new_upstream():
    nlp = pipeline("tagger")
    other = spacy.blank("en", vocab=nlp.vocab)
    other.add_pipe("elmo", source=nlp)
    other.add_pipe("tagger", name="pos", source=nlp)
    assert other.get_pipe("elmo").listening_components == ["pos"]
    text = "Ann saw Rome ."
    assert [token.tag_ for token in other(text)] == [token.tag_ for token in nlp(text)]
    other.update(examples(other), sgd=False)
    assert other.get_pipe("elmo").listeners[0].pending is not None


def test_listener_of_another_width_or_depth():
    nlp = blank()
    with pytest.raises(ValueError, match="width 20 and depth 2.*width 12 and depth 2"):
        add_listener(nlp, "tagger", width=20)
    nlp = blank()
    with pytest.raises(ValueError, match="depth 1.*components.elmo.model.depth"):
        add_listener(nlp, "tagger", depth=1)


@pytest.mark.parametrize(
    "layers, message",
    [
        (np.zeros((3, 4, 20), dtype="f"), "3 layers of width 20.*expects 3 of width 12"),
        (np.zeros((2, 4, 12), dtype="f"), "2 layers of width 12"),
        (np.zeros((4, 12), dtype="f"), "not an array of 3 dimensions"),
        ("layers", "holds a str"),
    ],
)
def test_invalid_layers_on_a_doc_are_an_error(nlp, layers, message):
    doc = Doc(nlp.vocab, words=["Ann", "saw", "Rome", "."])
    doc._.elmo = layers
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("tagger").predict([doc])


def test_listener_of_spacys_tok2vec_is_not_a_listener_of_elmo():
    nlp = blank()
    nlp.add_pipe("tagger")
    assert nlp.get_pipe("elmo").listeners == []


def test_graph_of_the_last_batch_is_freed(nlp):
    elmo = nlp.get_pipe("elmo")
    alive = []
    forward = bilm_of(elmo).forward

    def watched(*args, **kwargs):
        layers = forward(*args, **kwargs)
        alive.append(weakref.ref(layers))
        assert layers.grad_fn is not None
        return layers

    bilm_of(elmo).forward = watched
    try:
        nlp.update(examples(nlp), sgd=False)
    finally:
        del bilm_of(elmo).forward
    gc.collect()
    assert [ref() for ref in alive] == [None]
    gradients(nlp)


def test_predict_does_not_change_a_pending_batch(nlp, alone):
    batch = examples(nlp)
    elmo = nlp.get_pipe("elmo")
    elmo.update(batch)
    nlp.get_pipe("tagger").update(batch, sgd=None)
    elmo.predict([nlp.make_doc("Something else .")])
    nlp.get_pipe("tagger_2").update(batch, sgd=None)
    nlp.get_pipe("ner").update(batch, sgd=None)
    assert_same_gradients(gradients(nlp), add_up(*alone.values()))


def test_fixed_mix_sends_gradients_but_learns_nothing():
    mix = ScalarMix(12, 3, weights=[0.0, 0.0, 0.0])
    assert mix.param_names == ()
