import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import (
    cluster_keys,
    cut_doc,
    get_clusters,
    get_named_clusters,
    is_annotated,
    join_docs,
    mark_annotated,
    set_clusters,
)

VOCAB = Vocab()
N_TOKENS = 12

mentions = st.tuples(st.integers(0, N_TOKENS - 1), st.integers(1, 4)).map(
    lambda drawn: (drawn[0], min(drawn[0] + drawn[1], N_TOKENS))
)
# mentions may be nested, cross, and be repeated in one entity or in several entities
clusters = st.lists(st.lists(mentions, max_size=5), max_size=5)


def make_doc(n_tokens=N_TOKENS, **clusters_of):
    doc = Doc(VOCAB, words=[f"w{i}" for i in range(n_tokens)])
    for prefix, given_clusters in clusters_of.items():
        set_clusters(doc, given_clusters, prefix)
    return doc


def groups(doc):
    return {key: [(s.start, s.end, s.label_) for s in doc.spans[key]] for key in doc.spans}


def as_sets(found):
    return sorted(sorted(mentions) for mentions in found)


def first_wins(given_clusters):
    """Remove repeated mentions in the simplest way: a mention belongs to its first entity."""
    taken, kept = [], []
    for given_mentions in given_clusters:
        new = []
        for mention in given_mentions:
            if mention not in taken:
                taken.append(mention)
                new.append(mention)
        if new:
            kept.append(new)
    return kept


def test_each_cluster_is_a_group_in_the_order_of_the_text():
    doc = make_doc()
    set_clusters(doc, [[(7, 9)], [(6, 7), (0, 2)], [(3, 4), (1, 2), (8, 9)]])
    assert groups(doc) == {
        "coref_clusters_1": [(0, 2, ""), (6, 7, "")],
        "coref_clusters_2": [(1, 2, ""), (3, 4, ""), (8, 9, "")],
        "coref_clusters_3": [(7, 9, "")],
    }
    assert [group.name for group in doc.spans.values()] == list(doc.spans)
    assert get_clusters(doc) == [[(0, 2), (6, 7)], [(1, 2), (3, 4), (8, 9)], [(7, 9)]]


def test_the_shorter_of_two_mentions_with_the_same_start_is_first():
    doc = make_doc(coref_clusters=[[(0, 3)], [(0, 1)], [(5, 7), (5, 6)]])
    assert get_clusters(doc) == [[(0, 1)], [(0, 3)], [(5, 6), (5, 7)]]


@given(clusters)
def test_clusters_are_read_as_they_were_set(given_clusters):
    doc = make_doc()
    set_clusters(doc, given_clusters)
    found = get_clusters(doc)
    assert as_sets(found) == as_sets(first_wins(given_clusters))
    assert cluster_keys(doc) == [f"coref_clusters_{i + 1}" for i in range(len(found))]
    assert [mentions[0] for mentions in found] == sorted(mentions[0] for mentions in found)
    assert all(mentions == sorted(set(mentions)) for mentions in found)
    before = groups(doc)
    set_clusters(doc, found)  # setting the same clusters changes nothing
    assert groups(doc) == before


def test_clusters_survive_serialization():
    doc = make_doc(coref_clusters=[[(0, 3), (1, 5)], [(2, 3)]])
    again = Doc(VOCAB).from_bytes(doc.to_bytes())
    assert get_clusters(again) == get_clusters(doc)
    bin_bytes = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(bin_bytes).get_docs(VOCAB)
    assert get_clusters(again) == get_clusters(doc)


def test_old_clusters_are_replaced_and_other_groups_are_not():
    doc = make_doc(coref_clusters=[[(i, i + 1)] for i in range(11)])
    doc.spans["sc"] = [Span(doc, 0, 2, label="X")]
    doc.spans["coref_head_clusters_1"] = [doc[0:1]]
    set_clusters(doc, [[(4, 5)]])
    assert groups(doc) == {
        "sc": [(0, 2, "X")],
        "coref_head_clusters_1": [(0, 1, "")],
        "coref_clusters_1": [(4, 5, "")],
    }
    set_clusters(doc, [])
    assert get_clusters(doc) == [] and "sc" in doc.spans
    assert get_clusters(doc, "coref_head_clusters") == [[(0, 1)]]


