"""Which earlier mention a mention goes back to.

Owns the scores of pairs: a cheap one for all pairs, and one with a hidden layer for the
best of them, whose first layer is made once per mention and summed per pair. It does not
know where mentions come from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..spans.span_scorer import FeedForward
from .document import N_KINDS, NAME, PRONOUN

N_BUCKETS = 13
N_MATCHES = 7
PAIR_SIZE = 64
COARSE_SIZE = 256
IMPOSSIBLE = -1e9
# single weights learn no faster than those of a layer of hundreds under Adam, but have to get
# far larger
BIAS_SCALE = 10.0


@dataclass(frozen=True)
class Mentions:
    """K mentions in the order of the text.

    start, last (Tensor): First and last token in the Doc, int64 [K].
    score (Tensor): As mentions [K].
    place (Tensor): Number among all spans that are kept of the text, int64 [K].
    count (Tensor): Of those before it that are mentions, int64 [K]: distances are in these,
        since in training others are kept as well.
    whole, first_word, last_word, speaker (Tensor): Hashes, int64 [K].
    kind, pronoun, sentence, genre (Tensor): int64 [K].
    query, key, left, right, pair (Tensor): What they add to the scores of pairs, [K, ...].
    """

    start: Tensor
    last: Tensor
    score: Tensor
    place: Tensor
    count: Tensor
    whole: Tensor
    first_word: Tensor
    last_word: Tensor
    speaker: Tensor
    kind: Tensor
    pronoun: Tensor
    sentence: Tensor
    genre: Tensor
    query: Tensor
    key: Tensor
    left: Tensor
    right: Tensor
    pair: Tensor

    def __len__(self) -> int:
        return len(self.start)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Mentions":
        return Mentions(*(function(getattr(self, field.name)) for field in fields(self)))

    def __getitem__(self, rows: Any) -> "Mentions":
        return self._map(lambda x: x[rows])

    def take(self, rows: Tensor) -> "Mentions":
        """RETURNS (Mentions): Those in some rows, of any shape."""
        # the backward pass of index_select is far faster than that of indexing
        return self._map(
            lambda x: x.index_select(0, rows.flatten()).view(*rows.shape, *x.shape[1:])
        )

    def for_pairs(self) -> "Mentions":
        """RETURNS (Mentions): The same, without what is of no use on the right side of a pair
        once products of all pairs are known."""
        query, key, left = (x[:, :0] for x in (self.query, self.key, self.left))
        return replace(self, query=query, key=key, left=left)

    def moved(self, n_mentions: int) -> "Mentions":
        """RETURNS (Mentions): The same, with so many mentions before them."""
        return replace(self, place=self.place + n_mentions, count=self.count + n_mentions)

    @classmethod
    def join(cls, parts: "Sequence[Mentions]") -> "Mentions":
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))


class AntecedentScorer(nn.Module):
    """Scores of pairs of mentions.

    vector_size (int): Width of the vectors of mentions.
    hidden (int): Width of the hidden layer.
    depth (int): Hidden layers.
    dropout (float): On vectors and hidden layers.
    embedding_size (int): Of the embeddings of distances.
    limit (int): Antecedents of a mention that are looked at closely.
    n_pronouns (int): Pronouns that are told apart.
    n_genres (int): Genres that are told apart, 0 for none.
    speakers (bool): Whether it matters who speaks.
    """

    def __init__(
        self,
        vector_size: int,
        hidden: int,
        depth: int,
        dropout: float,
        embedding_size: int,
        limit: int,
        n_pronouns: int = 0,
        n_genres: int = 0,
        speakers: bool = False,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Linear(vector_size, COARSE_SIZE, dtype=torch.float32)
        self.key = nn.Linear(vector_size, COARSE_SIZE, dtype=torch.float32)
        self.coarse_distance = nn.Embedding(N_BUCKETS, 1, dtype=torch.float32)
        self.coarse_match = nn.Linear(N_MATCHES, 1, bias=False, dtype=torch.float32)
        # whether "she" may go back to "his": learned for each pair, in no hidden layer
        self.n_words = n_pronouns + 1
        self.pronouns = nn.Embedding(self.n_words**2, 1, dtype=torch.float32)
        self.left = nn.Linear(vector_size, hidden, dtype=torch.float32)
        self.right = nn.Linear(vector_size, hidden, bias=False, dtype=torch.float32)
        self.pair = nn.Linear(vector_size, PAIR_SIZE, dtype=torch.float32)
        self.product = nn.Linear(PAIR_SIZE, hidden, bias=False, dtype=torch.float32)
        self.distance = nn.Embedding(N_BUCKETS, embedding_size, dtype=torch.float32)
        self.sentences = nn.Embedding(N_BUCKETS, embedding_size, dtype=torch.float32)
        self.distances = nn.Linear(2 * embedding_size, hidden, bias=False, dtype=torch.float32)
        self.match = nn.Linear(N_MATCHES, hidden, bias=False, dtype=torch.float32)
        self.kinds = nn.Embedding(N_KINDS * N_KINDS, hidden, dtype=torch.float32)
        self.speaker = nn.Embedding(3, hidden, dtype=torch.float32) if speakers else None
        self.genre = nn.Embedding(n_genres + 1, hidden, dtype=torch.float32) if n_genres else None
        self.score = FeedForward(hidden, depth, dropout)
        for table in (self.coarse_distance, self.pronouns, self.kinds, self.speaker, self.genre):
            if table is not None:
                nn.init.zeros_(table.weight)
        nn.init.zeros_(self.coarse_match.weight)

    def project(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """RETURNS (Tuple[Tensor, ...]): What mentions add to pairs: query, key, left, right
        and pair, each [K, ...].

        vectors (Tensor): [K, vector_size].
        """
        vectors = self.dropout(vectors)
        parts = (self.query, self.key, self.left, self.right, self.pair)
        return tuple(layer(vectors) for layer in parts)

    def forward(self, mentions: Mentions, earlier: Mentions) -> tuple[Tensor, Tensor]:
        """Scores of the best antecedents.

        mentions (Mentions): K of them.
        earlier (Mentions): J that may be antecedents of those that come after them.
        RETURNS (Tuple[Tensor, Tensor]): Which of the J, int64 [K, C], and the scores
            [K, C]; IMPOSSIBLE where there is none. To go back to none has the score 0.
        """
        possible = earlier.place[None, :] < mentions.place[:, None]
        ours, earlier_ones = mentions[:, None], earlier.for_pairs()
        products = mentions.query @ earlier.key.t()
        with torch.no_grad():
            coarse = self._coarse(products, ours, earlier_ones[None, :])
            coarse = coarse.masked_fill(~possible, IMPOSSIBLE)
            best = coarse.topk(min(self.limit, len(earlier)), dim=1).indices
        # once more with gradients, for the best pairs alone
        theirs = earlier_ones.take(best)
        found = self._coarse(products.gather(1, best), ours, theirs) + self._fine(ours, theirs)
        return best, found.masked_fill(~possible.gather(1, best), IMPOSSIBLE)

    def _coarse(self, products: Tensor, ours: Mentions, theirs: Mentions) -> Tensor:
        """Of pairs whose sides broadcast to [K, J]."""
        scores = products / math.sqrt(COARSE_SIZE) + ours.score + theirs.score
        return scores + BIAS_SCALE * self._biases(ours, theirs)

    def _biases(self, ours: Mentions, theirs: Mentions) -> Tensor:
        pair = ours.pronoun * self.n_words + theirs.pronoun
        biases = self.coarse_distance(_bucket(ours.count - theirs.count)) + self.pronouns(pair)
        biases = biases[..., 0]
        for weight, flag in zip(self.coarse_match.weight[0], _matches(ours, theirs)):
            biases = biases + weight * flag
        return biases

    def _fine(self, ours: Mentions, theirs: Mentions) -> Tensor:
        """The hidden layer of a pair is what each side adds to it, and one product of all that
        is known of both: a product for each of these would write as many numbers again."""
        classes = self._classes(ours, theirs)
        flags = torch.stack(_matches(ours, theirs), dim=-1)
        known = torch.cat([ours.pair * theirs.pair, flags.to(ours.pair.dtype), classes], dim=-1)
        weight = torch.cat([self.product.weight, self.match.weight, self._class_weights()], dim=1)
        sums = torch.addmm(theirs.right.flatten(0, 1), known.flatten(0, 1), weight.t())
        found: Tensor = self.score(ours.left + sums.view_as(theirs.right)).squeeze(-1)
        return found

    def _classes(self, ours: Mentions, theirs: Mentions) -> Tensor:
        """RETURNS (Tensor): Of each pair the classes that it is in, of distance, of distance in
        sentences, of kinds, and so on, as ones among zeros [K, C, n_classes]."""
        classes = [_bucket(ours.count - theirs.count), _bucket(ours.sentence - theirs.sentence)]
        classes.append(ours.kind * N_KINDS + theirs.kind)
        if self.speaker is not None:
            known = (ours.speaker != 0) & (theirs.speaker != 0)
            classes.append(known * (1 + (ours.speaker == theirs.speaker).long()))
        if self.genre is not None:
            classes.append(ours.genre.expand_as(classes[0]))
        sizes = [table.num_embeddings for table in self._tables()]
        firsts = [sum(sizes[:n]) for n in range(len(sizes))]
        places = torch.stack([part + first for part, first in zip(classes, firsts)], dim=-1)
        zeros = ours.pair.new_zeros(*places.shape[:-1], sum(sizes))
        return zeros.scatter_(-1, places, 1.0)

    def _tables(self) -> list[nn.Embedding]:
        tables = (self.distance, self.sentences, self.kinds, self.speaker, self.genre)
        return [table for table in tables if table is not None]

    def _class_weights(self) -> Tensor:
        """RETURNS (Tensor): What each class adds to the hidden layer [hidden, n_classes]."""
        by_distance, by_sentence = self.distances.weight.chunk(2, dim=1)
        distances = [by_distance @ self.distance.weight.t()]
        distances.append(by_sentence @ self.sentences.weight.t())
        return torch.cat([*distances, *(table.weight.t() for table in self._tables()[2:])], dim=1)


def _matches(ours: Mentions, theirs: Mentions) -> tuple[Tensor, ...]:
    """How two mentions look alike, as flags."""
    same = ours.whole == theirs.whole
    our_pronoun, their_pronoun = ours.kind == PRONOUN, theirs.kind == PRONOUN
    no_pronouns = ~our_pronoun & ~their_pronoun
    names = (ours.kind == NAME) & (theirs.kind == NAME)
    crosswise = (ours.last_word == theirs.first_word) | (ours.first_word == theirs.last_word)
    return (
        same & no_pronouns,
        same & our_pronoun & their_pronoun,
        same & names,
        (ours.last_word == theirs.last_word) & no_pronouns,
        (ours.first_word == theirs.first_word) & names,
        crosswise & names,
        ours.start <= theirs.last,  # inside of it
    )


def _bucket(distance: Tensor) -> Tensor:
    """0, 1, 2, 3, 4, 5-7, 8-15, 16-31, ... 512 and more, as numbers from 0."""
    distance = distance.clamp(min=0)
    powers = distance.clamp(min=1).float().log2().floor().long() + 3
    return torch.where(distance < 5, distance, powers).clamp(max=N_BUCKETS - 1)
