"""Components that create Docs. spaCy's entity_linker trains on copies and predicts on
`span.as_doc()`."""

import copy
import pickle

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.kb import InMemoryLookupKB
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import fix_random_seed

from ..pipelines import LISTENER, assert_same_gradients, blank, examples, gradients, pipeline

pytestmark = pytest.mark.slow

LINKED = [
    ("The bank of the river was green .", "Q1"),
    ("He put money in the bank .", "Q2"),
    ("We sat on the bank of the stream .", "Q1"),
    ("The bank lent me money .", "Q2"),
]


def make_kb(vocab):
    kb = InMemoryLookupKB(vocab, entity_vector_length=2)
    kb.add_entity("Q1", 1, [1, 0])
    kb.add_entity("Q2", 1, [0, 1])
    kb.add_alias("bank", ["Q1", "Q2"], [0.5, 0.5])
    return kb


def linked(nlp):
    for text, entity in LINKED:
        doc, start = nlp.make_doc(text), text.index("bank")
        place = (start, start + 4)
        annotation = {
            "entities": [(*place, "X")],
            "links": {place: {"Q1": 0.0, "Q2": 0.0, entity: 1.0}},
            "sent_starts": [1] + [-1] * (len(doc) - 1),
        }
        yield Example.from_dict(doc, annotation)


def linking(frozen=True):
    nlp = blank(elmo={"frozen": frozen})
    nlp.add_pipe("sentencizer", first=True)
    nlp.add_pipe("entity_ruler", before="elmo")
    rules = {"patterns": [{"label": "X", "pattern": "bank"}]}
    nlp.config["initialize"]["components"]["entity_ruler"] = rules
    model = {"@architectures": "spacy.EntityLinker.v2", "tok2vec": LISTENER}
    nlp.add_pipe("entity_linker", config={"incl_prior": False, "model": model}).set_kb(make_kb)
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: linked(nlp))
    optimizer.learn_rate = 0.05
    return nlp, optimizer


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("annotates", [(), ("elmo",)])
def test_entity_linker_learns(tmp_path, frozen, annotates):
    nlp, optimizer = linking(frozen)
    before = nlp.get_pipe("elmo").to_bytes()
    for _ in range(30 if frozen else 4):
        annotating = ["sentencizer", "entity_ruler", *annotates]
        nlp.update(list(linked(nlp)), sgd=optimizer, annotates=annotating)
    found = [[ent.kb_id_ for ent in nlp(text).ents] for text, _ in LINKED]
    if frozen:  # learning takes longer if the tiny biLM is also trained
        assert found == [[entity] for _, entity in LINKED]
    assert (nlp.get_pipe("elmo").to_bytes() == before) == frozen
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert [[ent.kb_id_ for ent in loaded(text).ents] for text, _ in LINKED] == found
    (doc,) = nlp.pipe([LINKED[0][0]], n_process=2)
    assert [ent.kb_id_ for ent in doc.ents] == found[0]


def gradient_of(copies, order=(0, 1, 2, 3)):
    nlp = pipeline("tagger", elmo={"frozen": False})
    elmo, batch = nlp.get_pipe("elmo"), examples(nlp)
    batch.append(batch[0].copy())  # two Docs of the same tokens
    elmo.update(batch)
    docs = [copies(example.predicted) for example in batch]
    rng = np.random.default_rng(0)
    d_mixed = [rng.normal(size=(len(doc), 12)).astype("f") for doc in docs]
    _, backprop = elmo.listeners[0].begin_update([docs[i] for i in order])
    backprop([d_mixed[i] for i in order])
    return gradients(nlp)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 1, 3, 0), (3, 1)])
def test_gradient_of_copies_is_that_of_the_docs(order):
    expected = gradient_of(lambda doc: doc, order)
    assert_same_gradients(gradient_of(Doc.copy, order), expected)
    assert_same_gradients(gradient_of(lambda doc: doc.copy().copy(), order), expected)


def test_docs_of_a_later_batch_are_not_taken_for_copies():
    nlp = pipeline("tagger", elmo={"frozen": False})
    elmo = nlp.get_pipe("elmo")
    elmo.update(examples(nlp))
    docs = [example.predicted for example in examples(nlp)]
    assert elmo.listeners[0].pending.find(docs) is None
    with pytest.raises(ValueError, match="trained on Docs that 'elmo' was not updated with"):
        elmo.listeners[0].begin_update(docs)


MADE = {
    "as_doc": lambda nlp, doc: doc[1:3].as_doc(),
    "as_doc with user data": lambda nlp, doc: doc[1:3].as_doc(copy_user_data=True),
    "new Doc": lambda nlp, doc: Doc(nlp.vocab, words=[token.text for token in doc][::-1]),
    "from_docs": lambda nlp, doc: Doc.from_docs([doc, doc], exclude=["user_data"]),
}


@pytest.mark.parametrize("make", MADE)
def test_docs_of_other_tokens_in_training(make):
    nlp = pipeline("tagger")
    elmo, batch = nlp.get_pipe("elmo"), examples(nlp)
    listener = elmo.listeners[0]
    elmo.update(batch)
    docs = [MADE[make](nlp, example.predicted) for example in batch]
    expected = elmo.model.predict(docs).layers.mean(axis=0)
    for mixed in (listener.begin_update(docs)[0], listener.predict(docs)):
        assert_allclose(np.concatenate(mixed), expected, atol=1e-5)
    elmo.frozen = False
    elmo.update(batch)
    with pytest.raises(ValueError, match="Set frozen = true.*Tok2VecElmo.v1"):
        listener.begin_update(docs)
    assert_allclose(np.concatenate(listener.predict(docs)), expected, atol=1e-5)


def test_copies_know_the_upstream_component_that_was_copied_with_them():
    nlp = pipeline("tagger")
    for other in (pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        elmo = other.get_pipe("elmo")
        assert elmo.listeners[0].upstream() is elmo is not nlp.get_pipe("elmo")
        assert other.get_pipe("tagger").model.get_ref("tok2vec").upstream() is elmo
    alone = copy.deepcopy(nlp.get_pipe("tagger").model).get_ref("tok2vec")
    assert alone.upstream() is nlp.get_pipe("elmo")


def test_a_disabled_upstream_component_computes_what_is_missing():
    nlp = pipeline("tagger")
    text = "Ann saw Rome ."
    expected = [token.tag_ for token in nlp(text)]
    with nlp.select_pipes(disable=["elmo"]):
        assert [token.tag_ for token in nlp(text)] == expected
