import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.vocab import END, START, UNKNOWN, Vocab

TEXT = [[["b", "a", "c", "a"], ["a", "c", "d"]]]
words = st.sampled_from(["the", "a", START, END, UNKNOWN, "New York", "x\ny", "!!!MAXTERMID", "é"])


def corpus_of(*lines):
    return Corpus.from_sentences([[line.split() for line in lines]])


def test_words_are_sorted_by_frequency_and_first_appearance():
    vocab = Vocab.count(Corpus.from_sentences(TEXT))
    assert vocab.words == [START, END, UNKNOWN, "a", "c", "b", "d"]
    assert vocab.counts.tolist() == [2, 2, 0, 3, 2, 1, 1]
    assert (vocab.start, vocab.end, vocab.unknown) == (0, 1, 2)
    assert len(vocab) == 7


def test_rare_words_are_left_out():
    corpus = Corpus.from_sentences(TEXT)
    for vocab in (Vocab.count(corpus, min_count=2), Vocab.count(corpus, max_size=5)):
        assert vocab.words == [START, END, UNKNOWN, "a", "c"]
        assert vocab.counts.tolist() == [2, 2, 2, 3, 2]
        assert vocab.ids(["d", "c", "e"]).tolist() == [2, 4, 2]
    assert Vocab.count(corpus, max_size=99).words == Vocab.count(corpus).words


@given(st.lists(st.lists(words, min_size=1), min_size=1))
def test_each_target_is_counted_once(sentences):
    corpus = Corpus.from_sentences([[*sentences, ["word"]]])
    vocab = Vocab.count(corpus)
    assert vocab.counts.sum() == corpus.n_positions + corpus.n_sentences
    ids = vocab.ids(corpus.words)[corpus.tokens]
    expected = np.bincount(ids, minlength=len(vocab))
    expected[[vocab.start, vocab.end]] += corpus.n_sentences
    np.testing.assert_array_equal(vocab.counts, expected)


def test_boundary_words_in_text_are_no_boundaries():
    corpus = corpus_of("<S> said </S> and <UNK>", "<S>")
    vocab = Vocab.count(corpus)
    assert vocab.words == [START, END, UNKNOWN, "said", "and"]
    assert vocab.ids([START, END, UNKNOWN]).tolist() == [2, 2, 2]
    assert vocab.counts.tolist() == [2, 2, 4, 1, 1]


@pytest.mark.parametrize("word", ["New York", "a\nb", "\u3000", "!!!MAXTERMID", "\ud800", "a\x85"])
def test_words_that_cannot_be_a_line_are_left_out(word, tmp_path):
    vocab = Vocab.count(Corpus.from_sentences([[[word, "the"]]]))
    assert vocab.words == [START, END, UNKNOWN, "the"]
    assert vocab.counts.tolist() == [1, 1, 1, 1]
    vocab.to_file(tmp_path / "vocab.txt")
    assert Vocab.from_file(tmp_path / "vocab.txt").words == vocab.words


def test_words_are_counted_on_another_corpus():
    vocab = Vocab.count(corpus_of("a b", "a"))
    other = vocab.count_on(corpus_of("c b b", "b", "d"))
    assert other.words == vocab.words
    assert other.counts.tolist() == [3, 3, 2, 0, 3]
    assert vocab.counts.tolist() == [2, 2, 0, 2, 1]


def test_wrong_limits_and_an_empty_vocabulary_are_an_error():
    with pytest.raises(ValueError, match="Lower 'min_count'"):
        Vocab.count(corpus_of("a b"), min_count=2)
    with pytest.raises(ValueError, match="at least 4"):
        Vocab.count(corpus_of("a b"), max_size=3)
    with pytest.raises(ValueError, match="at least 1"):
        Vocab.count(corpus_of("a b"), min_count=0)


def test_files_hold_one_word_per_line(tmp_path):
    path = tmp_path / "vocab.txt"
    Vocab.count(corpus_of("é a")).to_file(path)
    assert path.read_bytes() == "<S>\n</S>\n<UNK>\né\na\n".encode()
    assert Vocab.from_file(path).counts is None


def read(tmp_path, data):
    (tmp_path / "vocab.txt").write_bytes(data)
    return Vocab.from_file(tmp_path / "vocab.txt")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n\n"])
def test_special_words_may_be_on_any_line(tmp_path, ending):
    data = b"the\n</S>\n!!!MAXTERMID\n  a \n<UNK>\n<S>" + ending
    vocab = read(tmp_path, b"\xef\xbb\xbf" + data)
    assert vocab.words == ["the", END, "a", UNKNOWN, START]
    assert (vocab.start, vocab.end, vocab.unknown) == (4, 1, 3)
    assert vocab.ids(["a", "b", END]).tolist() == [2, 3, 3]
    assert vocab.count_on(corpus_of("a b", "the the")).counts.tolist() == [2, 2, 1, 1, 2]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"<S>\n<UNK>\na\n", r"vocab.txt has 3 words up to line 3, but lacks </S>\."),
        (b"", r"lacks <S>, </S>, <UNK>"),
        (b"<S>\n</S>\n<UNK>\na\n a\n", r"vocab.txt, line 5: the word 'a' is in line 4 already"),
        (b"<S>\n</S>\n\n<UNK>\n", r"vocab.txt, line 3 is empty"),
        (b"<S>\n</S>\n<UNK>\ncaf\xe9\n", r"vocab.txt, line 4: the byte 0xe9 is not UTF-8"),
    ],
)
def test_errors_in_files_name_the_line(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("entries", [[START, END, "a"], [START, END, UNKNOWN, "a", "a"]])
def test_missing_and_repeated_words_are_an_error(entries):
    with pytest.raises(ValueError, match="The vocabulary"):
        Vocab(entries)
