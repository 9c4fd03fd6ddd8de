"""Aligning spans of two Docs with the same text, whatever their tokens and their whitespace are."""

from collections.abc import Callable

from spacy.tokens import Doc

from .words import text_offsets, word_tokens


def span_aligner(source: Doc, target: Doc) -> Callable[[int, int], tuple[int, int] | None]:
    """Return a function that aligns spans by their characters, ignoring whitespace.

    This is several times as fast as spaCy's alignment, and also aligns spans whose whitespace
    differs between the Docs.

    source (Doc): The Doc that contains the spans.
    target (Doc): A Doc whose text is the same without whitespace.
    RETURNS (Callable[[int, int], Optional[Tuple[int, int]]]): Maps the first token of a span, and
        the token after its last one, to tokens of the target; None if the span does not begin and
        end with a word of the target.
    """
    starts, ends = (offsets.tolist() for offsets in text_offsets(source))
    words = word_tokens(target)
    word_starts, word_ends = (offsets[words].tolist() for offsets in text_offsets(target))
    token_at_start = dict(zip(word_starts, words.tolist()))
    token_after_end = dict(zip(word_ends, (words + 1).tolist()))

    def align(start: int, end: int) -> tuple[int, int] | None:
        first = token_at_start.get(starts[start])
        after = token_after_end.get(ends[end - 1])
        return None if first is None or after is None else (first, after)

    return align
