"""The metrics, compared with the reference scorer's test cases, the package scorch and direct
implementations of the definitions; and the scoring of Examples."""

import pickle
from fractions import Fraction as F
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from scorch import scores as scorch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import mark_annotated, set_clusters
from spacy_elmo.coref.scorer import make_coref_scorer, score_clusters, score_coref

METRICS = ("muc", "b3", "ceafe", "ceafm", "lea", "mention")
VOCAB = Vocab()


def parse(text):
    """Return clusters. Each word of the text is an entity, each letter a mention."""
    return [list(word) for word in text.split()]


def values(found, metric):
    return tuple(found[f"{metric}_{part}"] for part in "rpf")


def f_of(recall, precision):
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


# Test cases TC-A to TC-N of the CoNLL reference scorer: key, response, and the published recall
# and precision. In, B is a separate mention. In, b is repeated and counts
# only where it occurs first, so the results equal A-4.
CASES = """
A-1  | a bc def | a bc def      | muc 1 1 | b3 1 1 | ceafm 1 1 | ceafe 1 1 | lea 1 1
A-2  | a bc def | a de          | muc 1/3 1 | b3 7/18 1 | ceafm 1/2 1 | ceafe 3/5 9/10 | lea 2/6 1
A-3  | a bc def | a bcx defy z  | muc 1 3/5 | b3 1 55/108 | ceafm 1 6/9 | lea 1 4/9
A-3  | a bc def | a bcx defy z  | ceafe 93/105 93/140
A-4  | a bc def | a bcx dy z    | muc 1/3 1/3 | b3 5/9 17/42 | ceafm 4/6 4/7 | lea 1/2 2/7
A-4  | a bc def | a bcx dy z    | ceafe 11/15 11/20
A-5  | a bc def | a bcxB dy z   | muc 1/3 1/4 | b3 5/9 5/16 | ceafm 4/6 4/8 | lea 1/2 5/24
A-5  | a bc def | a bcxB dy z   | ceafe 31/45 31/60
A-6  | a bc def | a bcx dy Bz   | muc 1/3 1/4 | b3 5/9 17/48 | ceafm 4/6 4/8 | lea 1/2 1/4
A-6  | a bc def | a bcx dy Bz   | ceafe 11/15 11/20
A-7  | a bc def | a bcxb dy z   | muc 1/3 1/3 | b3 5/9 17/42 | ceafm 4/6 4/7 | lea 1/2 2/7
A-7  | a bc def | a bcxb dy z   | ceafe 11/15 11/20
A-8  | a bc def | a bcx dy bz   | muc 1/3 1/3 | b3 5/9 17/42 | ceafm 4/6 4/7 | lea 1/2 2/7
A-8  | a bc def | a bcx dy bz   | ceafe 11/15 11/20
A-9  | a bc def | a bcx dy bbbz | muc 1/3 1/3 | b3 5/9 17/42 | ceafm 4/6 4/7 | lea 1/2 2/7
A-9  | a bc def | a bcx dy bbbz | ceafe 11/15 11/20
A-10 | a bc def | a b c d e f   | muc 0 0 | b3 1/2 1 | lea 1/6 1/6
A-11 | a bc def | abcdef        | muc 1 3/5 | b3 1 7/18 | lea 5/6 4/15
A-12 | a bc def | a x y c d e z | muc 0 0 | b3 13/36 4/7 | lea 1/6 1/7
A-13 | a bc def | axycdez       | muc 1/3 1/6 | b3 17/36 6/49 | lea 1/6 1/21
B-1  | ab cde | bcx de          | lea 1/5 2/5
C-1  | ab cde fg | bcx de fg    | lea 3/7 4/7
D-1  | 12345 67 89ABC | 12345 6789ABC | muc 1 9/10 | b3 1 16/21 | lea 1 13/18
E-1  | 12345 67 89ABC | 1234589ABC 67 | muc 1 9/10 | b3 1 7/12 | lea 1 29/54
F-1  | ABCD  | AB CD            | muc 2/3 1 | lea 2/6 1
G-1  | AB CD | ABCD             | muc 1 2/3 | lea 1 2/6
H-1  | ABCD  | ABCD             | muc 1 1 | lea 1 1
I-1  | ABCD  | AB CD            | muc 2/3 1 | lea 2/6 1
J-1  | ABC   | AC               | muc 1/2 1 | lea 1/3 1
K-1  | BCDEGHJ  | ABC DEF GHI   | muc 3/6 3/6 | lea 3/21 3/9
L-1  | ABC DEFG | AB CD FGH     | muc 2/5 2/4 | lea 5/21 3/7
M-1  | abcdef | abcdef          | muc 1 1 | b3 1 1 | ceafm 1 1 | ceafe 1 1 | lea 1 1
M-2  | abcdef | a b c d e f     | muc 0 0 | lea 0 0
M-3  | abcdef | ab cde f        | lea 4/15 5/6
M-4  | abcdef | abcxyz          | lea 3/15 3/15
M-5  | abcdef | a b c x y z     | muc 0 0 | lea 0 0
M-6  | abcdef | ab cxy z        | lea 1/15 2/6
N-1  | a b c d e f | a b c d e f | muc 0 0 | b3 1 1 | ceafm 1 1 | ceafe 1 1 | lea 1 1
N-2  | a b c d e f | abcdef      | muc 0 0 | lea 0 0
N-3  | a b c d e f | ab cde f    | lea 1/6 1/6
N-4  | a b c d e f | a b c x y z | muc 0 0 | lea 3/6 3/6
N-5  | a b c d e f | abcxyz      | lea 0 0
N-6  | a b c d e f | ab cxy z    | lea 0 0
"""

