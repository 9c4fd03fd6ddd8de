"""Gold senses of a reference Doc as tokens of the predicted Doc."""

from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..text.alignment import span_aligner
from ..text.words import trim_spans, word_tokens


class GoldSense(NamedTuple):
    """An annotated sense.

    start, end (int): First token of the span, and the token after its last one.
    label (str): The label of the sense.
    """

    start: int
    end: int
    label: str


def gold_of(doc: Doc, spans_key: str) -> list[GoldSense]:
    """Return the annotated senses of a Doc.

    doc (Doc): The Doc.
    spans_key (str): Key of the spans in `doc.spans`.
    RETURNS (List[GoldSense]): The senses without whitespace tokens at either end. Spans without a
        word are left out.
    """
    if spans_key not in doc.spans:
        return []
    spans = doc.spans[spans_key]
    bounds = np.array([(span.start, span.end) for span in spans], dtype=np.int64).reshape(-1, 2)
    trimmed = trim_spans(bounds, word_tokens(doc)).tolist()
    return [
        GoldSense(start, end, span.label_)
        for span, (start, end) in zip(spans, trimmed)
        if start < end
    ]


def aligned_gold(example: Example, spans_key: str) -> tuple[list[GoldSense], int]:
    """Return the gold senses of an example as tokens of its predicted Doc. Spans are compared by
    their characters without whitespace.

    example (Example): The predicted and the reference Doc.
    spans_key (str): Key of the spans in `doc.spans`.
    RETURNS (Tuple[List[GoldSense], int]): The senses, and the number of spans that do not begin
        and end with a token of the predicted Doc.
    """
    gold = gold_of(example.y, spans_key)
    if not gold:
        return [], 0
    align = span_aligner(example.y, example.x)
    found = [
        GoldSense(*aligned, label)
        for start, end, label in gold
        if (aligned := align(start, end)) is not None
    ]
    return found, len(gold) - len(found)
