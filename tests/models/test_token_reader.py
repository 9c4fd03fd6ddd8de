"""Token vectors that are predicted in chunks equal the token vectors of the whole Doc."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from thinc.api import Model

import spacy_elmo
from spacy_elmo.models import chunked
from spacy_elmo.models.concatenate import concatenate_vectors
from spacy_elmo.models.pool_words import build_pool_words_v1
from spacy_elmo.models.token_reader import READ_TOKENS, DocChunkReader, token_reader
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


def word_features():
    return build_word_features_v1(["NORM", "SHAPE"], [4, 3], [10, 10])


# the layers that declare READ_TOKENS, by the module that declares it
LAYERS = {
    "listener": lambda **mix: build_elmo_listener_v1(WIDTH, **mix),
    "pool_words": lambda **mix: build_pool_words_v1(build_elmo_listener_v1(WIDTH, **mix)),
    "word_features": lambda: word_features(),
    "concatenate": lambda **mix: concatenate_vectors(LAYERS["pool_words"](**mix), word_features()),
}


def make(nlp, name="concatenate", **mix):
    """Construct a layer whose parameters differ from the initial values. The default is the layer
    in configs/coref_elmo.cfg."""
    model = LAYERS[name](**mix)
    model.initialize()
    model([doc_of(nlp, 7)], is_train=True)  # word features learn some of the words
    for node in model.walk():
        if node.name == "scalar_mix":
            for param in node.param_names:
                node.set_param(param, node.get_param(param) + 0.5)
    return model


def plain(width=3):
    """Return a layer that does not declare READ_TOKENS, and the sizes of the batches that it
    runs on."""
    batches = []

    def forward(model, docs, is_train):
        batches.append(len(docs))
        random = np.random.default_rng(0)
        return [random.normal(size=(len(doc), width)).astype("f") for doc in docs], None

    return Model("vectors", forward, dims={"nO": width}), batches


def test_the_contract_covers_every_module_that_declares_read_tokens():
    package = Path(spacy_elmo.__file__).parent
    texts = {path.stem: path.read_text(encoding="utf8") for path in package.rglob("*.py")}
    assert {name for name, text in texts.items() if "READ_TOKENS: read_tokens" in text} == {*LAYERS}


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=10, deadline=None)
@given(ends=st.sets(st.integers(1, 24)))
def test_contract_of_layers_that_declare_read_tokens(nlp, name, ends):
    model, doc = make(nlp, name), doc_of(nlp, 25)
    expected = model.predict([doc])[0]
    bounds = [0, *sorted(ends), 25]
    # a copy and a loaded layer also declare it
    for layer in (model, model.copy(), make(nlp, name).from_bytes(model.to_bytes())):
        assert READ_TOKENS in layer.attrs
        read = token_reader(layer, doc)
        for start, end in zip(bounds, bounds[1:]):
            vectors = read(start, end)
            assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
            assert_allclose(vectors, expected[start:end], rtol=0, atol=1e-6)
        # ranges may be empty, overlap, and come in any order
        assert read(3, 3).shape == (0, expected.shape[1])
        assert_allclose(read(2, 20), expected[2:20], rtol=0, atol=1e-6)
        assert token_reader(layer, Doc(nlp.vocab))(0, 0).shape == (0, expected.shape[1])


@pytest.mark.parametrize("mix", [{}, {"layer_norm": True}, {"top_only": True}])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_chunks_equal_the_whole_with_any_mix(nlp, mix, data):
    model, doc = make(nlp, **mix), doc_of(nlp, 25)
    expected = model.predict([doc])[0]
    ends = sorted(data.draw(st.sets(st.integers(1, 24))))
    read = token_reader(model, doc)
    for start, end in zip([0, *ends], [*ends, 25]):
        vectors = read(start, end)
        assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
        assert_allclose(vectors, expected[start:end], rtol=0, atol=1e-6)


def test_no_layer_gets_more_tokens_than_a_chunk(nlp, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 4)
    model, doc, seen = make(nlp), doc_of(nlp, 25), []
    mix = next(node for node in model.walk() if node.name == "scalar_mix")
    forward = mix._func

    def watch(mix, batch, is_train):
        seen.append(sum(batch.lengths))
        return forward(mix, batch, is_train)

    monkeypatch.setattr(mix, "_func", watch)
    token_reader(model, doc)(0, 3)
    # all tokens for the means of the words, then the tokens that are read
    assert seen == [4] * 6 + [1, 3]


def test_without_layers_there_are_zeros_and_a_warning(nlp):
    listener, doc = build_elmo_listener_v1(WIDTH), Doc(nlp.vocab, words=WORDS)
    assert (token_reader(listener, doc)(2, 5) == np.zeros((3, WIDTH))).all()
    listener.mix.set_param("w", listener.mix.get_param("w") + [1, 0, 0])
    with pytest.warns(UserWarning, match="gets zeros for its vectors"):
        token_reader(listener, doc)


def test_a_layer_that_does_not_declare_it_runs_once():
    nlp = blank()
    model, batches = plain()
    doc = Doc(nlp.vocab, words=WORDS)
    read = token_reader(model, doc)
    expected = model.predict([doc])[0]
    assert_array_equal(np.vstack([read(0, 3), read(3, len(doc))]), expected)
    assert batches == [1, 1]


def test_chunks_of_several_docs(nlp):
    model = make(nlp)
    docs = [doc_of(nlp, n_tokens, first) for first, n_tokens in enumerate((9, 0, 4, 20, 6))]
    expected = model.predict(docs)
    reader = DocChunkReader(model, docs)
    batches = [
        [(0, 0, 5), (2, 0, 4)],
        [(3, 0, 8), (0, 5, 9), (1, 0, 0)],
        [(3, 8, 20)],
        [],
        [(4, 0, 6)],
    ]
    n_open = []
    for chunks in batches:
        found = reader(chunks)
        n_open.append(reader.n_open)
        assert len(found) == len(chunks)
        for (n, start, end), vectors in zip(chunks, found):
            assert_allclose(vectors, expected[n][start:end], rtol=0, atol=1e-6)
    assert n_open == [1, 1, 0, 0, 0]


def test_whole_docs_are_predicted_together():
    nlp = blank()
    model, batches = plain()
    docs = [Doc(nlp.vocab, words=WORDS[:n]) for n in (3, 5, 8)]
    DocChunkReader(model, docs)([(0, 0, 3), (1, 0, 5), (2, 0, 4)])
    assert batches == [2, 1]


def test_a_pipeline_with_replaced_listeners_predicts_the_same_vectors():
    one = blank("tagger")
    one.initialize(lambda: examples(one))
    randomize(one, ["tagger"])
    doc = one(Doc(one.vocab, words=WORDS))
    listener = one.get_pipe("tagger").model.get_ref("tok2vec")
    expected = listener.predict([doc])[0]
    one.replace_listeners("elmo", "tagger", ["model.tok2vec"])
    replaced = one.get_pipe("tagger").model.get_ref("tok2vec")
    assert_allclose(token_reader(replaced, doc)(2, 6), expected[2:6], rtol=0, atol=1e-5)
