import json

import h5py
import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo import ElmoEmbedder, load_bilm, save_bilm

from ..pipelines import pipeline
from ..samples import SENTENCES, tiny_bilm


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    save_bilm(tiny_bilm(), path)
    return path


@pytest.fixture
def embedder(tiny):
    return ElmoEmbedder(weight_file=tiny)


def original_sentences(fixtures):
    """Return ten batches of three sentences."""
    lists = json.loads((fixtures / "lm_embeddings_sentences.json").read_text())
    return [[sentence.split() for sentence in batch] for batch in zip(*lists)]


def original_vectors(fixtures, batch):
    """Return the top layer that the original code computes for the sentences of a batch."""
    vectors = []
    for row in range(3):
        with h5py.File(fixtures / f"lm_embeddings_{row}.hdf5", "r") as file:
            vectors.append(np.concatenate(list(file[str(batch)][...]), axis=1))
    return vectors


def test_shapes_of_the_packaged_model():
    embedder = ElmoEmbedder()
    assert embedder.embed_sentence(["The", "bank", "."]).shape == (3, 3, 512)


def test_methods_and_shapes_of_allennlp(embedder):
    sentence = embedder.embed_sentence(SENTENCES[0])
    assert sentence.shape == (3, 8, 12) and sentence.dtype == np.float32
    batch = embedder.embed_batch(SENTENCES)
    assert isinstance(batch, list)
    assert [array.shape for array in batch] == [(3, len(s), 12) for s in SENTENCES]
    stream = embedder.embed_sentences(iter(SENTENCES), batch_size=2)
    assert iter(stream) is stream
    for found, expected in zip(stream, batch, strict=True):
        assert_allclose(found, expected, atol=1e-6)
    assert_allclose(sentence, batch[0], atol=1e-6)


def test_positional_arguments_are_those_of_allennlp(fixtures):
    embedder = ElmoEmbedder(fixtures / "options.json", fixtures / "lm_weights.hdf5", -1)
    assert embedder.embed_sentence(["The"]).shape == (3, 1, 32)


@pytest.mark.parametrize("start_state", ["warm", "zero", "carry"])
def test_no_sentences_and_empty_sentences(tiny, start_state):
    embedder = ElmoEmbedder(weight_file=tiny, start_state=start_state)
    assert embedder.embed_batch([]) == []
    assert list(embedder.embed_sentences([])) == []
    assert embedder.embed_sentence([]).shape == (3, 0, 12)
    assert [a.shape for a in embedder.embed_batch([[], ["a"], []])] == [
        (3, 0, 12),
        (3, 1, 12),
        (3, 0, 12),
    ]


def test_vectors_do_not_depend_on_earlier_batches(embedder):
    first = embedder.embed_sentence(SENTENCES[1])
    embedder.embed_batch(SENTENCES)
    assert_allclose(embedder.embed_sentence(SENTENCES[1]), first, atol=1e-6)


def test_result_is_not_a_view_of_the_batch(embedder):
    for array in embedder.embed_batch(SENTENCES):
        assert array.flags.c_contiguous
        array[:] = 0


def test_carried_states_give_the_vectors_of_the_original_code(fixtures):
    embedder = ElmoEmbedder(
        fixtures / "options.json", fixtures / "lm_weights.hdf5", start_state="carry"
    )
    for i, batch in enumerate(original_sentences(fixtures)):
        for found, expected in zip(embedder.embed_batch(batch), original_vectors(fixtures, i)):
            assert_allclose(found[2], expected, atol=1e-6, rtol=1e-5)
    embedder.reset_states()
    first = original_sentences(fixtures)[0]
    for found, expected in zip(embedder.embed_batch(first), original_vectors(fixtures, 0)):
        assert_allclose(found[2], expected, atol=1e-6, rtol=1e-5)


def test_first_batch_of_the_original_code_through_a_pipeline(fixtures):
    nlp = spacy.blank("en")
    model = {"width": 32, "depth": 2, "start_state": "zero"}
    # each sentence is one segment of any length
    model["segmenter"] = {"@misc": "spacy-elmo.window_segments.v1", "length": 1000}
    elmo = nlp.add_pipe("elmo", config={"model": model})
    weights, options = fixtures / "lm_weights.hdf5", fixtures / "options.json"
    elmo.initialize(
        lambda: [Example(nlp.make_doc("a"), nlp.make_doc("a"))],
        loader=lambda: load_bilm(weights, options),
    )
    docs = [Doc(nlp.vocab, words=words) for words in original_sentences(fixtures)[0]]
    for doc, expected in zip(nlp.pipe(docs), original_vectors(fixtures, 0)):
        assert_allclose(doc._.elmo[2], expected, atol=1e-6, rtol=1e-5)


