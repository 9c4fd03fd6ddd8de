import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from spacy_elmo.spans.sentences import MAX_SEQUENCE, sentence_numbers, sequence_lengths
from spacy_elmo.text.words import word_tokens

VOCAB = spacy.blank("en").vocab


def test_sentences_of_words_are_numbered():
    doc = Doc(VOCAB, words=list("abcde"), sent_starts=[True, False, True, True, False])
    assert sentence_numbers(doc, word_tokens(doc)).tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b"]])
def test_a_doc_without_boundaries_is_one_sentence(words):
    doc = Doc(VOCAB, words=words)
    assert sentence_numbers(doc, word_tokens(doc)).tolist() == [0] * len(words)


def test_long_sentences_are_read_as_several_sequences():
    numbers = np.repeat([0, 1, 2], [3, 2 * MAX_SEQUENCE + 1, 2])
    assert sequence_lengths(numbers) == [3, MAX_SEQUENCE, MAX_SEQUENCE, 1, 2]
    assert sequence_lengths(numbers[:0]) == []
