"""Selection of the antecedent of each mention, in bounded memory for texts of any length.

A mention is compared with the mentions in a window before it. It is also compared with clusters
that last occurred before the window, represented by their last mention of each kind.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from .document import KIND_NAME
from .mentions import Mentions
from .pair_scorer import IMPOSSIBLE, AntecedentScorer

# number of mentions whose pairs are scored together
BATCH_MENTIONS = 512
# upper bound of scores whose exponentials are summed, to prevent overflow
MAX_SCORE = 500.0


class Links(NamedTuple):
    """The K mentions of a Doc and their antecedents.

    start, last (ndarray): First and last token of each mention in the Doc, int64 [K].
    antecedent (ndarray): Index of each mention's antecedent among the mentions, -1 for none, int64
        [K].
    """

    start: np.ndarray
    last: np.ndarray
    antecedent: np.ndarray


@torch.no_grad()
def link(
    scorer: AntecedentScorer, mentions: Mentions, window: int, max_entities: int
) -> np.ndarray:
    """Find the antecedent of each mention.

    scorer (AntecedentScorer): Scores pairs of mentions.
    mentions (Mentions): K mentions.
    window (int): Number of preceding mentions that a mention is compared with.
    max_entities (int): Maximum number of clusters before the window that a mention is compared
        with; large and recent clusters are preferred. A mention of the same name is always
        included.
    RETURNS (ndarray): Index of each antecedent, -1 for none, int64 [K].
    """
    antecedents = np.full(len(mentions), -1, dtype=np.int64)
    memory = ClusterMemory(mentions, max_entities)
    device = mentions.start.device
    for start in range(0, len(mentions), BATCH_MENTIONS):
        end = min(start + BATCH_MENTIONS, len(mentions))
        window_start = max(0, start - window)
        places = torch.arange(window_start, end, dtype=torch.int64, device=device)
        remembered = memory.mentions_before(window_start, start, end)
        if len(remembered):
            places = torch.cat([torch.from_numpy(remembered).to(device), places])
        best, scores = scorer(mentions[start:end], mentions.take(places))
        best_places = places[best].cpu().numpy()
        scores_of_best = scores.double().cpu().numpy()
        for row, place in enumerate(range(start, end)):
            antecedent = most_likely(best_places[row], scores_of_best[row], memory.cluster_of)
            antecedents[place] = antecedent
            memory.add(place, antecedent)
    return antecedents


def most_likely(places: np.ndarray, scores: np.ndarray, cluster_of: np.ndarray) -> int:
    """Return the best mention of the cluster with the highest summed probability.

    The training loss sums the probabilities of all correct antecedents (see `CorefHead.loss`), so
    the probabilities of the mentions of a cluster are summed here as well.

    places (ndarray): Possible antecedents, int64 [C].
    scores (ndarray): Scores of the antecedents, float64 [C]. "No antecedent" has the score 0.
    cluster_of (ndarray): The cluster of each mention, int64.
    RETURNS (int): The antecedent; -1 if a new cluster is more likely.
    """
    is_possible = scores > IMPOSSIBLE / 2
    places, scores = places[is_possible], scores[is_possible]
    if not len(places):
        return -1
    clusters, which = np.unique(cluster_of[places], return_inverse=True)
    weights = np.bincount(which, np.exp(scores.clip(max=MAX_SCORE)))
    cluster = int(weights.argmax())
    if weights[cluster] <= 1:
        return -1
    return int(places[np.where(which == cluster, scores, IMPOSSIBLE).argmax()])


class ClusterMemory:
    """The clusters of the mentions linked so far, with the last mention of each kind.

    mentions (Mentions): All mentions.
    max_entities (int): Maximum number of clusters that `mentions_before` returns mentions of.
    """

    def __init__(self, mentions: Mentions, max_entities: int) -> None:
        self.kind = mentions.kind.tolist()
        self.whole = mentions.whole.tolist()
        self.max_entities = max_entities
        self.cluster_of = np.zeros(len(mentions), dtype=np.int64)
        # for each cluster: number of mentions, and last mention by kind
        self.sizes: list[int] = []
        self.last: list[dict[int, int]] = []
        # last mention with each name, by the hash of the name
        self.by_name: dict[Any, int] = {}

    def add(self, place: int, antecedent: int) -> None:
        """Add the next mention to the cluster of its antecedent, or to a new cluster.

        place (int): Index of the mention.
        antecedent (int): Index of its antecedent, -1 for none.
        """
        if antecedent < 0:
            cluster = len(self.sizes)
            self.sizes.append(0)
            self.last.append({})
        else:
            cluster = int(self.cluster_of[antecedent])
        self.cluster_of[place] = cluster
        self.sizes[cluster] += 1
        self.last[cluster][self.kind[place]] = place
        if self.kind[place] == KIND_NAME:
            self.by_name[self.whole[place]] = place

    def mentions_before(self, window_start: int, start: int, end: int) -> np.ndarray:
        """Return the mentions before a window that later mentions are compared with.

        The clusters with the highest size, divided by the distance of their last mention, are
        selected.

        window_start (int): First mention of the window.
        start, end (int): The mentions that need antecedents: the first one, and the one after the
            last.
        RETURNS (ndarray): Indices of mentions, ascending, int64.
        """
        if window_start == 0:
            return np.zeros(0, dtype=np.int64)
        weights = {
            cluster: size / (window_start - max(self.last[cluster].values()))
            for cluster, size in enumerate(self.sizes)
            if max(self.last[cluster].values()) < window_start
        }
        clusters = sorted(weights, key=weights.__getitem__, reverse=True)[: self.max_entities]
        places = {place for cluster in clusters for place in self.last[cluster].values()}
        for place in range(start, end):
            same_name = self.by_name.get(self.whole[place])
            if same_name is not None and same_name < window_start:
                places.add(same_name)
        return np.array(sorted(places), dtype=np.int64)


def cluster_ids(antecedents: np.ndarray) -> np.ndarray:
    """Return the cluster of each mention. Clusters are numbered in the order of first mentions.

    antecedents (ndarray): Index of each mention's antecedent, -1 for none, int64 [K].
    RETURNS (ndarray): int64 [K].
    """
    ids = np.empty(len(antecedents), dtype=np.int64)
    n_clusters = 0
    for place, antecedent in enumerate(antecedents.tolist()):
        if antecedent < 0:
            ids[place] = n_clusters
            n_clusters += 1
        else:
            ids[place] = ids[antecedent]
    return ids
