"""Docs with inserted whitespace tokens, to test that such tokens do not change results."""

from typing import Any

from hypothesis import strategies as st
from spacy.tokens import Doc, Span

# no blank lines, because segments of the biLM end there
SPACES = ["\n", " ", "  ", "\t", "\u3000"]
Gaps = dict[int, tuple[list[str], bool]]


def gaps(n_tokens: int) -> "st.SearchStrategy[Gaps]":
    """Generate whitespace tokens to insert before some tokens of a Doc or after its last token.
    The flag determines whether the inserted tokens start the sentence, if the next word starts
    one."""
    texts = st.lists(st.sampled_from(SPACES), min_size=1, max_size=3)
    return st.dictionaries(st.integers(0, n_tokens), st.tuples(texts, st.booleans()), max_size=12)


def respaced(doc: Doc, found: Gaps, edges: bool = False) -> Doc:
    """Return a Doc with the same words, sentences and span groups, and whitespace tokens.

    doc (Doc): The Doc.
    found (Gaps): The whitespace tokens to insert.
    edges (bool): Whether spans include the whitespace next to them.
    """
    words: list[str] = []
    starts: list[bool] = []
    positions: list[int] = []
    marked = doc.has_annotation("SENT_START")
    for i in range(len(doc) + 1):
        texts, takes_start = found.get(i, ([], False))
        is_start = i < len(doc) and bool(doc[i].is_sent_start)
        moves = bool(texts) and takes_start and is_start
        starts += [moves and n == 0 for n in range(len(texts))]
        words += texts
        positions.append(len(words))
        if i < len(doc):
            words.append(doc[i].text)
            starts.append(is_start and not moves)
    kwargs: dict[str, Any] = {"sent_starts": starts} if marked else {}
    spaced = Doc(doc.vocab, words, **kwargs)
    spaced.user_data.update(doc.user_data)
    for key, spans in doc.spans.items():
        moved = []
        for span in spans:
            start, end = positions[span.start], positions[span.end - 1] + 1
            if edges:
                start -= len(found.get(span.start, ([], False))[0])
                end += len(found.get(span.end, ([], False))[0])
            moved.append(Span(spaced, start, end, label=span.label))
        spaced.spans[key] = moved
    return spaced


def words_in(doc: Doc, start: int, end: int) -> tuple[int, int]:
    """Convert the boundaries of a span, which starts and ends with words, from tokens to words."""
    assert not doc[start].is_space and not doc[end - 1].is_space
    before = sum(not token.is_space for token in doc[:start])
    return before, before + sum(not token.is_space for token in doc[start:end])