# F values printed in Luo (2005), for links that are broken and added in different places
LUO_KEY = "12345 67 89ABC"
LUO = {
    "12345 6789ABC": {"muc": 0.947, "b3": 0.865, "ceafm": 0.833, "ceafe": 0.733},
    "1234589ABC 67": {"muc": 0.947, "b3": 0.737, "ceafm": 0.583, "ceafe": 0.667},
    "123456789ABC": {"muc": 0.900, "b3": 0.545, "ceafm": 0.417, "ceafe": 0.294},
    "1 2 3 4 5 6 7 8 9 A B C": {"muc": 0.0, "b3": 0.400, "ceafm": 0.250, "ceafe": 0.178},
}


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_cases_of_the_reference_scorer(case):
    _, key, response, *expected = case.split("|")
    found = score_clusters([(parse(key), parse(response))])
    for metric, recall, precision in map(str.split, expected):
        recall, precision = float(F(recall)), float(F(precision))
        numbers = (recall, precision, f_of(recall, precision))
        assert values(found, metric) == pytest.approx(numbers, abs=1e-12), metric


@pytest.mark.parametrize("response", LUO)
def test_examples_of_luo(response):
    found = score_clusters([(parse(LUO_KEY), parse(response))])
    assert {m: round(found[f"{m}_f"], 3) for m in LUO[response]} == LUO[response]


# random documents: the gold and the predicted entity of each mention, None if it is missing

entity = st.none() | st.integers(0, 4)
documents = st.lists(st.lists(st.tuples(entity, entity), max_size=14), min_size=1, max_size=4)


def partitions(document):
    sides = []
    for side in (0, 1):
        found = {}
        for mention, entities in enumerate(document):
            if entities[side] is not None:
                found.setdefault(entities[side], []).append(mention)
        sides.append(list(found.values()))
    return tuple(sides)


def random_document(seed, n_mentions=60, n_entities=25):
    draw = np.random.default_rng(seed)
    gold = draw.integers(0, n_entities, n_mentions)
    predicted = np.where(draw.random(n_mentions) < 0.6, gold, draw.integers(0, 30, n_mentions))
    missing = draw.random((2, n_mentions)) < 0.15
    return [
        (None if lost[0] else int(one), None if lost[1] else int(other))
        for one, other, lost in zip(gold, predicted, missing.T)
    ]


