"""Vectors a part at a time are those of the whole Doc, and the whole is never there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from thinc.api import Model

from spacy_elmo.models import chunked as blocks
from spacy_elmo.models.concatenate import side_by_side
from spacy_elmo.models.pool_words import build_pool_words_v1
from spacy_elmo.models.token_reader import READ_TOKENS, PartsOfDocs, token_reader
from spacy_elmo.models.word_features import build_word_features_v1
from spacy_elmo.pipeline.listener import build_elmo_listener_v1

from ..pipelines import WIDTH, blank, examples, randomize

WORDS = "Ann saw the old town . Why did Bob leave the Old house of Rome ? \n Nobody knew .".split(
    " "
)


@pytest.fixture(scope="module")
def nlp():
    nlp = blank()
    nlp.initialize(lambda: examples(nlp))
    return nlp


def doc_of(nlp, n_tokens, first=0):
    words = [WORDS[(first + n) % len(WORDS)] for n in range(n_tokens)]
    return nlp(Doc(nlp.vocab, words=words)) if words else Doc(nlp.vocab)


def make(nlp, **listener):
    """As in configs/coref_elmo.cfg."""
    mixed = build_elmo_listener_v1(WIDTH, **listener)
    features = build_word_features_v1(["NORM", "SHAPE"], [4, 3], [10, 10])
    model = side_by_side(build_pool_words_v1(mixed), features)
    model.initialize()
    model([doc_of(nlp, 7)], is_train=True)  # some words are known, others are not
    for name in mixed.mix.param_names:
        mixed.mix.set_param(name, mixed.mix.get_param(name) + 0.5)
    return model


def plain(width=3):
    """A model of somebody else's, which counts how often it runs."""
    ran = []

    def forward(model, docs, is_train):
        ran.append(len(docs))
        random = np.random.default_rng(0)
        return [random.normal(size=(len(doc), width)).astype("f") for doc in docs], None

    return Model("vectors", forward, dims={"nO": width}), ran


@pytest.mark.parametrize("listener", [{}, {"layer_norm": True}, {"top_only": True}])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_parts_are_those_of_the_whole(nlp, listener, data):
    model, doc = make(nlp, **listener), doc_of(nlp, 25)
    expected = model.predict([doc])[0]
    ends = sorted(data.draw(st.sets(st.integers(1, 24))))
    read = token_reader(model, doc)
    for start, end in zip([0, *ends], [*ends, 25]):
        found = read(start, end)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        assert_allclose(found, expected[start:end], rtol=0, atol=1e-6)


def test_no_layer_sees_more_than_a_block(nlp, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 4)
    model, doc, seen = make(nlp), doc_of(nlp, 25), []
    mix = next(node for node in model.walk() if node.name == "scalar_mix")
    forward = mix._func

    def watch(mix, batch, is_train):
        seen.append(sum(batch.lengths))
        return forward(mix, batch, is_train)

    monkeypatch.setattr(mix, "_func", watch)
    token_reader(model, doc)(0, 3)
    # all of it for the means of the words, and once more what is read
    assert seen == [4] * 6 + [1, 3]


def test_without_layers_there_are_zeros_and_a_warning(nlp):
    listener, doc = build_elmo_listener_v1(WIDTH), Doc(nlp.vocab, words=WORDS)
    assert (token_reader(listener, doc)(2, 5) == np.zeros((3, WIDTH))).all()
    listener.mix.set_param("w", listener.mix.get_param("w") + [1, 0, 0])
    with pytest.warns(UserWarning, match="gets zeros for its vectors"):
        token_reader(listener, doc)


def test_models_that_know_no_parts_run_once():
    nlp = blank()
    model, ran = plain()
    doc = Doc(nlp.vocab, words=WORDS)
    read = token_reader(model, doc)
    expected = model.predict([doc])[0]
    assert_array_equal(np.vstack([read(0, 3), read(3, len(doc))]), expected)
    assert ran == [1, 1]


def test_parts_of_docs_in_any_order_of_docs(nlp):
    model = make(nlp)
    docs = [doc_of(nlp, n_tokens, first) for first, n_tokens in enumerate((9, 0, 4, 20, 6))]
    expected = model.predict(docs)
    parts_of = PartsOfDocs(model, docs)
    batches = [
        [(0, 0, 5), (2, 0, 4)],
        [(3, 0, 8), (0, 5, 9), (1, 0, 0)],
        [(3, 8, 20)],
        [],
        [(4, 0, 6)],
    ]
    for batch in batches:
        found = parts_of(batch)
        assert len(found) == len(batch)
        for (n, start, end), vectors in zip(batch, found):
            assert_allclose(vectors, expected[n][start:end], rtol=0, atol=1e-6)
    assert parts_of._readers == {}


def test_whole_docs_are_predicted_together():
    nlp = blank()
    model, ran = plain()
    docs = [Doc(nlp.vocab, words=WORDS[:n]) for n in (3, 5, 8)]
    PartsOfDocs(model, docs)([(0, 0, 3), (1, 0, 5), (2, 0, 4)])
    assert ran == [2, 1]


def test_a_copied_and_a_saved_model_know_parts(nlp):
    model, doc = make(nlp), doc_of(nlp, 25)
    loaded = make(nlp).from_bytes(model.to_bytes())
    expected = model.predict([doc])[0]
    for other in (model.copy(), loaded):
        assert all(READ_TOKENS in layer.attrs for layer in other.layers)
        assert_allclose(token_reader(other, doc)(4, 9), expected[4:9], rtol=0, atol=1e-6)


def test_a_pipeline_with_replaced_listeners_knows_the_same_vectors():
    one = blank("tagger")
    one.initialize(lambda: examples(one))
    randomize(one, ["tagger"])
    doc = one(Doc(one.vocab, words=WORDS))
    listener = one.get_pipe("tagger").model.get_ref("tok2vec")
    expected = listener.predict([doc])[0]
    one.replace_listeners("elmo", "tagger", ["model.tok2vec"])
    standalone = one.get_pipe("tagger").model.get_ref("tok2vec")
    assert_allclose(token_reader(standalone, doc)(2, 6), expected[2:6], rtol=0, atol=1e-5)
