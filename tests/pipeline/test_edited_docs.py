"""A listener gets the layers of the current tokens of a Doc, or raises an error."""

import pickle

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from spacy.attrs import LEMMA, NORM
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from ..pipelines import add_listener, blank, examples, pipeline


@pytest.fixture(scope="module")
def nlp():
    return pipeline("tagger")


def fresh(nlp, doc):
    """Return the layers of a new Doc with the same tokens."""
    words = [token.text for token in doc]
    return nlp.get_pipe("elmo").predict([Doc(nlp.vocab, words=words)]).layers


def assert_right_or_refused(nlp, doc, refused):
    expected = fresh(nlp, doc)
    listener = nlp.get_pipe("elmo").listeners[0]
    if refused:
        assert doc._.elmo is None
        with pytest.raises(ValueError, match="tokens were merged or split after 'elmo' ran"):
            listener.predict([doc])
        doc._.elmo = None  # as the error message advises
    elif doc._.elmo is not None:
        assert_allclose(doc._.elmo, expected, atol=1e-6)
    assert_allclose(listener.predict([doc])[0], expected.mean(axis=0), atol=1e-5)
    assert_allclose(nlp.get_pipe("elmo")(doc)._.elmo, expected, atol=1e-6)


def merge(doc, start, end):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[start:end])
    return doc


def split(doc, i, *words):
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[i], list(words), heads=[(doc[i], 0)] * len(words))
    return doc


