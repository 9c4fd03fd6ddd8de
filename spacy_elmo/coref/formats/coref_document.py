"""A document with its clusters, and its conversion to and from Docs; shared by all formats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from ..clusters import DEFAULT_PREFIX, Clusters, Mention, get_clusters, mark_annotated, set_clusters
from ..document import GENRE, SPEAKERS
from .dropped import DUPLICATE, SHARED, Dropped

# further keys of `doc.user_data`
DOCUMENT_ID, DOCUMENT_PART = "document_id", "part"
# how corpora mark words without a known speaker
NOBODY = ("", "-", "_")


@dataclass
class CorefDocument:
    """A document, or a numbered part of a document in CoNLL-2012, which has its own clusters.

    words (List[str]): The words.
    clusters (Clusters): The mentions of each cluster.
    sent_starts (Optional[List[bool]]): Whether each word starts a sentence; None if unknown.
    spaces (Optional[List[bool]]): Whether a space follows each word. None: a space follows every
        word, for formats without this information.
    speakers (Optional[List[str]]): The speaker of each word; "", "-" or "_" for no known speaker.
    name (str): Name of the document; "" if unknown.
    part (Optional[str]): Number of the part; "" if the document has no parts, None if unknown.
    genre (str): Genre of the document; "" if unknown.
    """

    words: list[str]
    clusters: Clusters
    sent_starts: list[bool] | None = None
    spaces: list[bool] | None = None
    speakers: list[str] | None = None
    name: str = ""
    part: str | None = None
    genre: str = ""

    def sentences(self) -> Iterator[range]:
        """YIELDS (range): The words of each sentence; all words if boundaries are unknown."""
        starts = [i for i, is_start in enumerate(self.sent_starts or ()) if is_start and i]
        bounds = [0, *starts, len(self.words)]
        for start, end in zip(bounds, bounds[1:]):
            if end > start:
                yield range(start, end)

    def to_doc(
        self, vocab: Vocab, prefix: str = DEFAULT_PREFIX, dropped: Dropped | None = None
    ) -> Doc:
        """Convert the document to a Doc.

        vocab (Vocab): The vocabulary.
        prefix (str): Prefix of the keys of clusters. A mention that two clusters contain is
            assigned to the first.
        dropped (Optional[Dropped]): Counts mentions that are left out.
        RETURNS (Doc): The Doc, with clusters and, if known, sentence boundaries,
            `doc.spans["speakers"]` (a span with a label for consecutive words of a speaker in a
            sentence), and "document_id", "part" and "genre" in `doc.user_data`.
        """
        starts: list[bool | int | None] | None = None
        if self.sent_starts:
            starts = list(self.sent_starts)
        doc = Doc(vocab, words=self.words, spaces=self.spaces, sent_starts=starts)
        if self.name:
            doc.user_data[DOCUMENT_ID] = self.name
        if self.part is not None:
            doc.user_data[DOCUMENT_PART] = self.part
        if self.genre:
            doc.user_data[GENRE] = self.genre
        set_clusters(doc, make_partition(self.clusters, dropped), prefix)
        mark_annotated(doc, prefix)
        spans = [Span(doc, start, end, label=name) for start, end, name in self._speaker_spans()]
        if spans:
            doc.spans[SPEAKERS] = spans
        return doc

    def _speaker_spans(self) -> Iterator[tuple[int, int, str]]:
        """Yield the spans of consecutive words of a speaker: first word, word after the last one,
        and speaker. They end with the sentence, so that a Doc can be cut between sentences."""
        speakers = self.speakers or [""] * len(self.words)
        for sentence in self.sentences():
            start = sentence.start
            for name, words in groupby(speakers[sentence.start : sentence.stop]):
                end = start + sum(1 for _ in words)
                if name not in NOBODY:
                    yield start, end, name
                start = end

    @classmethod
    def from_doc(cls, doc: Doc, prefix: str = DEFAULT_PREFIX) -> "CorefDocument":
        """Convert a Doc to a document; the inverse of `to_doc`.

        doc (Doc): The Doc.
        prefix (str): Prefix of the keys of clusters.
        RETURNS (CorefDocument): The document.
        """
        starts, speakers = None, None
        if doc.has_annotation("SENT_START"):
            starts = [bool(token.is_sent_start) for token in doc]
        if SPEAKERS in doc.spans:
            speakers = [""] * len(doc)
            for span in doc.spans[SPEAKERS]:
                speakers[span.start : span.end] = [span.label_] * len(span)
        part = doc.user_data.get(DOCUMENT_PART)
        return cls(
            words=[token.text for token in doc],
            clusters=get_clusters(doc, prefix),
            sent_starts=starts,
            spaces=[bool(token.whitespace_) for token in doc],
            speakers=speakers,
            name=str(doc.user_data.get(DOCUMENT_ID, "")),
            part=None if part is None else str(part),
            genre=str(doc.user_data.get(GENRE, "")),
        )


def make_partition(
    clusters: Sequence[Sequence[Mention]], dropped: Dropped | None = None
) -> Clusters:
    """Sort clusters and remove repeated mentions.

    clusters (Sequence[Sequence[Mention]]): The mentions of each cluster.
    dropped (Optional[Dropped]): Counts repeated mentions.
    RETURNS (Clusters): Clusters with sorted mentions, in the order of their first mentions. A
        mention that two clusters contain is assigned to the cluster that begins first.
    """
    dropped = Dropped() if dropped is None else dropped
    taken: set[Mention] = set()
    found: Clusters = []
    for cluster in sorted(map(sorted, clusters)):
        mentions = set(cluster)
        dropped[DUPLICATE] += len(cluster) - len(mentions)
        dropped[SHARED] += len(mentions & taken)
        found.append(sorted(mentions - taken))
        taken |= mentions
    return sorted(filter(None, found))