def test_carry_belongs_to_the_row_of_the_batch(tiny):
    embedder = ElmoEmbedder(weight_file=tiny, start_state="carry")
    embedder.embed_batch(SENTENCES[:2])
    second = embedder.embed_batch([["a"], ["a"], ["a"]])
    assert abs(second[0] - second[1]).max() > 1e-4
    zero = ElmoEmbedder(weight_file=tiny, start_state="zero").embed_sentence(["a"])
    assert_allclose(second[2], zero, atol=1e-6)  # no earlier batch had this row
    # a smaller batch does not change the other rows
    other = ElmoEmbedder(weight_file=tiny, start_state="carry")
    other.embed_batch(SENTENCES[:2])
    other.embed_batch([["b"]])
    assert_allclose(other.embed_batch([["a"], ["a"]])[1], second[1], atol=1e-6)


def test_boundary_tokens_are_the_boundary_words(embedder):
    found = embedder.embed_sentence(["a", "</S>", "<S>"])
    boundaries = embedder.bilm.tokens.boundaries().numpy()
    assert_allclose(found[0, 1, :6], boundaries[1], atol=1e-6)
    assert_allclose(found[0, 2, :6], boundaries[0], atol=1e-6)
    assert embedder.embed_sentence(["<S>", "</S>"]).shape == (3, 2, 12)


def test_boundary_tokens_in_docs_are_ordinary_words(embedder):
    nlp = pipeline()
    doc = nlp(Doc(nlp.vocab, words=["<S>", "a"]))
    expected = embedder.bilm.tokens(["<S>"]).numpy()
    assert_allclose(doc._.elmo[0, :1, :6], expected, atol=1e-6)
    assert abs(embedder.embed_sentence(["<S>", "a"])[0] - doc._.elmo[0]).max() > 0.01


def test_unknown_tokens_are_spelled(embedder):
    vectors = embedder.embed_sentence(["<UNK>", "UNK"])
    assert abs(vectors[0, 0] - vectors[0, 1]).max() > 1e-3


def test_bfloat16_is_close(tiny):
    exact = ElmoEmbedder(weight_file=tiny).embed_sentence(SENTENCES[1])
    found = ElmoEmbedder(weight_file=tiny, precision="bfloat16").embed_sentence(SENTENCES[1])
    assert found.dtype == np.float32
    assert 0 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.02
    assert_array_equal(found[0], exact[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"start_state": "cold"}, "must be one of warm, zero, carry"),
        ({"precision": "float16"}, "must be one of float32, bfloat16"),
        ({"options_file": "options.json"}, "Give both or neither"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ElmoEmbedder(**arguments)


def test_string_instead_of_tokens():
    with pytest.raises(ValueError, match="must be a list of tokens, but 'The bank' is a string"):
        ElmoEmbedder().embed_sentence("The bank")


@pytest.mark.parametrize("sentence", [[1, 2], [b"a"], [None], [["a"]], None, 3])
def test_token_that_is_not_a_string(sentence):
    with pytest.raises(ValueError, match="Each sentence must be a list of strings"):
        ElmoEmbedder().embed_sentence(sentence)


def test_a_doc_instead_of_tokens():
    with pytest.raises(ValueError, match=r"'The' is a Token.*token.text for token in doc"):
        ElmoEmbedder().embed_sentence(spacy.blank("en")("The bank"))


def test_int8():
    precisions = "float32", "int8"
    exact, found = (ElmoEmbedder(precision=p).embed_sentence(["The", "bank"]) for p in precisions)
    np.testing.assert_array_equal(found[0], exact[0])
    assert 0 < np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.parametrize("kind", ["stream", "string", "stream of words"])
def test_a_stream_is_not_a_batch(embedder, kind):
    words = ["One", "two"]
    batch = {"stream": (s for s in [words]), "string": "One two", "stream of words": [iter(words)]}
    with pytest.raises(ValueError, match="list of (sentences|strings)"):
        embedder.embed_batch(batch[kind])


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_have_sentences(embedder, batch_size):
    with pytest.raises(ValueError, match="batch_size is .* at least 1"):
        list(embedder.embed_sentences([["One"]], batch_size=batch_size))
