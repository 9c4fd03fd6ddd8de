"""The words of Docs, and their offsets in a text without its whitespace."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo.text.words import text_offsets, word_tokens

WORDS = ["a", "Übermut", "New York", "\u2028x", "🙂", "."]
SPACES = [" ", "\n", "\n\n", "\t", "\u3000", "\xa0", "\x1f", "\u2029"]


@pytest.mark.parametrize("vocab", [spacy.blank("en").vocab, Vocab()], ids=["en", "bare"])
@given(tokens=st.lists(st.tuples(st.sampled_from(WORDS + SPACES), st.booleans()), max_size=12))
def test_words_are_the_tokens_that_are_not_whitespace(vocab, tokens):
    doc = Doc(vocab, [text for text, _ in tokens], spaces=[space for _, space in tokens])
    expected = [i for i, (text, _) in enumerate(tokens) if not text.isspace()]
    assert word_tokens(doc).tolist() == expected
    starts, ends = text_offsets(doc)
    bare = "".join(doc.text.split())
    found = [bare[start:end] for start, end in zip(starts, ends)]
    assert found == ["".join(text.split()) for text, _ in tokens]