def merge_and_split(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
        retokenizer.split(doc[4], ["on", "to"], heads=[(doc[4], 0)] * 2)
    return doc


def other_doc(nlp, words, **kwargs):
    return Doc(nlp.vocab, words=words.split(), **kwargs)


def with_user_data_replaced(nlp, doc):
    other = nlp("Bob likes the old town too .")
    assert len(other) == len(doc)
    doc.user_data = other.user_data
    return doc


TEXT = "Ann Smith went home onto Rome ."
OTHER = "Bob Jones goes home by rail ."
EDITS = {
    "merged": lambda nlp, doc: merge(doc, 0, 2),
    "split": lambda nlp, doc: split(doc, 4, "on", "to"),
    "merged and split": lambda nlp, doc: merge_and_split(doc),
    "merged, then split": lambda nlp, doc: split(merge(doc, 0, 2), 3, "on", "to"),
    "merged and split, tensor removed": lambda nlp, doc: (
        setattr(doc, "tensor", np.zeros((0,), dtype="f")),
        merge_and_split(doc),
    )[1],
    "copied, then merged": lambda nlp, doc: merge(doc.copy(), 2, 4),
    "from bytes, then split": lambda nlp, doc: split(
        Doc(nlp.vocab).from_bytes(doc.to_bytes()), 4, "on", "to"
    ),
    "user data of another Doc": with_user_data_replaced,
    "words of another Doc": lambda nlp, doc: other_doc(nlp, OTHER, user_data=doc.user_data),
    "copied user data of another Doc": lambda nlp, doc: other_doc(
        nlp, OTHER, user_data=dict(doc.user_data)
    ),
    "user data of a longer Doc": lambda nlp, doc: other_doc(
        nlp, "Ann Smith", user_data=dict(doc.user_data)
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_layers_of_other_tokens_are_detected(nlp, edit):
    assert_right_or_refused(nlp, EDITS[edit](nlp, nlp(TEXT)), refused=True)


def annotate(doc):
    doc[0].norm_, doc[1].lemma_, doc[2].tag_ = "anna", "smith", "VERB"
    doc[3].is_sent_start = True
    doc.ents = [Span(doc, 0, 2, label="PER")]
    doc.spans["sc"] = [doc[2:4]]
    doc.cats["A"] = 1.0
    doc.user_data["other"] = 1
    return doc


def from_array(doc):
    values = np.zeros((len(doc), 2), dtype="uint64")
    values[:] = doc.vocab.strings.add("x")
    return doc.from_array([LEMMA, NORM], values)


KEPT = {
    "annotated": lambda nlp, doc: annotate(doc),
    "from_array": lambda nlp, doc: from_array(doc),
    "copied": lambda nlp, doc: doc.copy(),
    "pickled": lambda nlp, doc: pickle.loads(pickle.dumps(doc)),
    "from bytes": lambda nlp, doc: Doc(spacy.blank("en").vocab).from_bytes(doc.to_bytes()),
    "from a DocBin": lambda nlp, doc: next(
        DocBin(docs=[doc], store_user_data=True).get_docs(spacy.blank("en").vocab)
    ),
    "tensor removed": lambda nlp, doc: (setattr(doc, "tensor", np.zeros((0,))), doc)[1],
    "same words, user data copied": lambda nlp, doc: other_doc(nlp, TEXT, user_data=doc.user_data),
}
LOST = {
    "as_doc": lambda nlp, doc: doc[1:6].as_doc(),
    "as_doc, whole": lambda nlp, doc: doc[:].as_doc(copy_user_data=True),
    "as_doc with user data": lambda nlp, doc: doc[1:6].as_doc(copy_user_data=True),
    "from_docs": lambda nlp, doc: Doc.from_docs([doc, nlp("Why ?")]),
    "from JSON": lambda nlp, doc: Doc(nlp.vocab).from_json(doc.to_json()),
    "from a DocBin without user data": lambda nlp, doc: next(
        DocBin(docs=[doc]).get_docs(nlp.vocab)
    ),
}


@pytest.mark.parametrize("edit", KEPT)
def test_layers_are_kept_if_the_tokens_are_the_same(nlp, edit):
    doc = nlp(TEXT)
    layers = doc._.elmo.copy()
    doc = KEPT[edit](nlp, doc)
    assert_allclose(doc._.elmo, layers, atol=0)
    assert_right_or_refused(nlp, doc, refused=False)


@pytest.mark.filterwarnings("ignore:.*W101")
@pytest.mark.parametrize("edit", LOST)
def test_layers_that_were_lost_are_computed(nlp, edit):
    doc = LOST[edit](nlp, nlp(TEXT))
    assert doc._.elmo is None
    assert_right_or_refused(nlp, doc, refused=False)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_retokenization(nlp, data):
    words = data.draw(st.lists(st.sampled_from(["Ann", "saw", "Rome", "onto"]), min_size=2))
    doc = nlp(Doc(nlp.vocab, words=words))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(doc) - 1))
        if data.draw(st.booleans()):
            merge(doc, start, data.draw(st.integers(start + 1, len(doc))))
        elif len(doc[start]) > 1:
            split(doc, start, doc[start].text[:1], doc[start].text[1:])
    same = [token.text for token in doc] == words
    assert_right_or_refused(nlp, doc, refused=not same)


def test_layers_can_be_set_and_removed(nlp):
    doc = nlp(TEXT)
    layers = doc._.elmo
    doc._.elmo = None
    assert doc._.elmo is None and not doc.user_data
    doc._.elmo = layers
    assert_allclose(doc._.elmo, layers)
    assert doc._.elmo is not layers


@Language.component("tests_merge_names")
def merge_names(doc):
    return merge(doc, 0, 2) if len(doc) > 3 else doc


@pytest.mark.parametrize("annotates", [["merge"], ["elmo", "merge"], ["merge", "elmo"]])
@pytest.mark.parametrize("frozen", [True, False])
def test_tokens_merged_in_training(annotates, frozen):
    nlp = blank(elmo={"frozen": frozen})
    nlp.add_pipe("tests_merge_names", name="merge")
    add_listener(nlp, "tagger")
    nlp.initialize(lambda: examples(nlp))
    seen = []
    listener = nlp.get_pipe("elmo").listeners[0]
    forward = listener._func

    def record(model, docs, is_train):
        mixed, backprop = forward(model, docs, is_train)
        seen.extend(zip(docs, mixed))
        return mixed, backprop

    listener._func = record
    # an error if 'elmo' annotates the tokens before the merge, or if a gradient would be lost
    if not frozen or "elmo" in annotates:
        with pytest.raises(ValueError, match="tokens were merged or split"):
            nlp.update(examples(nlp), sgd=False, annotates=annotates)
        return
    nlp.update(examples(nlp), sgd=False, annotates=annotates)
    assert len(seen) == 4 and len(seen[0][0]) == 3
    for doc, mixed in seen:
        assert_allclose(mixed, fresh(nlp, doc).mean(axis=0), atol=1e-5)