def together(pairs):
    """Return one document with the mentions of all documents, labelled by their document."""
    return tuple(
        [{f"{n}-{m}" for m in mentions} for n, pair in enumerate(pairs) for mentions in pair[side]]
        for side in (0, 1)
    )


def without_singletons(pairs):
    return [tuple([m for m in side if len(m) > 1] for side in pair) for pair in pairs]


def plain_lea(pairs):
    """Compute LEA from its definition, with explicit links. A singleton is linked to itself."""

    def links(mentions):
        return set(combinations(sorted(mentions), 2)) or {(m, m) for m in mentions}

    def recall(key, response):
        weights = sum(len(k) for k in key)
        found = sum(
            F(len(k) * sum(len(links(k) & links(r)) for r in response), len(links(k))) for k in key
        )
        return found / weights if weights else 0

    key, response = together(pairs)
    r, p = recall(key, response), recall(response, key)
    return float(r), float(p), float(f_of(r, p))


def all_mentions(pairs):
    return tuple(set().union(*side) for side in together(pairs))


def scorch_ceaf(metric, pairs):
    # scorch fails if the two sides share no mentions
    if set.isdisjoint(*all_mentions(pairs)):
        return 0.0, 0.0, 0.0
    return metric(*together(pairs))


def plain_mentions(pairs):
    key, response = all_mentions(pairs)
    r, p = (len(key & response) / len(side) if side else 0.0 for side in (key, response))
    return r, p, f_of(r, p)


ORACLES = {
    "muc": lambda pairs: scorch.muc(*together(pairs)),
    "b3": lambda pairs: scorch.b_cubed(*together(pairs)),
    "ceafm": partial(scorch_ceaf, scorch.ceaf_m),
    "ceafe": partial(scorch_ceaf, scorch.ceaf_e),
    "lea": plain_lea,
    "mention": plain_mentions,
}


def assert_equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def check(score, pairs):
    """Check the results of a scorer."""
    found = score(pairs)
    for setting, given_pairs in {"": pairs, "_ns": without_singletons(pairs)}.items():
        parts = {}
        for metric, oracle in ORACLES.items():
            expected = oracle(given_pairs)
            assert_equal(values(found, metric + setting), expected)
            parts[metric] = expected[2]
        conll = (parts["muc"] + parts["b3"] + parts["ceafe"]) / 3
        assert_equal(found[f"conll{setting}_f"], conll)


@given(documents)
def test_random_documents_against_scorch_and_plain_definitions(given_documents):
    check(score_clusters, [partitions(document) for document in given_documents])


def test_larger_documents_against_scorch_and_plain_definitions():
    check(score_clusters, [partitions(random_document(seed)) for seed in range(8)])


@given(documents)
def test_scores_do_not_depend_on_order(given_documents):
    pairs = [partitions(document) for document in given_documents]
    turned = [tuple([m[::-1] for m in side[::-1]] for side in pair) for pair in pairs[::-1]]
    assert score_clusters(turned) == pytest.approx(score_clusters(pairs), abs=1e-12)


@given(documents)
def test_precision_is_recall_with_the_sides_exchanged(given_documents):
    pairs = [partitions(document) for document in given_documents]
    found, turned = score_clusters(pairs), score_clusters([pair[::-1] for pair in pairs])
    for metric in METRICS:
        assert found[f"{metric}_p"] == pytest.approx(turned[f"{metric}_r"], abs=1e-12)
        assert found[f"{metric}_f"] == pytest.approx(turned[f"{metric}_f"], abs=1e-12)


@given(documents)
def test_gold_clusters_score_one(given_documents):
    pairs = [(gold, gold) for gold, _ in map(partitions, given_documents)]
    found = score_clusters(pairs)
    linked = any(len(mentions) > 1 for gold, _ in pairs for mentions in gold)
    for metric in METRICS:
        some = linked if metric == "muc" else any(gold for gold, _ in pairs)
        assert values(found, metric) == pytest.approx([float(some)] * 3)
        assert values(found, f"{metric}_ns") == pytest.approx([float(linked)] * 3)


