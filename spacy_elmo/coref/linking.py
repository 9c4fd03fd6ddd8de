"""From mentions to what each goes back to, in bounded memory however long the text is.

Owns which earlier mentions are looked at: the last ones, and of entities that were last
heard of before those, one mention of each kind; and how one of them is chosen. The scores
are the scorer's business.
"""

from typing import Any

import numpy as np
import torch

from .antecedents import IMPOSSIBLE, AntecedentScorer, Mentions
from .document import NAME

# mentions that are scored at once
BLOCK = 512
# scores whose exponentials are still numbers
LARGEST = 500.0


@torch.no_grad()
def link(
    scorer: AntecedentScorer, mentions: Mentions, window: int, max_entities: int
) -> np.ndarray:
    """Find the best antecedent of each mention.

    scorer (AntecedentScorer): The scores.
    mentions (Mentions): K of them.
    window (int): How many before it a mention is compared with.
    max_entities (int): Of the entities last heard of before the window, how many are
        remembered, large and recent ones first. Those with the name that is read are
        remembered in any case.
    RETURNS (ndarray): Place of the antecedent, -1 for none, int64 [K].
    """
    antecedents = np.full(len(mentions), -1, dtype=np.int64)
    memory = Memory(mentions, max_entities)
    device = mentions.start.device
    for start in range(0, len(mentions), BLOCK):
        end = min(start + BLOCK, len(mentions))
        first = max(0, start - window)
        places = torch.arange(first, end, dtype=torch.int64, device=device)
        remembered = memory.before(first, start, end)
        if len(remembered):
            places = torch.cat([torch.from_numpy(remembered).to(device), places])
        best, scores = scorer(mentions[start:end], mentions.take(places))
        candidates, found = places[best].cpu().numpy(), scores.double().cpu().numpy()
        for place in range(start, end):
            row = place - start
            chosen = most_likely(candidates[row], found[row], memory.entity_of)
            antecedents[place] = chosen
            memory.add(place, chosen)
    return antecedents


def most_likely(places: np.ndarray, scores: np.ndarray, entity_of: np.ndarray) -> int:
    """What training makes likely is that a mention goes back to any mention of its entity
    (see `CorefHead.loss`), so the probabilities of an entity's mentions are summed up.

    places (ndarray): Mentions that it may go back to, int64 [C].
    scores (ndarray): Of these, where to go back to none has the score 0 [C].
    entity_of (ndarray): The entity of each mention so far, int64.
    RETURNS (int): Of the most likely entity the likeliest mention, -1 for a new entity.
    """
    possible = scores > IMPOSSIBLE / 2
    places, scores = places[possible], scores[possible]
    if not len(places):
        return -1
    entities, which = np.unique(entity_of[places], return_inverse=True)
    weights = np.bincount(which, np.exp(scores.clip(max=LARGEST)))
    entity = int(weights.argmax())
    if weights[entity] <= 1:
        return -1
    return int(places[np.where(which == entity, scores, IMPOSSIBLE).argmax()])


class Memory:
    """Entities so far, and the last mention of each kind of each.

    mentions (Mentions): All mentions.
    max_entities (int): As for `link`.
    """

    def __init__(self, mentions: Mentions, max_entities: int) -> None:
        self.kind = mentions.kind.tolist()
        self.whole = mentions.whole.tolist()
        self.max_entities = max_entities
        self.entity_of = np.zeros(len(mentions), dtype=np.int64)
        # of each entity: mentions, and the last one of each kind
        self.sizes: list[int] = []
        self.last: list[dict[int, int]] = []
        self.by_name: dict[Any, int] = {}

    def add(self, place: int, antecedent: int) -> None:
        """Take in the next mention, and what it goes back to."""
        if antecedent < 0:
            entity = len(self.sizes)
            self.sizes.append(0)
            self.last.append({})
        else:
            entity = int(self.entity_of[antecedent])
        self.entity_of[place] = entity
        self.sizes[entity] += 1
        self.last[entity][self.kind[place]] = place
        if self.kind[place] == NAME:
            self.by_name[self.whole[place]] = place

    def before(self, first: int, start: int, end: int) -> np.ndarray:
        """RETURNS (ndarray): Places before `first` that the mentions from start to end may go
        back to, ascending, int64."""
        if first == 0:
            return np.zeros(0, dtype=np.int64)
        weights = {
            entity: size / (first - max(self.last[entity].values()))
            for entity, size in enumerate(self.sizes)
            if max(self.last[entity].values()) < first
        }
        entities = sorted(weights, key=weights.__getitem__, reverse=True)[: self.max_entities]
        places = {place for entity in entities for place in self.last[entity].values()}
        for place in range(start, end):
            named = self.by_name.get(self.whole[place])
            if named is not None and named < first:
                places.add(named)
        return np.array(sorted(places), dtype=np.int64)


def entities_of(antecedents: np.ndarray) -> np.ndarray:
    """RETURNS (ndarray): Number of the entity of each mention, in order of appearance,
    int64 [K].

    antecedents (ndarray): Place of the antecedent of each mention, -1 for none.
    """
    entities = np.empty(len(antecedents), dtype=np.int64)
    n_entities = 0
    for place, antecedent in enumerate(antecedents.tolist()):
        if antecedent < 0:
            entities[place] = n_entities
            n_entities += 1
        else:
            entities[place] = entities[antecedent]
    return entities