def test_keys_are_sorted_by_number():
    doc = make_doc()
    others = ["coref_clusters", "coref_clusters_", "coref_clustersX1", "coref_clusters_1a"]
    others += ["x_coref_clusters_1", "coref_clusters_1\n", "coref_clusters_-1"]
    for key in ["coref_clusters_10", "coref_clusters_2", "coref_clusters_1", *others]:
        doc.spans[key] = [doc[0:1]]
    assert cluster_keys(doc) == ["coref_clusters_1", "coref_clusters_2", "coref_clusters_10"]
    set_clusters(doc, [])
    assert set(doc.spans) == set(others)


def test_a_prefix_is_no_regular_expression():
    doc = make_doc()
    doc.spans["a.b_1"], doc.spans["axb_1"] = [doc[0:1]], [doc[1:2]]
    assert cluster_keys(doc, "a.b") == ["a.b_1"]


def test_groups_of_other_programs_are_read_as_a_partition():
    doc = make_doc()
    doc.spans["coref_clusters_2"] = [doc[4:5], doc[0:2], doc[4:5], Span(doc, 3, 3)]
    doc.spans["coref_clusters_3"] = [doc[0:2]]
    doc.spans["coref_clusters_5"] = [doc[0:2], doc[7:9]]
    doc.spans["coref_clusters_7"] = []
    assert get_named_clusters(doc) == {
        "coref_clusters_2": [(0, 2), (4, 5)],
        "coref_clusters_5": [(7, 9)],
    }
    assert get_clusters(doc) == [[(0, 2), (4, 5)], [(7, 9)]]


def test_numpy_integers_and_generators_are_accepted():
    doc = make_doc()
    starts = np.array([3, 0])
    set_clusters(doc, ([(start, start + 1)] for start in starts))
    assert get_clusters(doc) == [[(0, 1)], [(3, 4)]]


@pytest.mark.parametrize("mention", [(-1, 2), (3, 3), (5, 4), (0, N_TOKENS + 1)])
def test_an_invalid_mention_is_an_error_and_changes_nothing(mention):
    doc = make_doc(coref_clusters=[[(0, 1)]])
    with pytest.raises(
        ValueError, match=f"from token {mention[0]} to {mention[1]} .* of 12 tokens"
    ):
        set_clusters(doc, [[(1, 2)], [mention]])
    assert get_clusters(doc) == [[(0, 1)]]


def test_empty_docs():
    doc = Doc(VOCAB)
    set_clusters(doc, [])
    set_clusters(doc, [[]])
    assert cluster_keys(doc) == [] and get_clusters(doc) == []
    assert len(cut_doc(doc, 0, 0)) == 0
    assert len(join_docs([doc, Doc(VOCAB)])) == 0