def test_counts_are_summed_before_they_are_divided():
    small, large = (parse("ab"), parse("a b")), (parse("cdef gh"), parse("cdef gh"))
    found = score_clusters([small, large])
    assert values(found, "muc")[:2] == pytest.approx((4 / 5, 1))
    assert values(found, "b3")[:2] == pytest.approx((7 / 8, 1))
    assert values(found, "ceafm")[:2] == pytest.approx((7 / 8, 7 / 8))
    assert values(found, "lea")[:2] == pytest.approx((6 / 8, 6 / 8))


def test_equal_mentions_of_different_documents_are_different():
    found = score_clusters([(parse("ab"), []), ([], parse("ab"))])
    assert set(found.values()) == {0.0}


def test_singletons_as_annotated_and_without():
    # a singleton that is found, one that is missed, one that is spurious, and a complete entity
    found = score_clusters([(parse("a b cde"), parse("a x cde"))])
    assert values(found, "mention")[:2] == pytest.approx((4 / 5, 4 / 5))
    assert values(found, "ceafe")[:2] == pytest.approx((2 / 3, 2 / 3))
    assert values(found, "lea")[:2] == pytest.approx((4 / 5, 4 / 5))
    assert values(found, "muc") == (1, 1, 1)
    assert {value for name, value in found.items() if "_ns_" in name} == {1.0}
    # an entity of which only one mention is found is a singleton on the predicted side only
    found = score_clusters([(parse("ab cde"), parse("a cde"))])
    assert values(found, "mention_ns")[:2] == pytest.approx((3 / 5, 1))
    assert values(found, "lea")[:2] == pytest.approx((3 / 5, 3 / 4))


def test_no_documents_and_empty_documents():
    for pairs in ([], [([], [])], [([[]], [])]):
        assert set(score_clusters(pairs).values()) == {0.0}
    for pair in ((parse("ab c"), []), ([], parse("ab c"))):
        assert set(score_clusters([pair]).values()) == {0.0}


# wrong scorers fail the check


def swapped(pairs):
    found = score_clusters(pairs)
    turned = {"p": "r", "r": "p", "f": "f"}
    return {name: found[name[:-1] + turned[name[-1]]] for name in found if "conll" not in name} | {
        name: found[name] for name in found if "conll" in name
    }


def averaged(pairs):
    found = [score_clusters([pair]) for pair in pairs]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def one_document(pairs):
    return score_clusters([tuple([list(m) for pair in pairs for m in pair[k]] for k in (0, 1))])


def always_without_singletons(pairs):
    found = score_clusters(pairs)
    return {name: found[name.replace("_ns", "").replace("_", "_ns_")] for name in found}


def never_without_singletons(pairs):
    found = score_clusters(pairs)
    return {name: found[name.replace("_ns", "")] for name in found}


def right_mentions_only(pairs):
    """Ignore predicted mentions that are not gold mentions."""
    kept = [
        (gold, [[m for m in mentions if any(m in g for g in gold)] for mentions in predicted])
        for gold, predicted in pairs
    ]
    return score_clusters(kept)


