import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo.text.segments import (
    make_punct_segments,
    make_sentence_segments,
    make_window_segments,
    segment_docs,
)

from ..whitespace import gaps, respaced

VOCAB = spacy.blank("en").vocab
TOKENS = [
    "the",
    "Bank",
    ".",
    "!",
    "?",
    "...",
    '"',
    "”",
    "''",
    ")",
    "(",
    "\n",
    "\n\n",
    " ",
    ",",
    "7",
]
texts = st.lists(st.sampled_from(TOKENS), max_size=30)


def make_doc(words):
    return Doc(VOCAB, words=words)


def segments(text, segmenter=None):
    """Return the segments of a text, without whitespace tokens.

    The tokens of the text are separated by single spaces. ¶ is a blank line and / a line break.
    """
    words = [{"¶": "\n\n", "/": "\n"}.get(word, word) for word in text.split()]
    segmented = segment_docs([make_doc(words)], segmenter or make_punct_segments())
    batch = segmented.batch
    found = [batch.words[i] for i in batch.ids]
    ends = np.cumsum(batch.lengths)
    return [" ".join(found[end - n : end]) for end, n in zip(ends, batch.lengths)]


@pytest.mark.parametrize("final", [".", "!", "?", "...", "…", "?!", "。", "।", "؟"])
def test_final_punctuation_ends_a_segment(final):
    assert segments(f"It rains {final} We go {final}") == [f"It rains {final}", f"We go {final}"]


def test_closing_quotes_and_brackets_stay_with_the_segment():
    assert segments("“ Go . ” She went .") == ["“ Go . ”", "She went ."]
    assert segments("( He went . ) Then") == ["( He went . )", "Then"]
    assert segments("` ` Go ! '' ) ] She") == ["` ` Go ! '' ) ]", "She"]


def test_straight_quotes_close_if_one_is_open():
    assert segments('" Go . " She went .') == ['" Go . "', "She went ."]
    assert segments('He said . " Go . "') == ["He said .", '" Go . "']


def test_straight_quotes_are_counted_from_the_last_blank_line():
    # the first quote is never closed
    assert segments('" Go . ¶ He said . " Go . "') == ['" Go .', "He said .", '" Go . "']


def test_a_segment_continues_before_a_lower_case_word():
    assert segments("“ Why ? ” she asked .") == ["“ Why ? ” she asked ."]
    assert segments("About 3 p.m. . and so on .") == ["About 3 p.m. . and so on ."]


def test_a_line_break_before_a_lower_case_word_changes_nothing():
    assert segments("“ Why ? ” / she asked .") == ["“ Why ? ” she asked ."]


def test_consecutive_final_marks_end_one_segment():
    assert segments("What ! ? ... Nothing .") == ["What ! ? ...", "Nothing ."]


def test_digits_and_quotes_start_a_segment():
    assert segments("It was . 7 of them . “ Yes . ”") == ["It was .", "7 of them .", "“ Yes . ”"]


def test_blank_lines_end_a_segment_even_before_a_lower_case_word():
    assert segments("A title ¶ the text") == ["A title", "the text"]


def test_a_single_line_break_ends_no_segment():
    assert segments("A long / line") == ["A long line"]


def test_segments_longer_than_the_maximum_are_cut():
    found = segments("a b c d e f g . H", make_punct_segments(3))
    assert found == ["a b c", "d e f", "g .", "H"]


def test_text_without_punctuation_is_cut_at_the_default_length():
    batch = segment_docs([make_doc(["word"] * 400)], make_punct_segments()).batch
    assert batch.lengths.tolist() == [150, 150, 100]


def test_window_segments_have_a_fixed_length():
    assert segments("a . b c d", make_window_segments(2)) == ["a .", "b c", "d"]


def test_sentence_segments_are_the_sentences():
    doc = Doc(VOCAB, words=list("abcde"), sent_starts=[True, False, True, False, False])
    segmented = segment_docs([doc], make_sentence_segments())
    assert segmented.batch.lengths.tolist() == [2, 3]
    assert segment_docs([doc], make_sentence_segments(2)).batch.lengths.tolist() == [2, 2, 1]


