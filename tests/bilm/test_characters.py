import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm.characters import ByteCharacters, LexiconCharacters, WordLexicon

from ..reference import spell_bytes

LEXICON = ["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", "a", "b", "é"]


def row(word, n_positions=50):
    ids, n_used = ByteCharacters(n_positions).encode([word])
    return ids[0].tolist(), int(n_used[0])


def test_boundary_words():
    ids, n_used = ByteCharacters(50).boundaries()
    assert ids.tolist() == [[258, 256, 259] + [260] * 47, [258, 257, 259] + [260] * 47]
    assert n_used.tolist() == [3, 3]


def test_boundary_words_plus_one_equal_other_implementations():
    ids, _ = ByteCharacters(50).boundaries()
    assert (ids + 1).tolist() == [[259, 257, 260] + [261] * 47, [259, 258, 260] + [261] * 47]


def test_word_is_bytes_between_start_and_end_then_padding():
    assert row("aé", 8) == ([258, 97, 195, 169, 259, 260, 260, 260], 5)


def test_padding_of_a_word_is_not_the_id_of_padded_words():
    ids, _ = row("a")
    assert set(ids[3:]) == {260}


@pytest.mark.parametrize(
    "word, expected", [("日本", [230, 151, 165, 230]), ("abcé", [97, 98, 99, 195])]
)
def test_long_words_are_truncated_to_bytes_even_within_a_character(word, expected):
    assert row(word, 6) == ([258, *expected, 259], 6)


def test_word_that_just_fits():
    assert row("abcd", 6) == ([258, 97, 98, 99, 100, 259], 6)


def test_empty_word():
    assert row("", 5) == ([258, 259, 260, 260, 260], 2)


def test_lone_surrogates_are_skipped():
    assert row("a\ud800b", 6) == row("ab", 6)
    assert row("\udfff", 6) == row("", 6)


def test_boundary_tokens_in_the_text_are_spelled():
    assert row("<S>", 6) == ([258, 60, 83, 62, 259, 260], 5)


def test_no_words():
    ids, n_used = ByteCharacters(50).encode([])
    assert ids.shape == (0, 50) and n_used.shape == (0,)


@given(
    st.lists(st.text(st.characters(blacklist_categories=[]), max_size=20), max_size=8),
    st.integers(3, 12),
)
def test_encode_equals_a_loop_over_words(words, n_positions):
    ids, n_used = ByteCharacters(n_positions).encode(words)
    sane = [word.encode("utf8", "ignore") for word in words]
    for found, used, spelled in zip(ids.tolist(), n_used.tolist(), sane):
        n_bytes = min(len(spelled), n_positions - 2)
        assert used == n_bytes + 2
        expected = [258, *spelled[:n_bytes], 259] + [260] * (n_positions - n_bytes - 2)
        assert found == expected
    assert len(ids) == len(words)


@given(st.text(max_size=60))
def test_encode_equals_the_reference(word):
    assert row(word)[0] == spell_bytes(word)


def test_lexicon_opens_a_word_with_eow_and_closes_it_with_bow():
    ids, n_used = LexiconCharacters(LEXICON, 6).encode(["aé", "x"])
    assert ids.tolist() == [[5, 6, 8, 4, 3, 3], [5, 2, 4, 3, 3, 3]]
    assert n_used.tolist() == [4, 3]


def test_lexicon_truncates_to_characters():
    ids, _ = LexiconCharacters(LEXICON, 4).encode(["éab"])
    assert ids.tolist() == [[5, 8, 6, 4]]


def test_lexicon_boundary_words():
    ids, _ = LexiconCharacters(LEXICON, 4).boundaries()
    assert ids.tolist() == [[5, 0, 4, 3], [5, 1, 4, 3]]


def test_lexicon_without_a_special_entry_is_an_error():
    with pytest.raises(ValueError, match="lacks <oov>, <bow>"):
        LexiconCharacters([c for c in LEXICON if c not in ("<oov>", "<bow>")], 6)


def test_word_lexicon():
    lexicon = WordLexicon(["<S>", "</S>", "<UNK>", "the"], "<UNK>", "<S>", "</S>")
    np.testing.assert_array_equal(lexicon.encode(["the", "bank"]), [3, 2])
    np.testing.assert_array_equal(lexicon.boundaries(), [0, 1])


def test_word_lexicon_without_a_special_word_is_an_error():
    with pytest.raises(ValueError, match="lacks </S>"):
        WordLexicon(["<S>", "<UNK>", "the"], "<UNK>", "<S>", "</S>")
