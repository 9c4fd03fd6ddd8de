"""Writing senses to Docs: `doc.spans["senses"]`, `token._.sense` and `token._.sense_score`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from spacy.attrs import IDX
from spacy.tokens import Doc, Span, SpanGroup, Token

SENSE, SCORE = "sense", "sense_score"
SCORES = "scores"


def install_extensions() -> None:
    """Register `token._.sense` and `token._.sense_score`, unless they are registered."""
    for name in (SENSE, SCORE):
        if not Token.has_extension(name):
            Token.set_extension(name, default=None)


def write_senses(doc: Doc, senses: Sequence[tuple[int, int, str, float]], spans_key: str) -> None:
    """Replace the senses of a Doc.

    doc (Doc): The Doc.
    senses (Sequence[Tuple[int, int, str, float]]): First token, the token after the last one, label
        and score of each target.
    spans_key (str): Key of the spans in `doc.spans`. Their scores are in the attribute "scores" of
        the group, float32 [n_spans], as in `spancat`.
    """
    data: dict[Any, Any] = doc.user_data
    for key in [key for key in data if _is_ours(key)]:
        del data[key]
    spans = [Span(doc, start, end, label, span_id=label) for start, end, label, _ in senses]
    scores = np.array([score for *_, score in senses], dtype=np.float32)
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, attrs={SCORES: scores}, spans=spans)
    # the entries that `token._.sense = ...` would set, without a Token for each
    offsets: list[Any] = doc.to_array([IDX]).reshape(len(doc)).tolist()
    for start, end, label, score in senses:
        for i in range(start, end):
            if end - start == 1 or not doc[i].is_space:
                data["._.", SENSE, offsets[i], None] = label
                data["._.", SCORE, offsets[i], None] = score


def _is_ours(key: Any) -> bool:
    return isinstance(key, tuple) and len(key) == 4 and key[0] == "._." and key[1] in (SENSE, SCORE)
