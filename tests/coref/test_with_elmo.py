"""Coreference trained together with ELMo, on a corpus in which some Docs are annotated."""

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam

from spacy_elmo.coref.clusters import get_clusters

from ..pipelines import LISTENER, add_elmo, assert_same_gradients, changed, gradients, weights_of
from .toys import bare, story_doc

pytestmark = pytest.mark.slow

MODEL = {
    "@architectures": "spacy-elmo.Coref.v1",
    "hidden_size": 16,
    "lstm_size": 8,
    "dropout": 0.0,
    "max_span_width": 4,
    "spans_per_token": 4.0,
    "tok2vec": LISTENER,
}


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    add_elmo(nlp, frozen=False)
    nlp.add_pipe("coref", config={"model": MODEL})
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: mixed(nlp))
    return nlp


def mixed(nlp):
    """Return Examples of which every second one is annotated."""
    docs = [story_doc(nlp, seed, 4) for seed in range(4)]
    golds = [doc if n % 2 else bare(doc) for n, doc in enumerate(docs)]
    return [Example(bare(doc), gold) for doc, gold in zip(docs, golds)]


def test_gradient_of_the_annotated_docs_reaches_the_bilm(nlp):
    nlp.update(mixed(nlp)[1::2], sgd=False)
    expected = gradients(nlp)
    assert expected.keys() == weights_of(nlp.get_pipe("elmo")).keys()
    assert all(np.abs(gradient).max() > 0 for gradient in expected.values())
    nlp.update(mixed(nlp), sgd=False)
    assert_same_gradients(gradients(nlp), expected)
    losses = nlp.update(mixed(nlp)[::2], sgd=False)
    assert losses["coref"] == 0.0 and gradients(nlp) == {}


def test_coref_and_the_bilm_learn(nlp):
    elmo = nlp.get_pipe("elmo")
    before, optimizer, found = weights_of(elmo), Adam(0.01), []
    for _ in range(30):
        losses = {}
        nlp.update(mixed(nlp), sgd=False, losses=losses)
        found.append(losses)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    assert changed(before, elmo) == list(before)
    assert all(losses["elmo"] > 0 for losses in found)
    assert found[-1]["coref"] < 0.5 * found[0]["coref"]


def test_a_long_doc_is_read_in_chunks(nlp, monkeypatch):
    doc, coref, optimizer = bare(story_doc(nlp, 0, 30)), nlp.get_pipe("coref"), Adam(0.01)
    for _ in range(30):
        nlp.update(mixed(nlp), sgd=optimizer)
    doc = nlp(doc)
    expected, seen = get_clusters(doc, "coref_clusters"), []
    assert expected
    mix = nlp.get_pipe("elmo").listeners[0].mix
    forward = mix._func

    def watch(mix, batch, is_train):
        seen.append(sum(batch.lengths))
        return forward(mix, batch, is_train)

    monkeypatch.setattr(mix, "_func", watch)
    coref.chunk_tokens = 12
    assert get_clusters(coref(doc), "coref_clusters") == expected
    assert max(seen) <= 12 and sum(seen) == len(doc)
