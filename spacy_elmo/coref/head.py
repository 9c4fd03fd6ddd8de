"""The torch module of `spacy-elmo.Coref.v1`, which finds mentions and their antecedents.

It scores all spans as mentions, selects the top spans, and scores pairs of them (Lee et al. 2017
and 2018).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..spans.sentence_lstm import SentenceLSTM
from ..spans.sentences import sequence_lengths
from .chunks import DocumentChunk, batch_chunks
from .clusters import Clusters
from .document import Document, candidates, labels_of, span_features
from .head_settings import HeadSettings
from .linking import Links, link
from .marginal_loss import marginal_loss
from .mention_scorer import MentionScorer
from .mentions import Mentions
from .pair_scorer import IMPOSSIBLE, AntecedentScorer, PairFeatures

# minimum number of top spans, because short texts may have more mentions per word than long texts
MIN_SPANS = 50


class ScoredSpans(NamedTuple):
    """All candidate spans of a document.

    document (Document): The document.
    first, last (Tensor): First and last word of each span, int64 [n_spans].
    start_tokens, last_tokens (ndarray): First and last token of each span in the Doc, int64
        [n_spans].
    scores (Tensor): Scores as mentions [n_spans].
    """

    document: Document
    first: Tensor
    last: Tensor
    start_tokens: np.ndarray
    last_tokens: np.ndarray
    scores: Tensor


class CorefHead(nn.Module):
    """Finds mentions and their antecedents.

    width (int): Width of the token vectors.
    settings (HeadSettings): Sizes and settings.
    n_pronouns (int): Number of pronouns that are distinguished.
    genres (Sequence[str]): The genres that are distinguished.
    """

    def __init__(
        self, width: int, settings: HeadSettings, n_pronouns: int = 0, genres: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.settings, self.genres = settings, list(genres)
        self.tokens = SentenceLSTM(width, settings.lstm_size, settings.dropout)
        self.mentions = MentionScorer(
            width=self.tokens.width,
            hidden=settings.hidden_size,
            depth=settings.depth,
            dropout=settings.dropout,
            max_width=settings.max_span_width,
            embedding_size=settings.distance_embedding_size,
        )
        self.antecedents = AntecedentScorer(
            vector_size=self.mentions.vector_size,
            hidden=settings.hidden_size,
            depth=settings.depth,
            dropout=settings.dropout,
            embedding_size=settings.distance_embedding_size,
            limit=settings.antecedent_limit,
            features=PairFeatures(
                n_pronouns=n_pronouns,
                n_genres=len(self.genres),
                speakers=settings.use_speakers,
            ),
        )

    def loss(self, x: Tensor, documents: list[Document], gold: list[Clusters]) -> dict[str, Tensor]:
        """Return the training losses, averaged over documents.

        "links" is -log of the summed probability of the correct antecedents of a top span, or of
        "no antecedent" if it has none among the top spans, averaged over the top spans. "mentions"
        is the binary cross-entropy of all spans as mentions, summed and divided by the number of
        gold mentions.

        x (Tensor): Vectors of the words of all documents, concatenated [n, D].
        documents (List[Document]): The documents.
        gold (List[Clusters]): The gold clusters of each document, as tokens of its Doc.
        RETURNS (Dict[str, Tensor]): "links" and "mentions", scalars.

        REFERENCE: Lee et al. (2017), "End-to-end Neural Coreference Resolution", section 5, for
            "links".
        """
        x, weights = self._encode(x, documents)
        links: list[Tensor] = []
        mentions: list[Tensor] = []
        offset = 0
        for document, clusters in zip(documents, gold):
            rows = slice(offset, offset + len(document))
            offset += len(document)
            if not len(document):
                continue
            spans = self._score_spans(x[rows], weights[rows], document)
            labels = torch.from_numpy(labels_of(spans.start_tokens, spans.last_tokens, clusters))
            labels = labels.to(x.device)
            is_gold = labels >= 0
            cross_entropy = nn.functional.binary_cross_entropy_with_logits(
                spans.scores, is_gold.to(spans.scores.dtype), reduction="sum"
            )
            mentions.append(cross_entropy / is_gold.sum().clamp(min=1))
            # gold spans are always among the top spans, so that their links can be learned
            scores = spans.scores.detach()
            top = self._top(scores + is_gold.to(scores.dtype) * -IMPOSSIBLE, document)
            found = self._describe(
                x=x[rows],
                weights=weights[rows],
                spans=spans,
                top=top,
                is_mention=(is_gold | (scores > 0))[top],
            )
            if len(top) > 1:
                best, pairs = self.antecedents(found, found)
                links.append(marginal_loss(pairs, labels[top], labels[top][best]))
        zero = x.sum() * 0
        n_documents = max(len(documents), 1)
        weight = self.settings.mention_weight / n_documents
        return {
            "links": torch.stack(links or [zero]).sum() / n_documents,
            "mentions": torch.stack(mentions or [zero]).sum() * weight,
        }

    @torch.no_grad()
    def resolve(
        self,
        vectors_of: Callable[[list[DocumentChunk]], Tensor],
        documents: list[Document],
        chunk_words: int,
    ) -> list[Links]:
        """Find the mentions of documents and their antecedents.

        vectors_of (Callable[[List[DocumentChunk]], Tensor]): Returns the vectors of the words of
            some chunks, concatenated [n, D].
        documents (List[Document]): The documents.
        chunk_words (int): Maximum number of words whose spans are scored together. Chunks end at
            sentence boundaries. They affect only the selection of top spans, because the number of
            top spans is limited in each chunk.
        RETURNS (List[Links]): The mentions and antecedents of each document.
        """
        found: list[list[Mentions]] = [[] for _ in documents]
        n_found = [0] * len(documents)
        for chunks in batch_chunks(documents, chunk_words):
            slices = [documents[chunk.document].cut(chunk.begin, chunk.end) for chunk in chunks]
            x, weights = self._encode(vectors_of(chunks), slices)
            offset = 0
            for chunk, document in zip(chunks, slices):
                rows = slice(offset, offset + len(document))
                offset = rows.stop
                mentions = self._find_mentions(x[rows], weights[rows], document)
                if len(mentions):
                    found[chunk.document].append(mentions.shifted(n_found[chunk.document]))
                    n_found[chunk.document] += len(mentions)
        return [self._link(mentions) for mentions in found]

    def _encode(self, x: Tensor, documents: list[Document]) -> tuple[Tensor, Tensor]:
        """RETURNS (Tuple[Tensor, Tensor]): Vectors of words after the LSTM, and their attention
        weights."""
        lengths: list[int] = []
        for document in documents:
            lengths += sequence_lengths(document.sentence)
        x = self.tokens(x, torch.tensor(lengths, dtype=torch.int64, device="cpu"))
        return x, self.mentions.attention_of(x)

    def _score_spans(self, x: Tensor, weights: Tensor, document: Document) -> ScoredSpans:
        first_words, last_words = candidates(document.sentence, self.settings.max_span_width)
        first = torch.from_numpy(first_words).to(x.device)
        last = torch.from_numpy(last_words).to(x.device)
        return ScoredSpans(
            document=document,
            first=first,
            last=last,
            start_tokens=document.tokens[first_words],
            last_tokens=document.tokens[last_words],
            scores=self.mentions(x, first, last, weights),
        )

    def _top(self, scores: Tensor, document: Document) -> Tensor:
        """RETURNS (Tensor): Indices of the top spans, in the order of the text, int64."""
        n_top = max(MIN_SPANS, round(self.settings.spans_per_token * len(document)))
        return scores.topk(min(n_top, len(scores))).indices.sort().values

    def _find_mentions(self, x: Tensor, weights: Tensor, document: Document) -> Mentions:
        """RETURNS (Mentions): The top spans with a positive score."""
        spans = self._score_spans(x, weights, document)
        top = self._top(spans.scores, document)
        top = top[spans.scores[top] > 0]
        is_mention = torch.ones_like(top, dtype=torch.bool)
        return self._describe(x=x, weights=weights, spans=spans, top=top, is_mention=is_mention)

    def _describe(
        self, *, x: Tensor, weights: Tensor, spans: ScoredSpans, top: Tensor, is_mention: Tensor
    ) -> Mentions:
        """Compute the features and terms of the top spans.

        x (Tensor): Vectors of the words of the document, after the LSTM [n, D].
        weights (Tensor): Attention weights of the words [n, 1].
        spans (ScoredSpans): All spans.
        top (Tensor): Indices of the top spans, int64 [K].
        is_mention (Tensor): Whether each top span counts as a mention, bool [K].
        RETURNS (Mentions): The top spans.
        """
        document = spans.document
        vectors = self.mentions.vectors(x, spans.first[top], spans.last[top], weights)
        rows = top.cpu().numpy()
        start_tokens, last_tokens = spans.start_tokens[rows], spans.last_tokens[rows]
        features = span_features(document, start_tokens, last_tokens)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.view(np.int64)).to(top.device)

        genre = self.genres.index(document.genre) + 1 if document.genre in self.genres else 0
        return Mentions(
            start=tensor(start_tokens),
            last=tensor(last_tokens),
            score=spans.scores.index_select(0, top),
            place=torch.arange(len(top), dtype=torch.int64, device=top.device),
            count=is_mention.cumsum(0) - is_mention.long(),
            whole=tensor(features.whole),
            first_word=tensor(features.first),
            last_word=tensor(features.last),
            speaker=tensor(features.speaker),
            kind=tensor(features.kind),
            pronoun=tensor(features.pronoun),
            sentence=tensor(features.sentence),
            genre=torch.full_like(top, genre),
            **self.antecedents.project(vectors),
        )

    def _link(self, chunks: list[Mentions]) -> Links:
        if not chunks:
            empty = np.zeros(0, dtype=np.int64)
            return Links(start=empty, last=empty, antecedent=empty)
        mentions = Mentions.join(chunks)
        settings = self.settings
        antecedents = link(self.antecedents, mentions, settings.window, settings.max_entities)
        return Links(
            start=mentions.start.cpu().numpy(),
            last=mentions.last.cpu().numpy(),
            antecedent=antecedents,
        )


def build_head(
    settings: HeadSettings, width: int, n_pronouns: int = 0, genres: Sequence[str] = ()
) -> CorefHead:
    """RETURNS (CorefHead): A head with random weights; see `CorefHead`."""
    return CorefHead(width, settings, n_pronouns, genres if settings.use_genres else ())
