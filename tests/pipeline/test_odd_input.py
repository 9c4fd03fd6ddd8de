"""Unusual input gives the right shapes, or an error that says what to do."""

import random

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo import ElmoEmbedder
from spacy_elmo.bilm import WordBatch

from ..pipelines import add_listener, blank, examples, pipeline
from ..samples import tiny_bilm


@pytest.fixture(scope="module")
def nlp():
    return pipeline("tagger", "ner")


def make_doc(nlp, words):
    return Doc(nlp.vocab, words=words)


def run(nlp, doc):
    doc = nlp(doc)
    assert doc._.elmo.shape == (3, len(doc), 12) and doc.tensor.shape == (len(doc), 12)
    assert np.isfinite(doc._.elmo).all()
    return doc


@pytest.mark.parametrize("where", ["first", "middle", "last", "alone", "all"])
def test_empty_docs(nlp, where):
    texts = {
        "first": ["", "Ann saw Rome ."],
        "middle": ["Ann", "", "Rome ."],
        "last": ["Ann saw Rome .", ""],
        "alone": [""],
        "all": ["", "", ""],
    }[where]
    docs = list(nlp.pipe(texts))
    assert [doc._.elmo.shape for doc in docs] == [(3, len(doc), 12) for doc in docs]
    for doc in docs:
        assert_allclose(doc._.elmo, nlp(doc.text)._.elmo, atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("where", [0, 2, 4])
def test_empty_docs_in_training(where, frozen):
    nlp = pipeline("tagger", elmo={"frozen": frozen})
    batch = examples(nlp)
    batch.insert(where, Example(nlp.make_doc(""), nlp.make_doc("")))
    losses = nlp.update(batch, sgd=nlp.resume_training())
    assert np.isfinite(losses["tagger"])


@pytest.mark.parametrize("text", [" ", "\n\n", "  \t\n ", "\u00a0\u2003"])
def test_nothing_but_whitespace(nlp, text):
    doc = run(nlp, text)
    assert not doc._.elmo.any() and not doc.tensor.any()


def test_whitespace_tokens_do_not_change_other_tokens(nlp):
    doc, spaced = run(nlp, "Ann saw Rome ."), run(nlp, " Ann \t saw\nRome  . ")
    words = [token.i for token in spaced if not token.is_space]
    assert_allclose(spaced._.elmo[:, words], doc._.elmo, atol=1e-6)
    assert not np.delete(spaced._.elmo, words, axis=1).any()


def test_one_token(nlp):
    assert run(nlp, "One")._.elmo.any()


def test_a_token_of_10000_characters(nlp):
    word = "x" * 10_000
    doc = run(nlp, make_doc(nlp, ["a", word, "b"]))
    # only the first 48 bytes are read
    assert_allclose(doc._.elmo, run(nlp, make_doc(nlp, ["a", word[:48], "b"]))._.elmo, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "👩‍👩‍👧‍👦 is here 🇩🇪",
        "e\u0301 a\u0308\u0323",
        "\u202eright to left",
        "नमस्ते 日本語",
        "\x00\x01\x7f",
    ],
)
def test_emoji_combining_marks_and_scripts(nlp, text):
    run(nlp, text)


def test_lone_surrogates_cannot_be_in_a_doc_and_are_left_out_of_words():
    with pytest.raises(UnicodeEncodeError):
        Doc(spacy.blank("en").vocab, words=["a\ud800"])
    bilm = tiny_bilm()
    found = bilm(WordBatch.from_sentences([["a\ud800", "\udfff"]]))
    torch.testing.assert_close(found, bilm(WordBatch.from_sentences([["a", ""]])))
    assert ElmoEmbedder().embed_sentence(["a\ud800", "b"]).shape == (3, 2, 512)


def test_100000_tokens_without_punctuation():
    nlp = pipeline("tagger")
    random.seed(0)
    words = random.choices([f"word{i}" for i in range(500)], k=100_000)
    doc = run(nlp, make_doc(nlp, words))
    # segments of 150 tokens are independent
    window = run(nlp, make_doc(nlp, words[99_000:99_300]))
    assert_allclose(doc._.elmo[:, 99_000:99_300], window._.elmo, atol=1e-5)


