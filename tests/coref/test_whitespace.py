"""Whitespace tokens do not change predictions, training, scores and displayed entities."""

import random

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from spacy_elmo.coref.clusters import get_clusters, mark_annotated, set_clusters
from spacy_elmo.coref.document import Document, span_features
from spacy_elmo.coref.entities import (
    entities_by_token,
    filter_clusters,
    representatives,
    resolve_text,
)
from spacy_elmo.coref.gold import align_clusters
from spacy_elmo.coref.lexicon import Lexicon
from spacy_elmo.coref.page import render_page
from spacy_elmo.coref.scorer import score_coref

from ..whitespace import gaps, respaced, words_in
from .test_component import PREFIX, pipeline, train
from .test_with_elmo import mixed
from .test_with_elmo import nlp as elmo_nlp  # noqa: F401
from .toys import bare, examples, story_doc

NLP = spacy.blank("en")
N_TOKENS = len(story_doc(NLP, 50))


@pytest.fixture(scope="module")
def trained():
    nlp = pipeline(model={"use_speakers": True})
    given = examples(nlp)
    for number, example in enumerate(given):
        set_speakers(example.predicted, number)
    train(nlp, given, 40)
    return nlp


def set_speakers(doc, number=0):
    for n, sent in enumerate(doc.sents):
        sent.label_ = "AB"[(n + number) % 2]
    doc.spans["speakers"] = [
        doc.char_span(sent.start_char, sent.end_char, label="AB"[(n + number) % 2])
        for n, sent in enumerate(doc.sents)
    ]


def in_words(doc):
    return [
        [words_in(doc, *mention) for mention in cluster]
        for cluster in get_clusters(doc, words_only=True)
    ]


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(found=gaps(N_TOKENS), chunk_tokens=st.sampled_from([7, 30, 4096]), marked=st.booleans())
def test_the_same_entities_are_found(trained, found, chunk_tokens, marked):
    doc = bare(story_doc(trained, 50))
    if marked:
        set_speakers(doc)
    else:
        doc = Doc(doc.vocab, [token.text for token in doc])
    spaced = respaced(doc, found)
    coref = trained.get_pipe("coref")
    coref.chunk_tokens = chunk_tokens
    both = list(trained.pipe([spaced, doc]))
    assert in_words(both[1])
    assert in_words(both[0]) == in_words(both[1])


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    found=gaps(N_TOKENS),
    of_gold=gaps(N_TOKENS),
    max_train_tokens=st.sampled_from([10, 25, 3000]),
    edges=st.booleans(),
)
def test_losses_are_the_same(trained, found, of_gold, max_train_tokens, edges):
    coref = trained.get_pipe("coref")
    coref.max_train_tokens = max_train_tokens
    gold = story_doc(trained, 50)
    losses = []
    for predicted, reference in (
        (bare(gold), gold),
        (respaced(bare(gold), found), respaced(gold, found, edges)),
        (respaced(bare(gold), found), respaced(gold, of_gold, edges)),
    ):
        coref._random = random.Random(3)
        losses.append(coref.get_loss([Example(predicted, reference)])[0])
        assert coref.n_misaligned == 0
    assert losses[0] > 0
    np.testing.assert_allclose(losses[1:], losses[0], rtol=1e-4)


def test_gradients_are_the_same(trained):
    found = {
        0: (["\n"], True),
        3: ([" ", "\n"], False),
        20: (["\n"], True),
        N_TOKENS: (["\n"], False),
    }
    coref = trained.get_pipe("coref")
    coref.max_train_tokens = 3000
    gold = story_doc(trained, 50)
    gradients = []
    for reference in (gold, respaced(gold, found, edges=True)):
        coref.update([Example(bare(reference), reference)], sgd=None)
        module = coref.model.shims[0].module
        gradients.append({k: p.grad.numpy().copy() for k, p in module.named_parameters()})
        coref.finish_update(lambda key, weights, gradient, **kwargs: (weights, gradient))
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("words", [[], ["\n"], [" ", "\n\n", "\t"]])
def test_docs_without_words(trained, words):
    coref, gold = trained.get_pipe("coref"), Doc(trained.vocab, words)
    mark_annotated(gold)
    example = Example(Doc(trained.vocab, words), gold)
    other = Example(bare(story_doc(trained, 1)), story_doc(trained, 1))
    assert coref.update([example]) == {"coref": 0.0}
    assert coref.get_loss([example]) == (0.0, None)
    assert np.isfinite(coref.update([example, other, example], sgd=None)["coref"])
    coref.finish_update(lambda key, weights, gradient, **kwargs: (weights, gradient))
    docs = list(trained.pipe([Doc(trained.vocab, words), bare(story_doc(trained, 1))]))
    assert get_clusters(docs[0]) == [] and get_clusters(docs[1])


