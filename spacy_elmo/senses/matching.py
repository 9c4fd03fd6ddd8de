"""The nearest sense of each use of a word, by the cosine with the senses' prototypes."""

from collections import defaultdict

import numpy as np

from .prototypes import Prototypes

NO_SENSE = -1


def nearest_senses(
    prototypes: Prototypes,
    candidates: list[tuple[int, ...]],
    vectors: np.ndarray,
    prior_weight: float,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best sense of each use of a word. All uses with the same candidates are compared
    in one matmul, so that time and memory do not depend on the size of the inventory.

    prototypes (Prototypes): The prototypes.
    candidates (List[Tuple[int, ...]]): Senses that each use can have, ascending, not empty.
    vectors (ndarray): Vectors of the uses, float32 [n, width], of length one.
    prior_weight (float): Weight of the logarithm of the senses' relative frequencies, which is
        added to the cosines.
    threshold (float): Minimum difference between the best and the second-best sum of a use.
    RETURNS (Tuple[ndarray, ndarray]): The sense of each use, or `NO_SENSE`, int64 [n]; and its
        cosine, float32 [n]. If no candidate has examples, they are the first candidate and 0.
    """
    best = np.full(len(candidates), NO_SENSE, dtype=np.int64)
    scores = np.zeros(len(candidates), dtype=np.float32)
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for n, senses in enumerate(candidates):
        groups[senses].append(n)
    for senses, uses in groups.items():
        known = np.array(senses)
        counts = prototypes.counts[known]
        if not counts.all():
            known, counts = known[counts > 0], counts[counts > 0]
        if not len(known):
            best[uses] = senses[0]
            continue
        cosines = prototypes.cosines(vectors[uses], known)
        if len(known) == 1:
            best[uses], scores[uses] = known[0], cosines[:, 0]
            continue
        ranks = cosines + np.float32(prior_weight) * np.log(counts / counts.sum())
        columns = ranks.argmax(axis=1)
        best[uses], scores[uses] = known[columns], cosines[np.arange(len(uses)), columns]
        if threshold:
            top = np.partition(ranks, -2, axis=1)[:, -2:]
            best[np.array(uses)[top[:, 1] - top[:, 0] < threshold]] = NO_SENSE
    return best, scores