def test_merged_tokens(nlp):
    doc = nlp("Ann saw Rome .")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert doc.tensor.shape == (3, 12)
    assert doc._.elmo is None
    with pytest.raises(ValueError, match="has 3 tokens, but.*rows for 4.*Put 'elmo' after"):
        nlp.get_pipe("tagger").predict([doc])
    run(nlp, make_doc(nlp, [token.text for token in doc]))


def test_split_tokens(nlp):
    doc = nlp("AnnSaw Rome .")
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["Ann", "Saw"], heads=[(doc[0], 1), doc[1]])
    with pytest.raises(ValueError, match="has 4 tokens, but.*rows for 3"):
        nlp.get_pipe("tagger").predict([doc])
    assert nlp.get_pipe("elmo")(doc)._.elmo.shape == (3, 4, 12)


def test_merging_before_the_component_is_fine():
    nlp = pipeline()
    nlp.add_pipe("merge_entities", before="elmo")
    doc = nlp.make_doc("Ann Smith saw Rome .")
    doc.set_ents([doc[0:2].char_span(0, 9, label="PER")])
    assert len(run(nlp, doc)) == 4


def test_running_twice_writes_the_same(nlp):
    doc = nlp("Ann saw Rome .")
    layers = doc._.elmo
    assert_allclose(nlp.get_pipe("elmo")(doc)._.elmo, layers, atol=1e-6)


def test_docs_of_another_vocab(nlp):
    words = ["Zyxwvut", "saw", "Qponmlk"]
    found = nlp.get_pipe("elmo").predict([Doc(spacy.vocab.Vocab(), words=words)])
    expected = nlp.get_pipe("elmo").predict([make_doc(nlp, words)])
    assert_allclose(found.layers, expected.layers, atol=1e-6)


def test_a_vocab_without_a_language_has_the_same_words_and_segments(nlp):
    words = ["Ann", "\n\n", "saw", ".", "Rome", "!", "he", "  ", "left"]
    elmo = nlp.get_pipe("elmo")
    expected = elmo.predict([make_doc(nlp, words)])
    found = elmo.predict([Doc(spacy.vocab.Vocab(), words=words)])
    assert not found.layers[:, [1, 7]].any()
    assert_allclose(found.layers, expected.layers, atol=1e-6)
    docs = [Doc(spacy.vocab.Vocab(), words=words), make_doc(nlp, words)]
    mixed = elmo.predict(docs).layers
    assert_allclose(mixed[:, : len(words)], mixed[:, len(words) :], atol=1e-6)


def test_pipe_calls_the_error_handler():
    nlp = pipeline(elmo={"model": {"batch_tokens": 1}})
    elmo = nlp.get_pipe("elmo")
    predict = elmo.predict

    def fail(docs):
        if docs[0].text == "bad":
            raise RuntimeError("on purpose")
        return predict(docs)

    elmo.predict = fail
    with pytest.raises(RuntimeError, match="on purpose"):
        list(nlp.pipe(["good", "bad", "good"]))
    seen = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, [*docs], str(error))))
    assert [doc.text for doc in nlp.pipe(["good", "bad", "good"])] == ["good", "good"]
    [(name, docs, error)] = seen
    assert (name, [doc.text for doc in docs], error) == ("elmo", ["bad"], "on purpose")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_available(tmp_path):
    nlp = blank(elmo={"model": {"device": "cuda:0"}})
    with pytest.raises(ValueError, match="0 GPUs here"):
        nlp.initialize()
    pipeline().to_disk(tmp_path)
    with pytest.raises(ValueError, match="Set the device to null"):
        spacy.load(tmp_path, config={"components.elmo.model.device": "cuda:0"})
    with pytest.raises(ValueError, match="finds 0 GPUs here"):
        ElmoEmbedder(cuda_device=0)


def test_wrong_settings_of_a_listener():
    nlp = blank()
    with pytest.raises(ValueError, match="2 numbers.*3 layers"):
        add_listener(nlp, "tagger", weights=[0.0, 1.0])
