"""Scores of pairs of mentions: how likely an earlier mention is the antecedent of a later one.

A cheap coarse score is computed for all pairs, and a fine score with a hidden layer for the best
ones (Lee et al. 2018). The terms of the hidden layer are computed once per mention and summed per
pair.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..spans.feed_forward import FeedForward
from .document import KIND_NAME, KIND_PRONOUN, N_KINDS
from .mentions import Mentions

N_BUCKETS = 13
N_MATCHES = 7
PAIR_SIZE = 64
COARSE_SIZE = 256
IMPOSSIBLE = -1e9
# Scale of the biases. Adam changes a single bias as slowly as each of the many weights of a layer,
# but a bias needs far larger values.
BIAS_SCALE = 10.0


@dataclass(frozen=True)
class PairFeatures:
    """Features of pairs, in addition to distances and matching words.

    n_pronouns (int): Number of pronouns that are distinguished.
    n_genres (int): Number of genres that are distinguished; 0 to ignore genres.
    speakers (bool): Whether speakers are compared.
    """

    n_pronouns: int = 0
    n_genres: int = 0
    speakers: bool = False


class AntecedentScorer(nn.Module):
    """Scores of pairs of mentions.

    vector_size (int): Width of the vectors of mentions.
    hidden (int): Width of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate of the vectors and of the hidden layers.
    embedding_size (int): Width of the embeddings of distances.
    limit (int): Number of antecedents of each mention that get a fine score.
    features (PairFeatures): Which features of pairs are scored.

    REFERENCE: Lee et al. (2018), "Higher-order Coreference Resolution with Coarse-to-fine
        Inference", section 4.
    """

    def __init__(
        self,
        vector_size: int,
        hidden: int,
        depth: int,
        dropout: float,
        embedding_size: int,
        limit: int,
        features: PairFeatures,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Linear(vector_size, COARSE_SIZE, dtype=torch.float32)
        self.key = nn.Linear(vector_size, COARSE_SIZE, dtype=torch.float32)
        self.coarse_distance = nn.Embedding(N_BUCKETS, 1, dtype=torch.float32)
        self.coarse_match = nn.Linear(N_MATCHES, 1, bias=False, dtype=torch.float32)
        # a weight for each pair of pronouns, such as "she" and "his", without a hidden layer
        self.n_words = features.n_pronouns + 1
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
        self.speaker: nn.Embedding | None = None
        self.genre: nn.Embedding | None = None
        if features.speakers:
            self.speaker = nn.Embedding(3, hidden, dtype=torch.float32)
        if features.n_genres:
            self.genre = nn.Embedding(features.n_genres + 1, hidden, dtype=torch.float32)
        self.score = FeedForward(hidden, depth, dropout)
        for table in (self.coarse_distance, self.pronouns, self.kinds, self.speaker, self.genre):
            if table is not None:
                nn.init.zeros_(table.weight)
        nn.init.zeros_(self.coarse_match.weight)

    def project(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return the terms and factors of each mention in the scores of pairs.

        vectors (Tensor): Vectors of mentions [K, vector_size].
        RETURNS (Dict[str, Tensor]): "query", "key", "left", "right" and "pair", see `Mentions`.
        """
        vectors = self.dropout(vectors)
        return {
            "query": self.query(vectors),
            "key": self.key(vectors),
            "left": self.left(vectors),
            "right": self.right(vectors),
            "pair": self.pair(vectors),
        }

    def forward(self, mentions: Mentions, earlier: Mentions) -> tuple[Tensor, Tensor]:
        """Return the best antecedents of each mention and their scores. "No antecedent" has the
        score 0.

        mentions (Mentions): K mentions.
        earlier (Mentions): J mentions, which may be antecedents of the mentions after them.
        RETURNS (Tuple[Tensor, Tensor]): Indices among `earlier`, int64 [K, C], and scores, float32
            [K, C]; `IMPOSSIBLE` for a mention that is not earlier.
        """
        is_possible = earlier.place[None, :] < mentions.place[:, None]
        ours, antecedents = mentions[:, None], earlier.as_antecedents()
        dot_products = mentions.query @ earlier.key.t()
        with torch.no_grad():
            coarse = self.coarse_scores(dot_products, ours, antecedents[None, :])
            coarse = coarse.masked_fill(~is_possible, IMPOSSIBLE)
            best = coarse.topk(min(self.limit, len(earlier)), dim=1).indices
        # recompute the coarse scores of the best pairs with gradients
        theirs = antecedents.take(best)
        scores = self.coarse_scores(dot_products.gather(1, best), ours, theirs)
        scores = scores + self.fine_scores(ours, theirs)
        return best, scores.masked_fill(~is_possible.gather(1, best), IMPOSSIBLE)

    def coarse_scores(self, dot_products: Tensor, ours: Mentions, theirs: Mentions) -> Tensor:
        """Return the cheap scores of pairs.

        dot_products (Tensor): Dot products of our queries and their keys [K, J].
        ours, theirs (Mentions): Mentions and antecedents, whose shapes broadcast to [K, J].
        RETURNS (Tensor): [K, J].
        """
        scores = dot_products / math.sqrt(COARSE_SIZE) + ours.score + theirs.score
        return scores + BIAS_SCALE * self._biases(ours, theirs)

    def fine_scores(self, ours: Mentions, theirs: Mentions) -> Tensor:
        """Return the scores of pairs with a hidden layer.

        The hidden layer is the sum of a term for each of the two mentions and one matmul over all
        features of the pair. A separate matmul for each feature would write an output of the same
        size for each feature.

        ours (Mentions): Mentions [K, 1].
        theirs (Mentions): Antecedents [K, C].
        RETURNS (Tensor): [K, C].
        """
        classes = self._classes(ours, theirs)
        flags = torch.stack(matches(ours, theirs), dim=-1)
        known = torch.cat([ours.pair * theirs.pair, flags.to(ours.pair.dtype), classes], dim=-1)
        weight = torch.cat([self.product.weight, self.match.weight, self._class_weights()], dim=1)
        hidden = torch.addmm(theirs.right.flatten(0, 1), known.flatten(0, 1), weight.t())
        scores: Tensor = self.score(ours.left + hidden.view_as(theirs.right)).squeeze(-1)
        return scores

    def _biases(self, ours: Mentions, theirs: Mentions) -> Tensor:
        pair = ours.pronoun * self.n_words + theirs.pronoun
        distances = self.coarse_distance(distance_bucket(ours.count - theirs.count))
        biases: Tensor = (distances + self.pronouns(pair))[..., 0]
        for weight, flag in zip(self.coarse_match.weight[0], matches(ours, theirs)):
            biases = biases + weight * flag
        return biases

    def _classes(self, ours: Mentions, theirs: Mentions) -> Tensor:
        """RETURNS (Tensor): One-hot classes of each pair: distance, distance in sentences, kinds,
        speakers and genre, concatenated, float32 [K, C, n_classes]."""
        classes = [
            distance_bucket(ours.count - theirs.count),
            distance_bucket(ours.sentence - theirs.sentence),
            ours.kind * N_KINDS + theirs.kind,
        ]
        if self.speaker is not None:
            are_known = (ours.speaker != 0) & (theirs.speaker != 0)
            classes.append(are_known * (1 + (ours.speaker == theirs.speaker).long()))
        if self.genre is not None:
            classes.append(ours.genre.expand_as(classes[0]))
        sizes = [table.num_embeddings for table in self._tables()]
        offsets = [sum(sizes[:n]) for n in range(len(sizes))]
        columns = torch.stack([each + offset for each, offset in zip(classes, offsets)], dim=-1)
        zeros = ours.pair.new_zeros(*columns.shape[:-1], sum(sizes))
        return zeros.scatter_(-1, columns, 1.0)

    def _class_weights(self) -> Tensor:
        """RETURNS (Tensor): The term of each class in the hidden layer [hidden, n_classes]."""
        by_distance, by_sentence = self.distances.weight.chunk(2, dim=1)
        weights = [
            by_distance @ self.distance.weight.t(),
            by_sentence @ self.sentences.weight.t(),
        ]
        return torch.cat([*weights, *(table.weight.t() for table in self._tables()[2:])], dim=1)

    def _tables(self) -> list[nn.Embedding]:
        tables = (self.distance, self.sentences, self.kinds, self.speaker, self.genre)
        return [table for table in tables if table is not None]


