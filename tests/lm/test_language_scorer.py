"""Probabilities of words, compared with a word-by-word computation."""

import multiprocessing
import os

import numpy as np
import pytest
import torch

import spacy_elmo
from spacy_elmo.bilm import State
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.language_scorer import LanguageScorer

from ..pretrain.toys import documents, sentences, toy_trainer

TRAIN = Corpus.from_sentences(documents(60))
SENTENCES = [*sentences(5, seed=2), [], ["owl"], "the grey zebra sees the owl .".split()]
KINDS = {"full": {"kind": "full"}, "adaptive": {"kind": "adaptive", "cutoffs": [8, 16]}}


def saved_model(folder, n_steps=5, **changes):
    trainer = toy_trainer(TRAIN, **changes)
    for _ in range(n_steps):
        trainer.train_step()
    trainer.model.save(folder)
    return folder


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def path(request, tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("scoring") / "model", softmax=request.param)


@torch.no_grad()
def log_probs_one_by_one(scorer, words, direction):
    """Return the log-probabilities of all words of the vocabulary after each word that a direction
    reads, [n + 1, V], in the order of reading."""
    model, bilm = scorer.model, scorer.model.bilm
    read = words[::-1] if direction else words
    table = model.word_table(read)
    state = bilm.zero_state(1)
    if scorer.start_state == "warm":
        state = State(bilm.start_h.unsqueeze(2), bilm.start_c.unsqueeze(2))
    found = []
    for place in (direction, *range(2, 2 + len(read))):
        # both directions read the same words, and the result of one direction is used
        places = torch.full((bilm.options.n_directions, 1), place)
        top, state = model.outputs(model.look_up(table, places), [1], state)
        found.append(model.head.log_probs(top[direction]))
    return torch.cat(found).numpy()


