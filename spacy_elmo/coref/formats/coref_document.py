"""A document with its entities, as all formats share it, and the way to and from a Doc.

Owns what a Doc keeps of a document, and what becomes of entities that are not a
partition of their mentions. It knows no format.
"""

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
# what corpora write where nobody is known to speak
NOBODY = ("", "-", "_")


@dataclass
class CorefDocument:
    """A document, or a part of one that has entities of its own.

    words (List[str]): Its words.
    clusters (Clusters): The mentions of each entity.
    sent_starts (Optional[List[bool]]): Whether a sentence starts at each word; None where
        that is not known.
    spaces (Optional[List[bool]]): Whether a space follows each word; None for everywhere,
        as most formats do not say.
    speakers (Optional[List[str]]): Who says each word; "", "-" and "_" stand for nobody.
    name, genre (str): Which document it is, and its kind; "" where the format does not say.
    part (Optional[str]): Which part of the document it is; "" where the document has no parts,
        None where the format does not say.
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
        """YIELDS (range): The words of each sentence; all of them without boundaries."""
        starts = [i for i, is_start in enumerate(self.sent_starts or ()) if is_start and i]
        bounds = [0, *starts, len(self.words)]
        for start, end in zip(bounds, bounds[1:]):
            if end > start:
                yield range(start, end)

    def to_doc(
        self, vocab: Vocab, prefix: str = DEFAULT_PREFIX, dropped: Dropped | None = None
    ) -> Doc:
        """Make a Doc.

        vocab (Vocab): Its vocabulary.
        prefix (str): The entities become `doc.spans["<prefix>_1"]` and so on, in the order
            of their first mentions. A mention of two entities belongs to the first.
        dropped (Optional[Dropped]): Counts what was left out.
        RETURNS (Doc): It has sentence starts where they are known, `doc.spans["speakers"]`
            with a label for each stretch that somebody says, and in `doc.user_data` what is
            known of "document_id", "part" and "genre".
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
        spans = [Span(doc, start, end, label=name) for start, end, name in self._speeches()]
        if spans:
            doc.spans[SPEAKERS] = spans
        return doc

    def _speeches(self) -> Iterator[tuple[int, int, str]]:
        """Stretches of words of one speaker. They end with the sentence, so that a Doc can
        be cut between sentences."""
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
        """Read a Doc; the way back from `to_doc`.

        doc (Doc): The Doc.
        prefix (str): Of the keys of its entities.
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
    """Put entities in order, so that each mention is there once.

    clusters (Sequence[Sequence[Mention]]): The mentions of each entity.
    dropped (Optional[Dropped]): Counts mentions that were there more often.
    RETURNS (Clusters): Entities by their first mention, and their mentions, in order. What
        two entities share belongs to the one that begins first.
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