def matches(ours: Mentions, theirs: Mentions) -> tuple[Tensor, ...]:
    """Compare the words of pairs of mentions.

    ours, theirs (Mentions): Mentions and antecedents, whose shapes broadcast.
    RETURNS (Tuple[Tensor, ...]): `N_MATCHES` bool tensors: equal strings, neither is a pronoun;
        equal strings, both are pronouns; equal strings, both are names; equal last words, neither
        is a pronoun; equal first words, both are names; the last word of one equals the first word
        of the other, both are names; our mention begins inside their mention.
    """
    same = ours.whole == theirs.whole
    our_pronoun, their_pronoun = ours.kind == KIND_PRONOUN, theirs.kind == KIND_PRONOUN
    no_pronouns = ~our_pronoun & ~their_pronoun
    names = (ours.kind == KIND_NAME) & (theirs.kind == KIND_NAME)
    crosswise = (ours.last_word == theirs.first_word) | (ours.first_word == theirs.last_word)
    return (
        same & no_pronouns,
        same & our_pronoun & their_pronoun,
        same & names,
        (ours.last_word == theirs.last_word) & no_pronouns,
        (ours.first_word == theirs.first_word) & names,
        crosswise & names,
        ours.start <= theirs.last,
    )


def distance_bucket(distance: Tensor) -> Tensor:
    """Return the bucket of each distance: 0, 1, 2, 3, 4, 5-7, 8-15, 16-31, ... 512 or more.

    distance (Tensor): Distances, int64; negative ones count as 0.
    RETURNS (Tensor): Indices of buckets, int64.
    """
    distance = distance.clamp(min=0)
    powers = distance.clamp(min=1).float().log2().floor().long() + 3
    return torch.where(distance < 5, distance, powers).clamp(max=N_BUCKETS - 1)