@settings(deadline=None)
@given(found=gaps(N_TOKENS), edges=st.booleans())
def test_gold_mentions_lose_whitespace_at_their_ends(found, edges):
    gold = story_doc(NLP, 50)
    spaced = respaced(gold, found, edges)
    assert in_words(spaced) == get_clusters(gold)
    for x, y in ((gold, spaced), (spaced, gold)):
        example = Example(bare(x), y)
        assert align_clusters(example, get_clusters(y, words_only=True)) == get_clusters(
            x, words_only=True
        )


def test_mentions_that_differ_in_whitespace_count_once():
    doc = Doc(NLP.vocab, ["\n", "Anna", "\n", " "])
    set_clusters(doc, [[(0, 2), (1, 2), (1, 4)], [(2, 3), (2, 4)]])
    assert get_clusters(doc, words_only=True) == [[(1, 2)]]
    assert sum(map(len, get_clusters(doc))) == 5


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_the_same_words_are_learned(data):
    docs = [story_doc(NLP, seed) for seed in range(6)]
    spaced = [respaced(doc, data.draw(gaps(len(doc))), data.draw(st.booleans())) for doc in docs]
    assert Lexicon.learn(spaced, PREFIX) == Lexicon.learn(docs, PREFIX)


@settings(deadline=None, max_examples=30)
@given(found=gaps(N_TOKENS), edges=st.booleans())
def test_scores_are_the_same(found, edges):
    gold, other = story_doc(NLP, 50), story_doc(NLP, 50)
    set_clusters(other, get_clusters(other)[:-1])
    expected = score_coref([Example(other, gold)])
    assert 0 < expected["coref_f"] < 1
    assert score_coref([Example(respaced(other, found, edges), gold)]) == expected
    assert score_coref([Example(other, respaced(gold, found, edges))]) == expected


@settings(deadline=None, max_examples=30)
@given(found=gaps(N_TOKENS), edges=st.booleans(), tagged=st.booleans())
def test_queries_on_entities_are_the_same(found, edges, tagged):
    gold = story_doc(NLP, 50)
    spaced = respaced(gold, found, edges)
    for doc in (gold, spaced) if tagged else ():
        for token in doc:
            token.pos_ = "SPACE" if token.is_space else "PROPN" if token.is_title else "NOUN"
    words = [token for token in spaced if not token.is_space]
    named = {key: span.text.split() for key, span in representatives(gold).items()}
    assert {key: span.text.split() for key, span in representatives(spaced).items()} == named
    for kind in ("name", "noun", "pronoun"):
        kept = filter_clusters(spaced, [kind]).values()
        moved = [[words_in(spaced, *mention) for mention in cluster] for cluster in kept]
        assert moved == list(filter_clusters(gold, [kind]).values())
    by_token = entities_by_token(spaced)
    assert [by_token[token.i] for token in words] == entities_by_token(gold)
    assert resolve_text(spaced).split() == resolve_text(gold).split()
    assert render_page([spaced]).count('<span class="m') == render_page([gold]).count(
        '<span class="m'
    )


@given(found=gaps(9))
def test_features_of_spans_are_the_same(found):
    doc = Doc(NLP.vocab, "The old Anna sees her miller and She smiles".split())
    spaced = respaced(doc, found)
    lexicon = Lexicon(pronouns=["she", "her"], leads=["the", "her"])
    spans = np.array([(i, j) for i in range(9) for j in range(i, 9)]).T
    places = np.flatnonzero([not token.is_space for token in spaced])
    expected = span_features(Document.from_doc(doc, lexicon), *spans)
    features = span_features(Document.from_doc(spaced, lexicon), *places[spans])
    for name, values in vars(expected).items():
        assert (vars(features)[name] == values).all(), name


@pytest.mark.slow
def test_entities_from_elmo_are_the_same(elmo_nlp):  # noqa: F811
    optimizer = Adam(0.01)
    for _ in range(30):
        elmo_nlp.update(mixed(elmo_nlp), sgd=optimizer)
    for seed in (1, 3):
        doc = bare(story_doc(elmo_nlp, seed, 4))
        found = {i: (["\n"], bool(i % 2)) for i in range(0, len(doc) + 1, 3)}
        plain, spaced = elmo_nlp(doc), elmo_nlp(respaced(bare(doc), found))
        assert get_clusters(plain) and in_words(spaced) == get_clusters(plain)
