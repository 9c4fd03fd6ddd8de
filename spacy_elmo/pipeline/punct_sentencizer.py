"""The component `punct_sentencizer`, which sets sentence boundaries with the rule for segments."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from spacy.attrs import SENT_START
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example

from ..text.segments import PunctSegments, find_starts
from ..text.tokens import Tokens

# no maximum length: long sentences are not divided
SEGMENTER = PunctSegments(max_length=sys.maxsize)
START, INSIDE, UNKNOWN = 1, -1, 0

Scorer = Callable[[Iterable[Example]], dict[str, Any]]


@Language.factory(
    "punct_sentencizer",
    assigns=["token.is_sent_start", "doc.sents"],
    default_config={"overwrite": False, "scorer": {"@scorers": "spacy.senter_scorer.v1"}},
    default_score_weights={"sents_f": 1.0, "sents_p": 0.0, "sents_r": 0.0},
)
def make_punct_sentencizer(
    nlp: Language, name: str, overwrite: bool, scorer: Scorer | None
) -> "PunctSentencizer":
    """Construct the component `punct_sentencizer`, which sets sentence boundaries with the rule of
    spacy-elmo.punct_segments.v1, but without a maximum length.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    overwrite (bool): Whether to change `is_sent_start` of tokens for which another component or
        the corpus has set it.
    scorer (Optional[Callable]): Scores the sentences for `nlp.evaluate`.
    RETURNS (PunctSentencizer): The component.
    """
    return PunctSentencizer(name, overwrite=overwrite, scorer=scorer)


class PunctSentencizer(Pipe):
    """Sets sentence boundaries. A sentence ends at a blank line, and after final punctuation with
    the closing quotes and brackets that follow it, unless the next word is lowercase.

    name (str): Name of the component in the pipeline.
    overwrite (bool): Whether to change `is_sent_start` of tokens for which another component or
        the corpus has set it.
    scorer (Optional[Callable]): Scores the sentences against the gold sentences, for
        `nlp.evaluate`.
    """

    def __init__(
        self,
        name: str = "punct_sentencizer",
        *,
        overwrite: bool = False,
        scorer: Scorer | None = None,
    ) -> None:
        self.name = name
        self.overwrite = overwrite
        self.scorer = scorer

    def __call__(self, doc: Doc) -> Doc:
        """Set the sentence boundaries of a Doc, in place.

        doc (Doc): The Doc, which may be empty.
        RETURNS (Doc): The same Doc.
        """
        if not len(doc):
            return doc
        marks = np.where(sentence_starts(doc), START, INSIDE)
        if not self.overwrite:
            known = doc.to_array([SENT_START]).astype(np.int64).reshape(len(doc))
            marks = np.where(known == UNKNOWN, marks, known)
        column: Any = marks.astype(np.uint64).reshape(-1, 1)
        doc.from_array([SENT_START], column)
        return doc


def sentence_starts(doc: Doc) -> np.ndarray:
    """Return whether each token starts a sentence. Whitespace belongs to the sentence before it;
    at the beginning of a Doc it belongs to the first sentence.

    doc (Doc): The Doc, not empty.
    RETURNS (ndarray): bool [n_tokens].
    """
    tokens = Tokens.of([doc])
    segment = np.cumsum(find_starts(tokens, SEGMENTER))
    words = np.flatnonzero(~tokens.is_space)
    # the first word of each segment that contains words
    firsts = words[np.flatnonzero(np.diff(segment[words], prepend=0))]
    starts = np.zeros(len(doc), dtype=bool)
    starts[firsts[1:]] = True
    starts[0] = True
    return starts
