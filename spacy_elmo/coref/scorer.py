"""Metrics of coreference: MUC, B-cubed, CEAF, LEA, mention detection, and the CoNLL average.

The metrics compare two partitions of mentions. A mention can be any hashable object. Numerators and
denominators are summed over documents before they are divided.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..text.words import text_offsets
from .clusters import DEFAULT_PREFIX, get_clusters, is_annotated

Partition = Sequence[Iterable[Hashable]]
"""The mentions of each cluster of a document. A repeated mention belongs to the first cluster."""
ClusterOf = dict[Hashable, int]
"""The cluster of each mention."""
Overlap = Mapping[tuple[int, int], int]
"""Number of mentions that a gold and a predicted cluster share, for pairs that share any."""

METRICS = ("muc", "b3", "ceafe", "ceafm", "lea", "mention")
CONLL = ("muc", "b3", "ceafe")
SETTINGS = ("", "_ns")
"""With singletons, and without singletons on either side."""


def make_coref_scorer() -> Callable[..., dict[str, Any]]:
    """Return the scorer `spacy-elmo.coref_scorer.v1`. The component passes its
    `span_cluster_prefix`; see `score_coref`.

    RETURNS (Callable): The scorer.
    """
    return score_coref


def score_coref(
    examples: Iterable[Example], *, span_cluster_prefix: str = DEFAULT_PREFIX, **cfg: Any
) -> dict[str, Any]:
    """Score predicted clusters against gold clusters. Mentions are equal if they cover the same
    characters, regardless of the tokenization.

    examples (Iterable[Example]): The examples. Each is a document. Examples whose reference is not
        annotated are skipped.
    span_cluster_prefix (str): Prefix of the keys of clusters.
    RETURNS (Dict[str, Any]): Scores from 0 to 1: `coref_f`, `coref_p` and `coref_r`, which are LEA;
        `coref_conll_f`; and `coref_<metric>_f`, `_p` and `_r` for the metrics muc, b3, ceafe,
        ceafm, lea and mention. The names `coref_ns_f`, `coref_conll_ns_f`, `coref_muc_ns_f`, ...
        contain the same scores without singletons. All scores are None if no example is annotated.
    RAISES (ValueError): If the texts of an example differ in more than whitespace.

    REFERENCE: Pradhan et al. (2014), "Scoring Coreference Partitions of Predicted Mentions", for
        muc, b3, ceafe and ceafm; Moosavi and Strube (2016), "Which Coreference Evaluation Metric Do
        You Trust?", for lea.
    """
    documents: list[tuple[Partition, Partition]] = []
    for example in examples:
        if not is_annotated(example.reference, span_cluster_prefix):
            continue
        _check_texts(example)
        documents.append(
            (
                _in_characters(example.reference, span_cluster_prefix),
                _in_characters(example.predicted, span_cluster_prefix),
            )
        )
    found = score_clusters(documents)
    scores: dict[str, Any] = {f"coref_{name}": value for name, value in found.items()}
    for setting in SETTINGS:
        for value in "fpr":
            scores[f"coref{setting}_{value}"] = found[f"lea{setting}_{value}"]
    return scores if documents else dict.fromkeys(scores)


def score_clusters(documents: Iterable[tuple[Partition, Partition]]) -> dict[str, float]:
    """Score predicted clusters against gold clusters; see `score_coref` for the metrics.

    documents (Iterable[Tuple[Partition, Partition]]): The gold and the predicted clusters of each
        document. Mentions are hashable objects, compared for equality.
    RETURNS (Dict[str, float]): `<metric>_p`, `_r` and `_f`, and `conll_f`, from 0 to 1; and the
        same without singletons, as `<metric>_ns_f`, `conll_ns_f`, ...
    """
    totals = {metric + setting: np.zeros(4) for metric in METRICS for setting in SETTINGS}
    for gold, predicted in documents:
        sides = _cluster_of(gold), _cluster_of(predicted)
        for setting in SETTINGS:
            if setting:
                sides = _without_singletons(sides[0]), _without_singletons(sides[1])
            for metric, sums in _count(*sides).items():
                totals[metric + setting] += sums
    scores: dict[str, float] = {}
    for name, (r_sum, r_all, p_sum, p_all) in totals.items():
        recall, precision = _ratio(r_sum, r_all), _ratio(p_sum, p_all)
        scores[f"{name}_p"], scores[f"{name}_r"] = precision, recall
        scores[f"{name}_f"] = _ratio(2 * precision * recall, precision + recall)
    for setting in SETTINGS:
        f_scores = [scores[f"{metric}{setting}_f"] for metric in CONLL]
        scores[f"conll{setting}_f"] = sum(f_scores) / len(f_scores)
    return scores


def _count(gold: ClusterOf, predicted: ClusterOf) -> dict[str, tuple[float, ...]]:
    """Return the numerator and denominator of recall, then of precision, of each metric."""
    shared = [mention for mention in gold if mention in predicted]
    overlap = Counter((gold[mention], predicted[mention]) for mention in shared)
    mirrored = {(j, i): n for (i, j), n in overlap.items()}
    sizes, other_sizes = Counter(gold.values()), Counter(predicted.values())
    n_gold, n_predicted = len(gold), len(predicted)
    # MUC: a cluster of n mentions has n - 1 links. If the other side divides it into k clusters,
    # k - 1 links are missing. A missing mention counts as a cluster of its own.
    links = len(shared) - len(overlap)
    by_mention, by_cluster = _best_pairings(overlap, sizes, other_sizes)
    return {
        "muc": (links, n_gold - len(sizes), links, n_predicted - len(other_sizes)),
        "b3": (_b3(overlap, sizes), n_gold, _b3(mirrored, other_sizes), n_predicted),
        "ceafe": (by_cluster, len(sizes), by_cluster, len(other_sizes)),
        "ceafm": (by_mention, n_gold, by_mention, n_predicted),
        "lea": (
            _lea(overlap, sizes, other_sizes),
            n_gold,
            _lea(mirrored, other_sizes, sizes),
            n_predicted,
        ),
        "mention": (len(shared), n_gold, len(shared), n_predicted),
    }


def _b3(overlap: Overlap, sizes: Mapping[int, int]) -> float:
    return sum(n * n / sizes[i] for (i, _), n in overlap.items())


def _lea(overlap: Overlap, sizes: Mapping[int, int], other_sizes: Mapping[int, int]) -> float:
    """Return the sum over clusters of the size times the fraction of links that are found. A
    singleton has a link to itself, which is found only if the other side has it as a singleton."""
    total = 0.0
    for (i, j), n in overlap.items():
        if sizes[i] == 1:
            total += other_sizes[j] == 1
        else:
            total += n * (n - 1) / (sizes[i] - 1)
    return total


def _best_pairings(
    overlap: Overlap, sizes: Mapping[int, int], other_sizes: Mapping[int, int]
) -> tuple[float, float]:
    """Return the maximum sums of similarities if each cluster is paired with at most one cluster of
    the other side.

    RETURNS (Tuple[float, float]): The sums for two similarities: the number of shared mentions, and
        2 * shared / (size + other size).
    """
    if not overlap:
        return 0.0, 0.0
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.array(list(overlap), dtype=np.int64).T
    shared = np.array(list(overlap.values()), dtype=np.float64)
    both = np.array([sizes[i] + other_sizes[j] for i, j in overlap], dtype=np.float64)
    similarities = (shared, 2 * shared / both)
    # Clusters in different connected components cannot be paired. Each component is therefore
    # solved separately: the matrix of all clusters of a novel would not fit in memory.
    n_rows = int(rows.max()) + 1
    n_nodes = n_rows + int(columns.max()) + 1
    graph = coo_array((shared, (rows, columns + n_rows)), shape=(n_nodes, n_nodes))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    totals = [0.0, 0.0]
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) == 1:
            totals = [total + s[members[0]] for total, s in zip(totals, similarities)]
            continue
        r = np.unique(rows[members], return_inverse=True)[1]
        c = np.unique(columns[members], return_inverse=True)[1]
        for k, similarity in enumerate(similarities):
            matrix = np.zeros((r.max() + 1, c.max() + 1))
            matrix[r, c] = similarity[members]
            totals[k] += matrix[linear_sum_assignment(matrix, maximize=True)].sum()
    return float(totals[0]), float(totals[1])


def _cluster_of(clusters: Partition) -> ClusterOf:
    cluster_of: ClusterOf = {}
    for number, mentions in enumerate(clusters):
        for mention in mentions:
            cluster_of.setdefault(mention, number)
    return cluster_of


def _without_singletons(cluster_of: ClusterOf) -> ClusterOf:
    sizes = Counter(cluster_of.values())
    return {mention: number for mention, number in cluster_of.items() if sizes[number] > 1}


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0


def _in_characters(doc: Doc, prefix: str) -> list[list[Hashable]]:
    """Return the clusters with mentions as character offsets in the text without whitespace. The
    offsets do not depend on the whitespace between words."""
    starts, ends = (offsets.tolist() for offsets in text_offsets(doc))
    return [
        [(starts[start], ends[end - 1]) for start, end in mentions]
        for mentions in get_clusters(doc, prefix, words_only=True)
    ]


def _check_texts(example: Example) -> None:
    predicted, reference = ("".join(doc.text.split()) for doc in (example.x, example.y))
    if predicted != reference:
        raise ValueError(
            f"The predicted and the reference Doc of an example differ in more than whitespace: "
            f"{predicted[:40]!r}... and {reference[:40]!r}... Give Docs of the same text."
        )