@pytest.mark.parametrize(
    "wrong",
    [
        swapped,
        averaged,
        one_document,
        always_without_singletons,
        never_without_singletons,
        right_mentions_only,
    ],
)
def test_wrong_scorers_are_detected(wrong):
    pairs = [partitions(random_document(seed, 20, 8)) for seed in range(4)]
    check(score_clusters, pairs)
    with pytest.raises(AssertionError):
        check(wrong, pairs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("setting", ["", "_ns"])
@pytest.mark.parametrize("part", "prf")
def test_each_score_is_checked(metric, setting, part):
    pairs = [partitions(random_document(seed, 20, 8)) for seed in range(2)]
    name = f"{metric}{setting}_{part}"

    def slightly_wrong(pairs):
        found = score_clusters(pairs)
        return {**found, name: found[name] + 1e-6}

    with pytest.raises(AssertionError):
        check(slightly_wrong, pairs)


# mistakes change the scores of Docs in the right direction

GOLD = [[(0, 1), (3, 4), (6, 8), (10, 11)], [(1, 3), (8, 9), (12, 14)], [(5, 6)], [(9, 10), (6, 7)]]
# for each mistake: the predicted entities, the scores that stay 1, and the scores that fall below 1
MISTAKES = {
    "a mention is missed": (
        [[(0, 1), (3, 4), (6, 8)], *GOLD[1:]],
        {"mention_p", "muc_p", "b3_p", "ceafm_p", "lea_p"},
        {"mention_r", "muc_r", "b3_r", "ceafm_r", "lea_r", "ceafe_p", "ceafe_r"},
    ),
    "a mention is made up": (
        [[*GOLD[0], (14, 15)], *GOLD[1:]],
        {"mention_r", "muc_r", "b3_r", "ceafm_r", "lea_r"},
        {"mention_p", "muc_p", "b3_p", "ceafm_p", "lea_p", "ceafe_p", "ceafe_r"},
    ),
    "an entity is missed": (
        [*GOLD[:1], *GOLD[2:]],
        {"mention_p", "muc_p", "b3_p", "ceafm_p", "lea_p", "ceafe_p"},
        {"mention_r", "muc_r", "b3_r", "ceafm_r", "lea_r", "ceafe_r"},
    ),
    "two entities are merged": (
        [[*GOLD[0], *GOLD[1]], *GOLD[2:]],
        {"mention_p", "mention_r", "muc_r", "b3_r", "lea_r"},
        {"muc_p", "b3_p", "lea_p", "ceafm_p", "ceafm_r", "ceafe_p", "ceafe_r"},
    ),
    "an entity is split": (
        [GOLD[0][:2], GOLD[0][2:], *GOLD[1:]],
        {"mention_p", "mention_r", "muc_p", "b3_p", "lea_p"},
        {"muc_r", "b3_r", "lea_r", "ceafm_p", "ceafm_r", "ceafe_p", "ceafe_r"},
    ),
    "a mention is in the wrong entity": (
        [GOLD[0][:3], [*GOLD[1], GOLD[0][3]], *GOLD[2:]],
        {"mention_p", "mention_r"},
        {f"{metric}_{part}" for metric in METRICS if metric != "mention" for part in "pr"},
    ),
    "a singleton is linked": (
        [[*GOLD[0], *GOLD[2]], GOLD[1], GOLD[3]],
        {"mention_p", "mention_r", "muc_r", "b3_r"},
        {"muc_p", "b3_p", "lea_p", "lea_r", "ceafm_p", "ceafm_r", "ceafe_p", "ceafe_r"},
    ),
    "a singleton is missed": (
        [GOLD[0], GOLD[1], GOLD[3]],
        {"mention_p", "muc_p", "muc_r", "b3_p", "lea_p", "ceafm_p", "ceafe_p"},
        {"mention_r", "b3_r", "lea_r", "ceafm_r", "ceafe_r"},
    ),
    "a singleton is made up": (
        [*GOLD, [(14, 15)]],
        {"mention_r", "muc_p", "muc_r", "b3_r", "lea_r", "ceafm_r", "ceafe_r"},
        {"mention_p", "b3_p", "lea_p", "ceafm_p", "ceafe_p"},
    ),
}
SINGLETONS_ALONE = {"a singleton is missed", "a singleton is made up"}


def make_doc(words, clusters=(), prefix="coref_clusters", **kwargs):
    doc = Doc(VOCAB, words=words, **kwargs)
    set_clusters(doc, clusters, prefix)
    return doc


WORDS = [f"w{i}" for i in range(16)]


def score_docs(predicted, gold, **kwargs):
    return score_coref([Example(make_doc(WORDS, predicted), make_doc(WORDS, gold))], **kwargs)


def test_no_mistakes_score_one():
    assert set(score_docs(GOLD, GOLD).values()) == {1.0}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_change_the_right_scores(name):
    predicted, same, lower = MISTAKES[name]
    assert not same & lower
    found = score_docs(predicted, GOLD)
    for number in same:
        assert found[f"coref_{number}"] == pytest.approx(1.0), number
    for number in lower:
        assert 0 < found[f"coref_{number}"] < 1 - 1e-9, number
    for metric in METRICS:
        p, r, f = (found[f"coref_{metric}_{part}"] for part in "prf")
        assert f == pytest.approx(f_of(r, p)) and min(p, r) - 1e-12 <= f <= max(p, r) + 1e-12
    assert found["coref_conll_f"] < 1
    if name in SINGLETONS_ALONE:
        assert {value for key, value in found.items() if "_ns_" in key} == {1.0}
    else:
        assert found["coref_conll_ns_f"] < 1


def test_two_mistakes_are_worse_than_one():
    one = score_docs(MISTAKES["two entities are merged"][0], GOLD)
    two = score_docs([[*GOLD[0], *GOLD[1], *GOLD[3]], GOLD[2]], GOLD)
    for metric in ("muc", "b3", "ceafe", "ceafm", "lea"):
        assert two[f"coref_{metric}_f"] < one[f"coref_{metric}_f"]


# Examples


def test_names_of_the_scores():
    found = score_docs(GOLD[:2], GOLD)
    expected = {f"coref_{m}{s}_{part}" for m in METRICS for s in ("", "_ns") for part in "prf"}
    expected |= {f"coref{s}_{part}" for s in ("", "_ns") for part in "prf"}
    expected |= {"coref_conll_f", "coref_conll_ns_f"}
    assert set(found) == expected
    assert all(type(value) is float and 0 <= value <= 1 for value in found.values())
    for part in "prf":
        assert found[f"coref_{part}"] == found[f"coref_lea_{part}"]
        assert found[f"coref_ns_{part}"] == found[f"coref_lea_ns_{part}"]


def test_scores_without_annotation_are_none():
    example = Example(make_doc(WORDS, GOLD), make_doc(WORDS))
    found = score_coref([example])
    assert set(found.values()) == {None} and set(found) == set(score_docs(GOLD, GOLD))
    assert set(score_coref([]).values()) == {None}
    # next to annotated examples, it is skipped
    both = [example, Example(make_doc(WORDS, GOLD), make_doc(WORDS, GOLD))]
    for ordered in (both, both[::-1]):
        assert set(score_coref(ordered).values()) == {1.0}
    # an example that is marked as having no entities is scored
    mark_annotated(example.reference)
    assert score_coref([example])["coref_mention_p"] == 0.0
    found = score_coref(both)
    assert (found["coref_mention_r"], found["coref_mention_p"]) == (1.0, 0.5)


def test_empty_docs_and_docs_without_predictions():
    empty = Example(Doc(VOCAB), Doc(VOCAB))
    assert set(score_coref([empty]).values()) == {None}
    found = score_coref([empty, Example(make_doc(WORDS), make_doc(WORDS, GOLD))])
    assert set(found.values()) == {0.0}
    found = score_coref([empty, Example(make_doc(WORDS, GOLD), make_doc(WORDS, GOLD))])
    assert set(found.values()) == {1.0}


def test_numbers_of_entities_do_not_matter():
    predicted = make_doc(WORDS)
    for number, mentions in zip((7, 3, 20, 11), GOLD):
        predicted.spans[f"coref_clusters_{number}"] = [predicted[s:e] for s, e in mentions]
    assert set(score_coref([Example(predicted, make_doc(WORDS, GOLD))]).values()) == {1.0}


def test_prefix_and_settings_of_the_component():
    gold, predicted = make_doc(WORDS, GOLD, "heads"), make_doc(WORDS, GOLD[:1], "heads")
    set_clusters(predicted, GOLD, "coref_clusters")
    scorer = make_coref_scorer()
    settings = {"span_cluster_prefix": "heads", "pronouns": ["he"], "labels": ()}
    found = scorer([Example(predicted, gold)], **settings)
    assert found["coref_mention_r"] == pytest.approx(0.4)
    assert found == pickle.loads(pickle.dumps(scorer))(iter([Example(predicted, gold)]), **settings)
    assert set(scorer([Example(predicted, gold)]).values()) == {None}


def test_docs_with_other_tokens():
    # "New York 's mayor said that he loves New York"
    gold = make_doc(
        ["New", "York", "'s", "mayor", "said", "that", "he", "loves", "New", "York"],
        [[(0, 4), (6, 7)], [(0, 2), (8, 10)]],
        spaces=[True, False, True, True, True, True, True, True, True, False],
    )
    merged = make_doc(
        ["New York", "'s", "mayor", "said", "that", "he", "loves", "New York"],
        [[(0, 1), (7, 8)], [(0, 3), (5, 6)]],
        spaces=[False, True, True, True, True, True, True, False],
    )
    split = make_doc(
        ["New", "Yo", "rk", "'", "s", "ma", "yor", "said", "that", "h", "e", "loves", "N", "ew"]
        + ["York"],
        [[(0, 7), (9, 11)], [(0, 3), (12, 15)]],
        spaces=[True, False, False, False, True, False, True, True, True, False, True, True]
        + [False, True, False],
    )
    assert merged.text == split.text == gold.text
    for predicted in (merged, split):
        assert set(score_coref([Example(predicted, gold)]).values()) == {1.0}
        assert set(score_coref([Example(gold, predicted)]).values()) == {1.0}
    # a mention whose end differs by one token is another mention
    set_clusters(split, [[(0, 6), (9, 11)], [(0, 3), (12, 15)]])
    assert score_coref([Example(split, gold)])["coref_mention_p"] == 0.75


def test_spaces_between_words_do_not_matter():
    gold = make_doc(["He", "saw", "him", "."], [[(0, 1)], [(2, 3)]])
    predicted = make_doc(
        ["\n", "He", " ", "saw", "him", ".", "\n\n"],
        [[(1, 3)], [(4, 5)], [(6, 7)]],
        spaces=[False, True, False, True, False, True, False],
    )
    found = score_coref([Example(predicted, gold)])
    assert found["coref_mention_f"] == 1.0 and found["coref_f"] == 1.0


def test_different_texts_are_an_error():
    with pytest.raises(ValueError, match="differ in more than whitespace: 'Hesleeps'"):
        score_coref([Example(make_doc(["He", "sleeps"]), make_doc(["She", "sleeps"], [[(0, 1)]]))])


def test_repeated_mentions_count_once():
    predicted = make_doc(WORDS)
    predicted.spans["coref_clusters_1"] = [predicted[0:1], predicted[0:1], predicted[2:3]]
    predicted.spans["coref_clusters_2"] = [predicted[2:3], predicted[4:5]]
    once = score_docs([[(0, 1), (2, 3)], [(4, 5)]], GOLD)
    assert score_coref([Example(predicted, make_doc(WORDS, GOLD))]) == once
    # also in the gold clusters
    gold_once = score_docs(GOLD, [[(0, 1), (2, 3)], [(4, 5)]])
    assert score_coref([Example(make_doc(WORDS, GOLD), predicted)]) == gold_once


def test_crossing_and_nested_mentions():
    gold = [[(0, 4), (6, 7)], [(2, 6), (0, 1)], [(0, 10), (3, 4)], [(3, 5)]]
    assert set(score_docs(gold, gold).values()) == {1.0}
    found = score_docs([[(0, 4), (6, 7)], [(2, 5), (0, 1)], *gold[2:]], gold)
    assert found["coref_mention_p"] == pytest.approx(6 / 7)
    assert found["coref_muc_r"] == pytest.approx(2 / 3)


def test_tokenized_text_is_scored():
    nlp = spacy.blank("en")
    text = "Anna's mother said she'd come. She didn't."
    predicted, gold = nlp(text), nlp(text)
    anna_mother = [(0, 3), (4, 5), (8, 9)]
    set_clusters(gold, [[(0, 1)], anna_mother])
    set_clusters(predicted, [anna_mother])
    found = score_coref([Example(predicted, gold)])
    assert (found["coref_mention_r"], found["coref_mention_p"]) == (0.75, 1.0)
    assert found["coref_conll_ns_f"] == 1.0
