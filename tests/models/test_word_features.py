import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.tokens import Doc
from thinc.api import set_dropout_rate

from spacy_elmo.models.known_values import UNKNOWN, KnownValues
from spacy_elmo.models.token_reader import token_reader
from spacy_elmo.models.word_features import build_word_features_v1

from ..numeric import numeric

VOCAB = spacy.blank("en").vocab


def doc_of(text):
    return Doc(VOCAB, words=text.split())


def make(rows=(50, 50), unknown=0.0):
    model = build_word_features_v1(["NORM", "SUFFIX"], [4, 3], list(rows), unknown)
    model.initialize()
    return model


def test_words_unknown_to_the_training_share_a_vector():
    model = make()
    model([doc_of("Ann met Bob")], is_train=True)
    ann, zoe, kim = model.predict([doc_of("Ann Zoë Kim")])[0][:, :4]
    assert (zoe == kim).all() and (ann != zoe).any()
    assert (zoe == model.get_param("E0")[UNKNOWN]).all()


def test_a_known_suffix_of_an_unknown_word_is_known():
    model = make()
    model([doc_of("walking")], is_train=True)
    walking, reading = model.predict([doc_of("walking reading")])[0]
    assert (walking[:4] != reading[:4]).any() and (walking[4:] == reading[4:]).all()


def test_prediction_adds_no_words():
    model = make()
    before = model.to_bytes()
    model.predict([doc_of("Ann met Bob")])
    assert model.to_bytes() == before


def test_words_without_a_row_are_unknown():
    model = make(rows=(2, 50))
    model([doc_of("Ann met Bob")], is_train=True)
    assert list(model.attrs["known"][0].rows.values()) == [1, 2]
    assert (model.predict([doc_of("Bob")])[0][0, :4] == model.get_param("E0")[UNKNOWN]).all()


def test_known_words_are_replaced_by_the_unknown_one_in_training_only():
    model = make(unknown=1.0)
    vectors, _ = model([doc_of("Ann met Bob")], is_train=True)
    assert (vectors[0][:, :4] == model.get_param("E0")[UNKNOWN]).all()
    assert (model.predict([doc_of("Ann")])[0][0, :4] == model.get_param("E0")[1]).all()


def test_the_fraction_of_words_replaced_by_the_unknown_one():
    model = make(unknown=0.2)
    np.random.seed(0)
    vectors, _ = model([doc_of("Ann " * 4000)], is_train=True)
    fraction = (vectors[0][:, :4] == model.get_param("E0")[UNKNOWN]).all(axis=1).mean()
    assert 0.17 < fraction < 0.23


def test_the_gradient_equals_the_numerical_gradient():
    model = make()
    docs = [doc_of("Ann met Ann"), doc_of(""), doc_of("Bob met")]
    vectors, backprop = model(docs, is_train=True)
    random = np.random.default_rng(0)
    weights = [random.normal(size=output.shape).astype("f") for output in vectors]
    backprop(weights)

    for name in ("E0", "E1"):
        table, gradient = model.get_param(name).copy(), model.get_grad(name)

        def loss(moved, name=name):
            model.set_param(name, moved)
            outputs = model.predict(docs)
            return sum(float((output * weight).sum()) for output, weight in zip(outputs, weights))

        # a linear function, so any step will do
        assert_allclose(gradient, numeric(loss, table, step=0.5), atol=1e-4)
        model.set_param(name, table)


def test_dropped_values_get_no_gradient():
    model = make()
    set_dropout_rate(model, 0.5)
    vectors, backprop = model([doc_of("a b c d e f g h")], is_train=True)
    dropped = vectors[0] == 0
    assert dropped.any() and not dropped.all()
    backprop([np.ones_like(vectors[0])])
    gradient = np.hstack([model.get_grad("E0")[1:9], model.get_grad("E1")[1:9]])
    assert ((gradient == 0) == dropped).all()
    assert (model.predict([doc_of("a b c")])[0] != 0).all()


def test_bytes_keep_the_words():
    model, other = make(), make()
    docs = [doc_of("Ann met Bob"), doc_of("an unknown word"), doc_of("")]
    model(docs[:1], is_train=True)
    other.from_bytes(model.to_bytes())
    assert other.attrs["known"][0].rows == model.attrs["known"][0].rows
    for mine, theirs in zip(model.predict(docs), other.predict(docs)):
        assert (mine == theirs).all()
    # training continues with the next free row
    other([doc_of("Zoë")], is_train=True)
    assert list(other.attrs["known"][0].rows.values()) == [1, 2, 3, 4]


def test_a_copy_has_its_own_words():
    model = make()
    other = model.copy()
    other([doc_of("Ann")], is_train=True)
    assert not model.attrs["known"][0].rows


def test_no_words():
    model = make()
    for docs in ([], [doc_of("")]):
        vectors, backprop = model(docs, is_train=True)
        assert [output.shape for output in vectors] == [(0, 7)] * len(docs)
        backprop(vectors)


def test_the_greatest_value_has_a_row():
    values = np.array([2**64 - 1, 5, 2**64 - 1], dtype=np.uint64)
    assert KnownValues(3).look_up(values, learn=True).tolist() == [1, 2, 1]


def test_numbers_of_widths_and_rows_must_equal_the_number_of_attributes():
    with pytest.raises(ValueError, match="2 attrs, 1 widths and 2 rows"):
        build_word_features_v1(["NORM", "SHAPE"], [4], [5, 5])


def test_initialize_drops_the_known_words():
    model = make(rows=(2, 50))
    model([doc_of("Ann met Bob")], is_train=True)
    model.initialize()
    model([doc_of("Zoë Kim")], is_train=True)
    assert list(model.attrs["known"][0].rows) == [VOCAB.strings["zoë"], VOCAB.strings["kim"]]


def test_whitespace_tokens_have_zeros_and_take_no_row():
    words = ["Ann", "\n", "met", " ", "Bob"]
    spaced, plain = Doc(VOCAB, words=words), Doc(VOCAB, words=words[::2])
    model, other = make(rows=(4, 4)), make(rows=(4, 4))
    for n in range(2):
        other.set_param(f"E{n}", model.get_param(f"E{n}"))
    (found,), backprop = model([spaced], is_train=True)
    (expected,), other_backprop = other([plain], is_train=True)
    assert (found[::2] == expected).all() and not found[1::2].any()
    gradient = np.random.default_rng(0).random((5, 7), dtype="f")
    backprop([gradient])
    other_backprop([gradient[::2]])
    for n in range(2):
        assert (model.get_grad(f"E{n}") == other.get_grad(f"E{n}")).all()
    reader = token_reader(model, spaced)
    assert (np.concatenate([reader(0, 2), reader(2, 4), reader(4, 5)]) == found).all()
    blank = model.predict([Doc(VOCAB, words=["\n"]), Doc(VOCAB, words=[])])
    assert [vectors.shape for vectors in blank] == [(1, 7), (0, 7)] and not blank[0].any()
