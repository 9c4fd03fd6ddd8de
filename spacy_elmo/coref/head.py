"""The head: vectors of tokens in, mentions and their antecedents out.

Owns how a text is taken through its parts: tokens, spans, the spans that are kept, pairs,
and what training makes of them. Docs and thinc are other modules' business.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..spans.sentence_lstm import TokenEncoder
from ..spans.sentences import stretches
from .antecedents import IMPOSSIBLE, AntecedentScorer, Mentions
from .document import Document, candidates, labels_of, span_features
from .linking import link
from .mentions import MentionScorer

# number of a document, first word and the one after the last
Part = tuple[int, int, int]
# spans that are kept of a short text, which may be denser than long ones are
MIN_SPANS = 50


@dataclass(frozen=True)
class Sizes:
    """Of the head; see `spacy-elmo.Coref.v1`."""

    distance_embedding_size: int = 20
    hidden_size: int = 150
    depth: int = 1
    dropout: float = 0.3
    antecedent_limit: int = 50
    max_span_width: int = 20
    spans_per_token: float = 0.3
    lstm_size: int = 200
    mention_weight: float = 1.0
    window: int = 2048
    max_entities: int = 1000
    speakers: bool = False
    genres: bool = False


class Links(NamedTuple):
    """start, last (ndarray): First and last token of each kept span in the Doc, int64 [K].
    antecedent (ndarray): Which of them each goes back to, -1 for none, int64 [K]."""

    start: np.ndarray
    last: np.ndarray
    antecedent: np.ndarray


class CorefHead(nn.Module):
    """See the module.

    width (int): Width D of the token vectors.
    sizes (Sizes): All else.
    n_pronouns (int): Pronouns that are told apart.
    genres (Sequence[str]): Those that are told apart.
    """

    def __init__(
        self, width: int, sizes: Sizes, n_pronouns: int = 0, genres: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.sizes, self.genres = sizes, list(genres)
        self.tokens = TokenEncoder(width, sizes.lstm_size, sizes.dropout)
        self.mentions = MentionScorer(
            self.tokens.width,
            sizes.hidden_size,
            sizes.depth,
            sizes.dropout,
            sizes.max_span_width,
            sizes.distance_embedding_size,
        )
        self.antecedents = AntecedentScorer(
            self.mentions.vector_size,
            sizes.hidden_size,
            sizes.depth,
            sizes.dropout,
            sizes.distance_embedding_size,
            sizes.antecedent_limit,
            n_pronouns,
            len(self.genres),
            sizes.speakers,
        )

    def loss(
        self, x: Tensor, documents: list[Document], gold: list[list[list[Any]]]
    ) -> dict[str, Tensor]:
        """What training makes smaller, the mean over documents.

        For each kept span, -log of the probability of its right antecedents together, or
        of none where it has none among them; the mean over the spans (Lee et al. 2017).
        And the binary cross-entropy of all spans as mentions, in units of the gold ones.

        x (Tensor): Vectors of the words of all documents [n, D].
        documents (List[Document]): The documents.
        gold (List[List[List[Tuple[int, int]]]]): Of each document, the mentions of each
            entity: first token in the Doc, and the token after the last one.
        RETURNS (Dict[str, Tensor]): "links" and "mentions", scalars.
        """
        x, weights = self._encode(x, documents)
        links: list[Tensor] = []
        mentions: list[Tensor] = []
        offset = 0
        for document, entities in zip(documents, gold):
            rows = slice(offset, offset + len(document))
            offset += len(document)
            start, last = candidates(document.sentence, self.sizes.max_span_width)
            if not len(start):
                continue
            places = document.tokens[start], document.tokens[last]
            labels = torch.from_numpy(labels_of(*places, entities)).to(x.device)
            first, final = (torch.from_numpy(part).to(x.device) for part in (start, last))
            scores = self.mentions(x[rows], first, final, weights[rows])
            is_gold = labels >= 0
            cross_entropy = nn.functional.binary_cross_entropy_with_logits(
                scores, is_gold.to(scores.dtype), reduction="sum"
            )
            mentions.append(cross_entropy / is_gold.sum().clamp(min=1))
            # gold spans are kept whatever their scores, or there would be nothing to learn from
            kept = self._best(scores.detach() + is_gold.to(scores.dtype) * -IMPOSSIBLE, document)
            counts = (is_gold | (scores.detach() > 0))[kept]
            found = self._describe(
                x[rows], weights[rows], scores, first, final, kept, counts, document
            )
            if len(kept) > 1:
                best, pairs = self.antecedents(found, found)
                links.append(_marginal_loss(pairs, labels[kept], labels[kept][best]))
        zero = x.sum() * 0
        n_documents = max(len(documents), 1)
        weight = self.sizes.mention_weight / n_documents
        return {
            "links": torch.stack(links or [zero]).sum() / n_documents,
            "mentions": torch.stack(mentions or [zero]).sum() * weight,
        }

    @torch.no_grad()
    def resolve(
        self,
        vectors_of: Callable[[list[Part]], Tensor],
        documents: list[Document],
        chunk_tokens: int,
    ) -> list[Links]:
        """Mentions of documents and what they go back to.

        vectors_of (Callable[[List[Part]], Tensor]): Gives the vectors of the words of parts of
            documents, one after the other [n, D].
        documents (List[Document]): The documents.
        chunk_tokens (int): Words of which the spans are scored at once, those of several
            short documents or of a part of a long one. Parts end with a sentence, so that
            they change nothing but which spans are kept, of each as many as its words
            allow.
        """
        found: list[list[Mentions]] = [[] for _ in documents]
        n_found = [0] * len(documents)
        for parts in _batches(documents, chunk_tokens):
            cut = [documents[n].cut(begin, end) for n, begin, end in parts]
            x, weights = self._encode(vectors_of(parts), cut)
            offset = 0
            for (n, begin, end), document in zip(parts, cut):
                rows = slice(offset, offset + end - begin)
                offset = rows.stop
                mentions = self._find(x[rows], weights[rows], document)
                if len(mentions):
                    found[n].append(mentions.moved(n_found[n]))
                    n_found[n] += len(mentions)
        return [self._link(mentions) for mentions in found]

    def _link(self, parts: list[Mentions]) -> Links:
        if not parts:
            nothing = np.zeros(0, dtype=np.int64)
            return Links(nothing, nothing, nothing)
        mentions = Mentions.join(parts)
        places = link(self.antecedents, mentions, self.sizes.window, self.sizes.max_entities)
        return Links(mentions.start.cpu().numpy(), mentions.last.cpu().numpy(), places)

    def _find(self, x: Tensor, weights: Tensor, document: Document) -> Mentions:
        start, last = candidates(document.sentence, self.sizes.max_span_width)
        first, final = (torch.from_numpy(part).to(x.device) for part in (start, last))
        scores = self.mentions(x, first, final, weights)
        kept = self._best(scores, document)
        kept = kept[scores[kept] > 0]
        counts = torch.ones_like(kept, dtype=torch.bool)
        return self._describe(x, weights, scores, first, final, kept, counts, document)

    def _encode(self, x: Tensor, documents: list[Document]) -> "tuple[Tensor, Tensor]":
        lengths = [length for document in documents for length in stretches(document.sentence)]
        x = self.tokens(x, torch.tensor(lengths, dtype=torch.int64, device="cpu"))
        return x, self.mentions.attention_of(x)

    def _best(self, scores: Tensor, document: Document) -> Tensor:
        """Places of the best spans, in the order of the text."""
        n_kept = max(MIN_SPANS, round(self.sizes.spans_per_token * len(document)))
        n_kept = min(n_kept, len(scores))
        return scores.topk(n_kept).indices.sort().values

    def _describe(
        self,
        x: Tensor,
        weights: Tensor,
        scores: Tensor,
        first: Tensor,
        last: Tensor,
        kept: Tensor,
        counts: Tensor,
        document: Document,
    ) -> Mentions:
        start, final = first[kept], last[kept]
        vectors = self.mentions.vectors(x, start, final, weights)
        first_token, last_token = (document.tokens[words.cpu().numpy()] for words in (start, final))
        features = span_features(document, first_token, last_token)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.view(np.int64)).to(x.device)

        genre = self.genres.index(document.genre) + 1 if document.genre in self.genres else 0
        return Mentions(
            tensor(first_token),
            tensor(last_token),
            scores.index_select(0, kept),
            torch.arange(len(kept), dtype=torch.int64, device=x.device),
            counts.cumsum(0) - counts.long(),
            tensor(features.whole),
            tensor(features.first),
            tensor(features.last),
            tensor(features.speaker),
            tensor(features.kind),
            tensor(features.pronoun),
            tensor(features.sentence),
            torch.full_like(kept, genre),
            *self.antecedents.project(vectors),
        )


def _marginal_loss(scores: Tensor, entities: Tensor, theirs: Tensor) -> Tensor:
    """Mean of -log p(a right antecedent), with the score 0 for none.

    scores (Tensor): Of antecedents [K, C].
    entities, theirs (Tensor): Entity of each mention [K] and of its antecedents [K, C], -1
        for none.
    """
    scores = torch.cat([scores.new_zeros(len(scores), 1), scores], dim=1)
    right = (theirs == entities[:, None]) & (entities[:, None] >= 0)
    right &= scores.detach()[:, 1:] > IMPOSSIBLE / 2
    right = torch.cat([~right.any(dim=1, keepdim=True), right], dim=1)
    wanted = torch.logsumexp(scores.masked_fill(~right, IMPOSSIBLE), dim=1)
    return (torch.logsumexp(scores, dim=1) - wanted).mean()


def _batches(documents: list[Document], chunk_tokens: int) -> Iterator[list[Part]]:
    """Parts of documents of about so many words together."""
    batch: list[Part] = []
    n_words = 0
    for n, document in enumerate(documents):
        for begin, end in _chunks(document, chunk_tokens):
            if batch and n_words + end - begin > chunk_tokens:
                yield batch
                batch, n_words = [], 0
            batch.append((n, begin, end))
            n_words += end - begin
    if batch:
        yield batch


def _chunks(document: Document, chunk_tokens: int) -> Iterator[tuple[int, int]]:
    """Stretches of about so many words that end with a sentence, or with a long part of one."""
    begin = 0
    ends = np.cumsum(stretches(document.sentence))
    for end, following in zip(ends.tolist(), [*ends[1:].tolist(), math.inf]):
        if following - begin > chunk_tokens:
            yield begin, end
            begin = end


def make_head(
    sizes: Sizes, width: int, n_pronouns: int = 0, genres: Sequence[str] = ()
) -> CorefHead:
    """RETURNS (CorefHead): A head with random weights."""
    return CorefHead(width, sizes, n_pronouns, genres if sizes.genres else ())
