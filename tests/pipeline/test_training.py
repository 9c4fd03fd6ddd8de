import gc
import weakref

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from ..pipelines import (
    LISTENER,
    TAGGED,
    add_elmo,
    add_listener,
    bilm_of,
    blank,
    changed,
    examples,
    pipeline,
    randomize,
    weights_of,
)

pytestmark = pytest.mark.slow


def initialized(*names, **settings):
    nlp = blank(*names, elmo=settings)
    nlp.initialize(lambda: examples(nlp))
    return nlp


def train(nlp, steps, *, optimizer=None, batch=None, **settings):
    """Run steps in the order of `spacy train`: first all updates, then all optimizer steps."""
    optimizer = optimizer or Adam(0.02)
    for _ in range(steps):
        losses = nlp.update(batch or examples(nlp), sgd=False, **settings)
        for name, pipe in nlp.pipeline:
            if name not in settings.get("exclude", []):
                pipe.finish_update(optimizer)
    return losses


def mix_of(nlp, name):
    return nlp.get_pipe("elmo").listener_map[name][0].mix


@pytest.mark.parametrize("frozen", [True, False])
def test_tagger_and_ner_learn_a_toy_set_on_one_bilm(frozen):
    fix_random_seed(0)
    nlp = initialized("tagger", "ner", frozen=frozen)
    losses = train(nlp, 200)
    assert losses["tagger"] < 0.5 and losses["ner"] < 0.5
    for text, tags in TAGGED:
        assert [token.tag_ for token in nlp(text)] == tags
    doc = nlp("Ann saw Rome .")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ann", "PER"), ("Rome", "LOC")]
    scores = nlp.evaluate(examples(nlp))
    assert scores["tag_acc"] == 1.0 and scores["ents_f"] == 1.0


def test_frozen_bilm_stays_bitwise_identical_and_the_mixes_change():
    nlp = initialized("tagger", "ner")
    before = nlp.get_pipe("elmo").to_bytes()
    losses = train(nlp, 4)
    assert nlp.get_pipe("elmo").to_bytes() == before
    assert losses["elmo"] == 0.0
    for name in ("tagger", "ner"):
        assert mix_of(nlp, name).get_param("w").any()
        assert mix_of(nlp, name).get_param("gamma") != 1.0
    assert not np.allclose(mix_of(nlp, "tagger").get_param("w"), mix_of(nlp, "ner").get_param("w"))


def test_frozen_bilm_leaves_nothing_in_the_optimizer():
    nlp = initialized("tagger")
    optimizer = Adam(0.02, use_averages=True)
    train(nlp, 2, optimizer=optimizer)
    shim = nlp.get_pipe("elmo").model.shims[0]
    names = {name for name, _ in bilm_of(nlp.get_pipe("elmo")).named_parameters()}
    assert not names & {name for _, name in optimizer.averages}
    assert not any(key[0] == shim.id and key[1] in names for key in optimizer.mom1)


def test_all_weights_of_an_unfrozen_bilm_change():
    nlp = initialized("tagger", frozen=False)
    before = weights_of(nlp.get_pipe("elmo"))
    losses = train(nlp, 3)
    assert changed(before, nlp.get_pipe("elmo")) == list(before)
    assert losses["elmo"] > 0


def test_unfrozen_bilm_trains_in_the_order_of_nlp_update_too():
    nlp = initialized("tagger", frozen=False)
    before = weights_of(nlp.get_pipe("elmo"))
    optimizer = Adam(0.02)
    for _ in range(3):
        nlp.update(examples(nlp), sgd=optimizer)
    assert changed(before, nlp.get_pipe("elmo"))


def test_vectors_follow_the_weights():
    """No cached word vector or layer of earlier weights is used after a step."""
    nlp = initialized("tagger", frozen=False)
    elmo = nlp.get_pipe("elmo")
    doc = nlp.make_doc("Ann saw Rome .")
    elmo.predict([doc])
    train(nlp, 3)
    found = elmo.predict([doc]).layers
    bilm_of(elmo).drop_caches()
    assert_allclose(found, elmo.predict([doc]).layers, atol=1e-6)


def test_upstream_in_frozen_components_and_annotating_components_learns_as_if_frozen():
    results = []
    for settings in ({}, {"exclude": ["elmo"], "annotates": ["elmo"]}):
        fix_random_seed(0)
        nlp = initialized("tagger")
        before = nlp.get_pipe("elmo").to_bytes()
        train(nlp, 20, **settings)
        assert nlp.get_pipe("elmo").to_bytes() == before
        results.append(mix_of(nlp, "tagger").get_param("w"))
    assert_allclose(*results, atol=1e-4)


def test_unfreezing_in_the_middle_of_training():
    nlp = initialized("tagger")
    elmo = nlp.get_pipe("elmo")
    before = weights_of(elmo)
    optimizer = Adam(0.02)
    train(nlp, 2, optimizer=optimizer)
    assert changed(before, elmo) == []
    elmo.frozen = False
    train(nlp, 2, optimizer=optimizer)
    assert changed(before, elmo) == list(before)
    elmo.frozen = True
    middle = weights_of(elmo)
    train(nlp, 2, optimizer=optimizer)
    assert changed(middle, elmo) == []
    docs = [example.predicted for example in examples(nlp)]
    assert_allclose(elmo.predict(docs).layers, elmo.model.predict(docs).layers, atol=1e-6)


def test_output_cache_computes_each_doc_once():
    nlp = initialized("tagger")
    cache = nlp.get_pipe("elmo").output_cache
    train(nlp, 1)
    assert (cache.hits, cache.misses) == (0, 4)
    train(nlp, 3)
    assert (cache.hits, cache.misses) == (12, 4)
    # other batches of the same Docs, and development data
    train(nlp, 1, batch=examples(nlp)[1:3])
    nlp.evaluate(examples(nlp))
    assert (cache.hits, cache.misses) == (18, 4)