def test_sentence_segments_need_sentence_boundaries():
    with pytest.raises(ValueError, match="needs sentence boundaries.*sentencizer"):
        segment_docs([make_doc(["a", "b"])], make_sentence_segments())


@pytest.mark.parametrize(
    "make", [make_punct_segments, make_sentence_segments, make_window_segments]
)
def test_lengths_below_one_are_errors(make):
    with pytest.raises(ValueError, match="must be at least 1"):
        make(0)


def test_whitespace_tokens_belong_to_no_segment():
    segmented = segment_docs([make_doc(["\n", "a", " ", "b", "\n\n"])], make_punct_segments())
    assert segmented.rows.tolist() == [1, 3]
    assert segmented.lengths == [5]
    assert segmented.batch.lengths.tolist() == [2]


@pytest.mark.parametrize("words", [[], [" "], ["\n\n", " "]], ids=["empty", "space", "spaces"])
@pytest.mark.parametrize("make", [make_punct_segments, make_window_segments])
def test_docs_without_words_have_no_segments(words, make):
    docs = [make_doc(words), make_doc(["a"]), make_doc(words)]
    segmented = segment_docs(docs, make())
    assert segmented.batch.words == ["a"]
    assert segmented.batch.lengths.tolist() == [1]
    assert segmented.rows.tolist() == [len(words)]
    assert segmented.lengths == [len(words), 1, len(words)]


@pytest.mark.parametrize("make", [make_punct_segments, make_window_segments])
def test_no_docs_have_no_segments(make):
    segmented = segment_docs([], make())
    assert segmented.batch.words == [] and len(segmented.rows) == 0


@pytest.mark.parametrize("make", [make_punct_segments, make_window_segments])
def test_segmenters_accept_an_empty_doc(make):
    assert make()(make_doc([])).tolist() == []


def test_docs_may_have_different_vocabs():
    docs = [make_doc(["known", "here"]), Doc(Vocab(), words=["nowhereelse", "known"])]
    batch = segment_docs(docs, make_punct_segments()).batch
    assert [batch.words[i] for i in batch.ids] == ["known", "here", "nowhereelse", "known"]


@given(texts, st.integers(1, 8))
def test_every_word_is_in_exactly_one_segment_in_order(words, max_length):
    doc = make_doc(words)
    segmented = segment_docs([doc], make_punct_segments(max_length))
    batch = segmented.batch
    expected = [token.i for token in doc if not token.is_space]
    assert segmented.rows.tolist() == expected
    assert batch.lengths.sum() == len(expected)
    assert all(0 < n <= max_length for n in batch.lengths)
    assert [batch.words[i] for i in batch.ids] == [doc[i].text for i in expected]
    assert len(set(batch.words)) == len(batch.words)


@given(st.lists(texts, max_size=4))
def test_segments_do_not_depend_on_the_other_docs(documents):
    docs = [make_doc(words) for words in documents]
    segmenter = make_punct_segments(6)
    together = segment_docs(docs, segmenter)
    alone = [segment_docs([doc], segmenter) for doc in docs]
    lengths = [n for one in alone for n in one.batch.lengths]
    assert together.batch.lengths.tolist() == lengths
    found = [together.batch.words[i] for i in together.batch.ids]
    assert found == [one.batch.words[i] for one in alone for i in one.batch.ids]


TEXT = 'He said : " She left . " Why ? ( No . ) and so on . The end'.split()


@pytest.mark.parametrize(
    "segmenter",
    [
        make_punct_segments(),
        make_punct_segments(3),
        make_sentence_segments(4),
        make_window_segments(3),
    ],
    ids=["punct", "short punct", "sentence", "window"],
)
@given(found=gaps(len(TEXT)))
def test_whitespace_tokens_do_not_change_segments(segmenter, found):
    starts = [i % 5 == 0 for i in range(len(TEXT))]
    doc = Doc(VOCAB, TEXT, sent_starts=starts)
    expected = segment_docs([doc, doc], segmenter)
    segmented = segment_docs([respaced(doc, found), doc], segmenter)
    assert segmented.batch.lengths.tolist() == expected.batch.lengths.tolist()
    assert segmented.batch.words == expected.batch.words
