"""The vectors of uses and the nearest senses, against their definitions in plain loops."""

import math

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from spacy_elmo.senses.context import WordWeights, context_vectors, segment_numbers, span_sums
from spacy_elmo.senses.inventory import Inventory
from spacy_elmo.senses.labels import make_label, normalize, word_of
from spacy_elmo.senses.matching import NO_SENSE, nearest_senses
from spacy_elmo.senses.prototypes import Prototypes, unit

DRAW = np.random.default_rng(0)


def floats(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def test_the_context_is_the_sum_of_the_other_words_of_the_segment():
    vectors, weights = floats(9, 4), np.abs(floats(9))
    segments = np.array([0, 0, 0, 0, 3, 3, 3, 7, 7])
    spans = np.array([[0, 1], [1, 3], [3, 5], [4, 7], [8, 9]])
    found = context_vectors(vectors, weights, segments, spans)
    for row, (start, end) in zip(found, spans):
        others = [
            i for i in range(9) if segments[i] == segments[start] and not start <= i < end
        ]  # fmt: skip
        expected = sum((weights[i] * vectors[i] for i in others), np.zeros(4))
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_sums_of_spans():
    vectors, weights = floats(5, 3), np.abs(floats(5))
    found = span_sums(vectors, np.array([[0, 1], [1, 4]]), weights)
    expected = [weights[:1] @ vectors[:1], weights[1:4] @ vectors[1:4]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_words_are_weighted_by_inverse_document_frequency():
    nlp = spacy.blank("en")
    docs = [nlp("The bank lends. The BANK pays."), nlp("The bank is closed."), nlp("")]
    weights = WordWeights()
    assert weights.of(docs[1]).tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    weights.count(docs, 10)
    assert weights.n_segments == 3 and weights.counts == {"the": 3, "bank": 3, ".": 3}
    found = weights.of(nlp("The bank of Rome \n ."))
    once = math.log(4)
    np.testing.assert_allclose(found, [0, 0, once, once, 0, 0], atol=1e-6)
    again = WordWeights.from_counts(weights.counts, weights.n_segments)
    np.testing.assert_array_equal(again.of(docs[0]), weights.of(docs[0]))


def test_segments_are_numbered_from_each_doc():
    nlp = spacy.blank("en")
    docs = [nlp("A bank. The river."), nlp(""), nlp("One more.")]
    numbers = [(found - found[0]).tolist() if len(found) else [] for found in segment_numbers(docs)]
    assert numbers == [[0, 0, 0, 1, 1, 1], [], [0, 0, 0]]
    assert segment_numbers([Doc(nlp.vocab)])[0].tolist() == []


def test_the_nearest_sense_has_the_highest_cosine():
    prototypes, examples = Prototypes(), floats(300, 5)
    numbers = DRAW.integers(0, 150, 300)
    prototypes.resize(200)
    for rows in np.array_split(np.arange(300), 7):
        prototypes.add(numbers[rows], examples[rows])
    means = {n: examples[numbers == n].mean(axis=0) for n in set(numbers.tolist())}
    assert prototypes.counts.sum() == 300 and len(prototypes.all_sums()) == len(means)
    uses = unit(floats(40, 5))
    candidates = [tuple(sorted(set(DRAW.integers(0, 200, 6).tolist()))) for _ in range(40)]
    best, scores = nearest_senses(prototypes, candidates, uses, 0.0, 0.0)
    for use, senses, sense, score in zip(uses, candidates, best, scores):
        cosines = {n: use @ means[n] / np.linalg.norm(means[n]) for n in senses if n in means}
        if not cosines:
            assert (sense, score) == (senses[0], 0.0)
            continue
        expected = max(cosines, key=cosines.get)
        assert sense == expected and score == pytest.approx(cosines[expected], abs=1e-5)
    restored = Prototypes.restore(prototypes.counts, prototypes.all_sums())
    again = nearest_senses(restored, candidates, uses, 0.0, 0.0)
    assert (again[0] == best).all() and (again[1] == scores).all()


def test_prior_and_threshold():
    prototypes = Prototypes()
    prototypes.resize(2)
    prototypes.add(np.array([0, 1, 1, 1]), np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype="f"))
    use = unit(np.array([[1.0, 0.9]], dtype="f"))
    difference = float(use[0, 0] - use[0, 1])
    assert nearest_senses(prototypes, [(0, 1)], use, 0.0, 0.0)[0] == [0]
    weight = difference / math.log(3)
    assert nearest_senses(prototypes, [(0, 1)], use, 0.9 * weight, 0.0)[0] == [0]
    assert nearest_senses(prototypes, [(0, 1)], use, 1.1 * weight, 0.0)[0] == [1]
    assert nearest_senses(prototypes, [(0, 1)], use, 0.0, 1.1 * difference)[0] == [NO_SENSE]
    assert nearest_senses(prototypes, [(0, 1)], use, 0.0, 0.9 * difference)[0] == [0]
    # a single sense has no second-best one
    assert nearest_senses(prototypes, [(1,)], use, 0.0, 9.0)[0] == [1]


@pytest.mark.parametrize(
    "counts, sums",
    [
        (np.array([1, 0]), floats(2, 3)),
        (np.array([-1, 0]), floats(1, 3)),
        (np.array([1]), np.array([[np.nan]], dtype="f")),
        (np.array([[1]]), floats(1, 3)),
    ],
)
def test_damaged_prototypes_are_errors(counts, sums):
    with pytest.raises(ValueError, match="there are sums"):
        Prototypes.restore(counts, sums)


def test_labels():
    assert make_label(" take  place ", "happen") == "take place%happen"
    assert word_of("Take_Place%2:30:00::") == "take place" and word_of("100%%half") == "100%"
    assert normalize("A  b_c") == "a b c"


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["bank%a", "bank%a"], "pos": [[], []]},
        {"labels": ["bank"]},
        {"labels": [3]},
        {"pos": [[3]]},
        {"pos": []},
        {"forms": {"banks": ["bark"]}},
        {"forms": []},
        {"more": 1},
    ],
)
def test_damaged_inventories_are_errors(change):
    inventory = Inventory()
    inventory.add("bank%a", "banks", "NOUN")
    content = inventory.to_dict()
    again = Inventory.from_dict(content)
    assert again.to_dict() == content and again.candidates("Banks", "", "NOUN") == (0,)
    with pytest.raises(ValueError):
        Inventory.from_dict({**content, **change})
    with pytest.raises(ValueError):
        WordWeights.from_counts({"a": 2}, 1)