def test_output_cache_changes_no_result():
    caches, results = [], []
    for cache_mb in (0, 1024):
        fix_random_seed(0)
        nlp = initialized("tagger", "ner", cache_mb=cache_mb)
        train(nlp, 10)
        caches.append(nlp.get_pipe("elmo").output_cache)
        docs = [nlp.get_pipe("elmo")(example.predicted) for example in examples(nlp)]
        results.append(np.concatenate(nlp.get_pipe("tagger").model.predict(docs)))
    assert [len(cache) for cache in caches] == [0, 4]
    assert_allclose(*results, atol=1e-5)


def test_output_cache_stays_within_its_budget():
    nlp = initialized("tagger")
    cache = nlp.get_pipe("elmo").output_cache
    one = 3 * 12 * 4  # bytes of a token
    cache.max_bytes = 11 * one
    train(nlp, 2)
    assert len(cache) == 2 and cache.n_bytes == 10 * one
    assert (cache.hits, cache.misses) == (2, 6)


def test_prediction_outside_of_training_is_not_cached():
    nlp = initialized("tagger")
    nlp("Ann saw Rome .")
    assert len(nlp.get_pipe("elmo").output_cache) == 0


def test_penalty_pulls_the_weights_of_the_mix_together():
    found = {}
    for l2 in (0.0, 10.0):
        fix_random_seed(0)
        nlp = spacy.blank("en")
        add_elmo(nlp)
        add_listener(nlp, "tagger", l2=l2)
        nlp.initialize(lambda nlp=nlp: examples(nlp))
        train(nlp, 20)
        found[l2] = np.abs(mix_of(nlp, "tagger").get_param("w")).max()
    assert found[10.0] < 0.3 * found[0.0]


def test_textcat_ensemble_next_to_a_tagger():
    nlp = blank("tagger", elmo={"frozen": False})
    model = {
        "@architectures": "spacy.TextCatEnsemble.v2",
        "tok2vec": LISTENER,
        "linear_model": {
            "@architectures": "spacy.TextCatBOW.v3",
            "exclusive_classes": True,
            "ngram_size": 1,
            "length": 1024,
            "no_output_layer": False,
        },
    }
    nlp.add_pipe("textcat", config={"model": model})

    def labelled():
        batch = examples(nlp)
        for i, example in enumerate(batch):
            example.reference.cats = {"A": float(i < 2), "B": float(i >= 2)}
        return batch

    nlp.initialize(labelled)
    before = weights_of(nlp.get_pipe("elmo"))
    losses = {}
    for _ in range(5):
        losses = train(nlp, 1, batch=labelled())
    assert np.isfinite(losses["textcat"]) and losses["elmo"] > 0
    assert changed(before, nlp.get_pipe("elmo"))
    assert set(nlp("Ann saw Rome .").cats) == {"A", "B"}


@pytest.mark.parametrize("frozen", [True, False])
def test_training_continues_after_batches_without_tokens(frozen):
    nlp = initialized("tagger", frozen=frozen)
    empty = [spacy.training.Example(nlp.make_doc(""), nlp.make_doc("")) for _ in range(2)]
    losses = nlp.update(empty, sgd=Adam(0.02))
    assert losses["elmo"] == 0.0
    batch = [empty[0], *examples(nlp), empty[1]]
    train(nlp, 2, batch=batch)
    assert mix_of(nlp, "tagger").get_param("w").any()


def test_same_seed_gives_the_same_pipeline():
    results = []
    for _ in range(2):
        fix_random_seed(0)
        nlp = initialized("tagger", frozen=False)
        train(nlp, 3)
        results.append(mix_of(nlp, "tagger").get_param("w"))
    assert_array_equal(*results)


def test_annotating_listener_sees_the_layers_of_its_batch():
    nlp = pipeline("tagger", "tagger_2")
    seen = []
    listener = nlp.get_pipe("elmo").listeners[0]
    forward = listener._func

    def record(model, docs, is_train):
        mixed, backprop = forward(model, docs, is_train)
        seen.append((is_train, sum(float(abs(rows).sum()) for rows in mixed)))
        return mixed, backprop

    listener._func = record
    nlp.update(examples(nlp), sgd=False, annotates=["tagger"])
    assert [is_train for is_train, _ in seen] == [True, False]
    assert seen[1][1] == pytest.approx(seen[0][1], rel=1e-5)


def test_batch_is_freed_after_the_update():
    for frozen in (True, False):
        nlp = pipeline("tagger", elmo={"frozen": frozen})
        elmo = nlp.get_pipe("elmo")
        nlp.update(examples(nlp), sgd=False)
        pending = weakref.ref(elmo.listeners[0].pending)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(Adam(0.01))
        gc.collect()
        assert pending() is None


def test_loss_is_bounded_with_layer_norm_and_whitespace():
    nlp = blank(elmo={"frozen": False})
    add_listener(nlp, "tagger", layer_norm=True)
    words = ["Ann", "saw", "\n\n", "Rome", "."]
    tags = ["NAME", "VERB", "SPACE", "NAME", "PUNCT"]

    def examples_with_whitespace():
        doc = Doc(nlp.vocab, words=words)
        return [Example.from_dict(doc, {"words": words, "tags": tags})]

    nlp.initialize(examples_with_whitespace)
    randomize(nlp, ["tagger"])
    losses = nlp.update(examples_with_whitespace(), sgd=False)
    assert 0 < losses["elmo"] < 1e3
