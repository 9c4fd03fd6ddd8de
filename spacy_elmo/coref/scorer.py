"""Scores of coreference: MUC, B3, CEAF, LEA, mentions, and the CoNLL average.

Owns the metrics, which compare two lists of clusters of anything hashable and are summed
over documents before they are divided, and their use on Examples. It knows no model.
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
"""The mentions of each entity of a document; a mention counts where it comes first."""
EntityOf = dict[Hashable, int]
Overlap = Mapping[tuple[int, int], int]
"""Mentions that an entity of one side shares with one of the other, where there are any."""

METRICS = ("muc", "b3", "ceafe", "ceafm", "lea", "mention")
CONLL = ("muc", "b3", "ceafe")
SETTINGS = ("", "_ns")
"""With singletons as they are, and with none on either side."""


def make_coref_scorer() -> Callable[..., dict[str, Any]]:
    """Registered as spacy-elmo.coref_scorer.v1. It has no settings of its own: the component
    says which span groups it writes; see `score_coref`."""
    return score_coref


def score_coref(
    examples: Iterable[Example], *, span_cluster_prefix: str = DEFAULT_PREFIX, **cfg: Any
) -> dict[str, Any]:
    """Score predicted entities against the reference. Two mentions are the same if they
    have the same characters, however these are tokenised.

    examples (Iterable[Example]): Each one a document of its own.
    span_cluster_prefix (str): Entities are `doc.spans[f"{prefix}_{number}"]`.
    RETURNS (Dict[str, Any]): From 0 to 1: `coref_f`, `coref_p`, `coref_r`, which are LEA;
        `coref_conll_f`; and `coref_<metric>_f`, `_p`, `_r` for muc, b3, ceafe, ceafm, lea
        and mention; all of them also without singletons, as `coref_ns_f`,
        `coref_conll_ns_f`, `coref_muc_ns_f`, ... A document whose reference has no span
        group of that prefix, not even an empty one, is left out; all are None if there is
        no other.
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
        for part in "fpr":
            scores[f"coref{setting}_{part}"] = found[f"lea{setting}_{part}"]
    return scores if documents else dict.fromkeys(scores)


def score_clusters(documents: Iterable[tuple[Partition, Partition]]) -> dict[str, float]:
    """Score clusters against gold ones.

    documents (Iterable[Tuple[Partition, Partition]]): The gold and the predicted clusters
        of each document. A mention is anything hashable that is the same on both sides.
    RETURNS (Dict[str, float]): `<metric>_p`, `_r`, `_f` and `conll_f`, from 0 to 1; and the
        same without singletons, as `<metric>_ns_f`, `conll_ns_f`, ...
    """
    totals = {metric + setting: np.zeros(4) for metric in METRICS for setting in SETTINGS}
    for gold, predicted in documents:
        sides = _entity_of(gold), _entity_of(predicted)
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
        parts = [scores[f"{metric}{setting}_f"] for metric in CONLL]
        scores[f"conll{setting}_f"] = sum(parts) / len(parts)
    return scores


def _count(gold: EntityOf, predicted: EntityOf) -> dict[str, tuple[float, ...]]:
    """Numerator and denominator of recall, then of precision, of each metric."""
    shared = [mention for mention in gold if mention in predicted]
    overlap = Counter((gold[mention], predicted[mention]) for mention in shared)
    mirrored = {(j, i): n for (i, j), n in overlap.items()}
    sizes, other_sizes = Counter(gold.values()), Counter(predicted.values())
    n_gold, n_predicted = len(gold), len(predicted)
    # |K| less the parts that the other side divides K into: n mentions that stay together
    # are n - 1 links, and a mention that is missing there is a part of its own
    links = len(shared) - len(overlap)
    by_mention, by_entity = _best_pairings(overlap, sizes, other_sizes)
    return {
        "muc": (links, n_gold - len(sizes), links, n_predicted - len(other_sizes)),
        "b3": (_b3(overlap, sizes), n_gold, _b3(mirrored, other_sizes), n_predicted),
        "ceafe": (by_entity, len(sizes), by_entity, len(other_sizes)),
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
    """Sum over entities of their size times the share of their links that is found. The
    link of a singleton, to itself, is found in a singleton alone."""
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
    """The greatest sums of similarities when each entity is paired with one at most of the
    other side: of shared mentions, and of 2 * shared / (size + other size)."""
    if not overlap:
        return 0.0, 0.0
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.array(list(overlap), dtype=np.int64).T
    shared = np.array(list(overlap.values()), dtype=np.float64)
    both = np.array([sizes[i] + other_sizes[j] for i, j in overlap], dtype=np.float64)
    similarities = (shared, 2 * shared / both)
    # entities that share mentions neither directly nor through others do not compete: many
    # small assignments instead of one that would fill memory for a novel
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


def _entity_of(clusters: Partition) -> EntityOf:
    entity_of: EntityOf = {}
    for entity, mentions in enumerate(clusters):
        for mention in mentions:
            entity_of.setdefault(mention, entity)
    return entity_of


def _without_singletons(entity_of: EntityOf) -> EntityOf:
    sizes = Counter(entity_of.values())
    return {mention: entity for mention, entity in entity_of.items() if sizes[entity] > 1}


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _in_characters(doc: Doc, prefix: str) -> list[list[Hashable]]:
    """Mentions as first character and end, whitespace not counted: like the alignment of
    Examples, this takes no notice of how words are spaced."""
    starts, ends = (places.tolist() for places in text_offsets(doc))
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
