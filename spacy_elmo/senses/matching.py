"""The nearest sense of each use of a word, by the cosine with the senses' prototypes."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from .prototypes import Prototypes, unit

NO_SENSE = -1


class Match(NamedTuple):
    """The sense of a use of a word.

    sense (int): The number of the sense, or `NO_SENSE`.
    score (float): Cosine of the use and the prototype; 0 if the word has no examples.
    """

    sense: int
    score: float


def nearest_senses(
    prototypes: Prototypes,
    candidates: list[tuple[int, ...]],
    vectors: np.ndarray,
    prior_weight: float,
    threshold: float,
) -> list[Match]:
    """Return the best sense of each use of a word. All uses with the same candidates are compared
    in one matmul, so that time and memory do not depend on the size of the inventory.

    prototypes (Prototypes): The prototypes.
    candidates (List[Tuple[int, ...]]): Senses that each use can have, ascending, not empty.
    vectors (ndarray): Vectors of the uses, float32 [n, width], of length one.
    prior_weight (float): Weight of the logarithm of the senses' relative frequencies, which is
        added to the cosines.
    threshold (float): Minimum difference between the best and the second-best sum of a use.
    RETURNS (List[Match]): The sense of each use. If no candidate has examples, it is the first
        candidate.
    """
    matches = [Match(NO_SENSE, 0.0)] * len(candidates)
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for n, senses in enumerate(candidates):
        groups[senses].append(n)
    for senses, uses in groups.items():
        known = np.array([n for n in senses if prototypes.counts[n]], dtype=np.int64)
        if not len(known):
            for n in uses:
                matches[n] = Match(senses[0], 0.0)
            continue
        cosines = vectors[uses] @ unit(prototypes.sums_of(known)).T
        counts = prototypes.counts[known]
        ranks = cosines + prior_weight * np.log(counts / counts.sum(), dtype=np.float32)
        best = ranks.argmax(axis=1)
        if len(known) > 1:
            top = np.partition(ranks, -2, axis=1)
            is_clear = top[:, -1] - top[:, -2] >= threshold
        else:
            is_clear = np.ones(len(uses), dtype=bool)
        for n, row, column, clear in zip(uses, cosines, best.tolist(), is_clear.tolist()):
            if clear:
                matches[n] = Match(int(known[column]), float(row[column]))
    return matches
