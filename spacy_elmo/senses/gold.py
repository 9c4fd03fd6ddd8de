"""Gold senses of a reference Doc as tokens of the predicted Doc."""

from typing import NamedTuple

from spacy.tokens import Doc
from spacy.training import Example

from ..text.words import text_offsets, word_tokens


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
    found: list[GoldSense] = []
    for span in doc.spans[spans_key]:
        start, end = span.start, span.end
        while start < end and doc[start].is_space:
            start += 1
        while start < end and doc[end - 1].is_space:
            end -= 1
        if start < end:
            found.append(GoldSense(start, end, span.label_))
    return found


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
    starts, ends = (offsets.tolist() for offsets in text_offsets(example.y))
    words = word_tokens(example.x)
    word_starts, word_ends = (offsets[words].tolist() for offsets in text_offsets(example.x))
    token_at_start = dict(zip(word_starts, words.tolist()))
    token_after_end = dict(zip(word_ends, (words + 1).tolist()))
    found: list[GoldSense] = []
    for start, end, label in gold:
        first, after = token_at_start.get(starts[start]), token_after_end.get(ends[end - 1])
        if first is not None and after is not None:
            found.append(GoldSense(first, after, label))
    return found, len(gold) - len(found)