def expected_scores(scorer, words):
    vocab = scorer.model.vocab
    ids = vocab.ids(words).tolist()
    rows = np.arange(len(words) + 1)
    forward = log_probs_one_by_one(scorer, words, 0)[rows, [*ids, vocab.end]]
    backward = log_probs_one_by_one(scorer, words, 1)[rows, [*ids[::-1], vocab.start]]
    return forward, backward[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("start_state", ["warm", "zero"])
@pytest.mark.parametrize("max_tokens", [3, 8192])
def test_scores_equal_a_word_by_word_computation(path, start_state, max_tokens):
    scorer = LanguageScorer(path, start_state=start_state)
    scores = scorer.score(SENTENCES, max_tokens)
    assert len(scores) == len(SENTENCES)
    for words, score in zip(SENTENCES, scores):
        forward, backward = expected_scores(scorer, words)
        assert score.forward.shape == score.backward.shape == (len(words) + 1,)
        np.testing.assert_allclose(score.forward, forward, atol=1e-5)
        np.testing.assert_allclose(score.backward, backward, atol=1e-5)


def test_scores_do_not_depend_on_other_sentences(path):
    scorer = LanguageScorer(path)
    together = scorer.score(SENTENCES)
    for words, expected in zip(SENTENCES, together):
        (alone,) = scorer.score([words])
        np.testing.assert_allclose(alone.forward, expected.forward, atol=1e-5)
        np.testing.assert_allclose(alone.backward, expected.backward, atol=1e-5)


def test_scores_do_not_depend_on_the_chunks_of_the_softmax(path, monkeypatch):
    scorer = LanguageScorer(path)
    expected = scorer.score(SENTENCES)
    monkeypatch.setattr("spacy_elmo.lm.language_scorer.MAX_ELEMENTS", 60)
    for score, other in zip(scorer.score(SENTENCES), expected):
        np.testing.assert_allclose(score.forward, other.forward, atol=1e-6)


def test_no_sentences_and_empty_sentences_have_scores(path):
    scorer = LanguageScorer(path)
    assert scorer.score([]) == []
    (score,) = scorer.score([[]])
    assert score.forward.shape == score.backward.shape == (1,)


def test_a_model_of_one_direction_has_no_backward_scores(tmp_path):
    model = {"bidirectional": False, "n_layers": 1}
    scorer = LanguageScorer(saved_model(tmp_path / "model", model=model))
    (score,) = scorer.score([["the", "owl"]])
    assert score.forward.shape == (3,) and score.backward is None
    assert len(scorer.substitutes(["the", "owl"], 1, 3)) == 3


@pytest.mark.parametrize("index", [0, 2, -1])
def test_substitutes_have_the_normalized_product_of_both_directions(path, index):
    scorer, words = LanguageScorer(path), SENTENCES[0]
    place = index % len(words)
    vocab = scorer.model.vocab
    logs = log_probs_one_by_one(scorer, words, 0)[place].astype(float)
    logs += log_probs_one_by_one(scorer, words, 1)[::-1][place + 1]
    logs[[vocab.start, vocab.end, vocab.unknown]] = -np.inf
    chances = np.exp(logs) / np.exp(logs).sum()
    order = np.argsort(-chances)[:4]
    found = scorer.substitutes(words, index, 4)
    assert [word for word, _ in found] == [vocab.words[k] for k in order]
    np.testing.assert_allclose([chance for _, chance in found], chances[order], rtol=1e-4)


def test_substitutes_do_not_depend_on_the_word_itself(path):
    scorer, words = LanguageScorer(path), SENTENCES[0]
    other = [*words[:1], "zebra", *words[2:]]
    found, expected = scorer.substitutes(other, 1), scorer.substitutes(words, 1)
    assert [word for word, _ in found] == [word for word, _ in expected]


def test_at_most_the_vocabulary_is_returned_as_substitutes(path):
    scorer = LanguageScorer(path)
    found = scorer.substitutes(["the", "owl"], 1, 10**6)
    assert len(found) == len(scorer.model.vocab) - 3
    assert sum(chance for _, chance in found) == pytest.approx(1, abs=1e-5)
    assert not {word for word, _ in found} & {"<S>", "</S>", "<UNK>"}


@pytest.mark.parametrize("n", [-1, 1.5, "2"])
def test_a_wrong_number_of_substitutes_is_an_error(path, n):
    scorer = LanguageScorer(path)
    with pytest.raises(ValueError, match="whole number of substitutes"):
        scorer.substitutes(["the", "owl"], 1, n)
    assert scorer.substitutes(["the", "owl"], 1, 0) == []


def test_wrong_input_is_an_error(path):
    scorer = LanguageScorer(path)
    with pytest.raises(ValueError, match="list of sentences"):
        scorer.score(words for words in [["the", "owl"]])
    with pytest.raises(ValueError, match="max_tokens"):
        scorer.score([["the", "owl"]], max_tokens=0)
    with pytest.raises(ValueError, match="Split it into tokens"):
        scorer.substitutes("the owl", 1)


@pytest.mark.slow
def test_training_raises_the_scores_of_grammatical_sentences(tmp_path):
    changes = {"recipe": {"learn_rate": 0.02}, "training": {"epochs": 10.0}}
    scorer = LanguageScorer(saved_model(tmp_path / "model", 280, **changes))
    good, bad = scorer.score(["the owl sees the cat .".split(), "cat the sees . owl the".split()])
    assert good.forward.mean() > bad.forward.mean() + 0.5
    assert good.backward.mean() > bad.backward.mean() + 0.5
    verbs = {"sees", "follows", "hears", "feeds", "forgets"}
    found = scorer.substitutes("the owl sees the cat .".split(), 2, 3)
    assert {word for word, _ in found} <= verbs


def test_bfloat16_is_near_float32(path):
    exact, near = LanguageScorer(path), LanguageScorer(path, precision="bfloat16")
    for score, other in zip(near.score(SENTENCES), exact.score(SENTENCES)):
        np.testing.assert_allclose(score.forward, other.forward, atol=0.1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda path: LanguageScorer(path, start_state="cold"), "start_state is 'cold'; .* warm"),
        (lambda path: LanguageScorer(path, precision="half"), "precision is 'half'"),
        (lambda path: LanguageScorer(path, gpu_id=99), "gpu_id is 99, but torch"),
        (lambda path: LanguageScorer(path.parent), "holds no language model"),
        (lambda path: LanguageScorer(path).score(["the owl"]), "'the owl' is a string"),
        (lambda path: LanguageScorer(path).substitutes(["a"], 1), "has 1 words, .* none at 1"),
        (lambda path: LanguageScorer(path).substitutes([], 0), "has 0 words"),
    ],
)
def test_wrong_arguments_are_an_error(path, call, message):
    with pytest.raises(ValueError, match=message):
        call(path)


def test_the_scorer_is_exported_by_the_package(path):
    assert spacy_elmo.LanguageScorer is LanguageScorer


def _score_in_child(scorer):
    return scorer.score(SENTENCES)[0].forward, torch.get_num_threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forked processes here")
def test_scoring_in_a_forked_process(path):
    scorer = LanguageScorer(path)
    with multiprocessing.get_context("fork").Pool(
        1, initializer=torch.set_num_threads, initargs=(2,)
    ) as pool:
        found, n_threads = pool.apply_async(_score_in_child, (scorer,)).get(timeout=60)
    assert n_threads == 1
    np.testing.assert_allclose(found, scorer.score(SENTENCES)[0].forward, rtol=1e-5)