def test_a_doc_without_clusters_can_be_marked_as_annotated():
    doc = make_doc(4)
    assert not is_annotated(doc)
    mark_annotated(doc)
    assert is_annotated(doc) and get_clusters(doc) == []
    (read,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(VOCAB)
    assert is_annotated(read)
    with_entity = make_doc(4, coref_clusters=[[(0, 2)]])
    mark_annotated(with_entity)
    assert groups(with_entity) == {"coref_clusters_1": [(0, 2, "")]}
    # cut and joined Docs are also marked
    assert is_annotated(cut_doc(with_entity, 3, 4)) and is_annotated(join_docs([doc, doc]))
    assert not is_annotated(cut_doc(make_doc(4), 0, 2))
    assert not is_annotated(join_docs([doc, make_doc(4)]))


def test_cut_doc():
    doc = Doc(VOCAB, words=["a", "b", "c", "d", "e"], sent_starts=[1, -1, 1, -1, -1])
    set_clusters(doc, [[(0, 1), (3, 4), (4, 5)], [(1, 3)], [(2, 5), (2, 3)]])
    doc.spans["speakers"] = [Span(doc, 0, 3, "X"), Span(doc, 3, 5, "Y", kb_id="Q1", span_id="s")]
    part = cut_doc(doc, 2, 5)
    assert part.text == "c d e " and [token.is_sent_start for token in part] == [True, False, False]
    assert groups(part) == {
        "coref_clusters_1": [(0, 1, ""), (0, 3, "")],
        "coref_clusters_2": [(1, 2, ""), (2, 3, "")],
        "speakers": [(1, 3, "Y")],
    }
    (speaker,) = part.spans["speakers"]
    assert (speaker.kb_id_, speaker.id_) == ("Q1", "s")
    front = cut_doc(doc, 0, 4)
    assert groups(front)["speakers"] == [(0, 3, "X")]
    assert len(doc.spans["coref_clusters_1"]) == 3  # the original Doc is unchanged


def test_cut_and_joined_docs_keep_the_metadata():
    doc = Doc(VOCAB, words=["a", "b"])
    doc.user_data.update(document_id="tale", part="000", genre="nw")
    assert doc.has_unknown_spaces
    part = cut_doc(doc, 0, 1)
    assert part.has_unknown_spaces
    assert part.user_data == {"document_id": "tale", "part": "000", "genre": "nw"}
    spaced = Doc(VOCAB, words=["a"], spaces=[False])
    assert join_docs([spaced, doc]).has_unknown_spaces
    assert not join_docs([spaced, spaced]).has_unknown_spaces
    assert not cut_doc(spaced, 0, 1).has_unknown_spaces


@given(clusters, st.integers(0, N_TOKENS), st.integers(0, N_TOKENS))
def test_a_cut_doc_has_the_mentions_within_it(given_clusters, start, end):
    start, end = sorted((start, end))
    part = cut_doc(make_doc(x=given_clusters), start, end, "x")
    assert len(part) == end - start
    inside = [
        [(s - start, e - start) for s, e in mentions if start <= s and e <= end]
        for mentions in first_wins(given_clusters)
    ]
    assert as_sets(get_clusters(part, "x")) == as_sets(m for m in inside if m)


@pytest.mark.parametrize("start, end", [(-1, 2), (3, 2), (0, N_TOKENS + 1)])
def test_an_invalid_cut_is_an_error(start, end):
    with pytest.raises(ValueError, match="out of a Doc of 12 tokens"):
        cut_doc(make_doc(), start, end)


def test_clusters_of_joined_docs_are_separate():
    one = make_doc(4, coref_clusters=[[(0, 1), (2, 4)], [(1, 2)]])
    one.spans["sc"] = [Span(one, 0, 2, label="X")]
    other = make_doc(3, coref_clusters=[[(0, 3)], [(1, 2)]])
    other.spans["sc"] = [Span(other, 1, 2, label="Y")]
    other.spans["more"] = []
    whole = join_docs([one, Doc(VOCAB), other])
    assert [token.text for token in whole] == "w0 w1 w2 w3 w0 w1 w2".split()
    assert groups(whole) == {
        "coref_clusters_1": [(0, 1, ""), (2, 4, "")],
        "coref_clusters_2": [(1, 2, "")],
        "coref_clusters_3": [(4, 7, "")],
        "coref_clusters_4": [(5, 6, "")],
        "sc": [(0, 2, "X"), (5, 6, "Y")],
        "more": [],
    }
    # `Doc.from_docs` merges clusters with the same key
    mixed = Doc.from_docs([one, other])
    assert len(get_clusters(mixed)) == 2


@pytest.mark.parametrize("order", [1, -1])
def test_a_joined_doc_with_clusters_is_annotated(order):
    annotated, other = make_doc(4, coref_clusters=[[(0, 1), (2, 4)]]), make_doc(3)
    whole = join_docs([annotated, other][::order])
    shift = 0 if order == 1 else 3
    assert get_clusters(whole) == [[(shift, shift + 1), (shift + 2, shift + 4)]]
    assert is_annotated(whole)
    assert not is_annotated(other) and get_clusters(annotated) == [[(0, 1), (2, 4)]]


@given(st.lists(clusters, min_size=1, max_size=3))
def test_cutting_joined_docs_returns_the_docs(given_docs):
    docs = [make_doc(coref_clusters=given_clusters) for given_clusters in given_docs]
    whole = join_docs(docs)
    assert len(get_clusters(whole)) == sum(len(get_clusters(doc)) for doc in docs)
    for n, doc in enumerate(docs):
        part = cut_doc(whole, n * N_TOKENS, (n + 1) * N_TOKENS)
        assert get_clusters(part) == get_clusters(doc)


def test_joining_no_docs_is_an_error():
    with pytest.raises(ValueError, match="no Docs to join"):
        join_docs([])
