"""Pronouns and leading words are learned from the mentions of a corpus."""

import spacy

from spacy_elmo.coref.lexicon import Lexicon, hashes

from .toys import story_doc

NLP = spacy.blank("en")


def test_pronouns_and_leading_words_are_learned():
    learned = Lexicon.learn([story_doc(NLP, seed) for seed in range(60)], "coref_clusters")
    # names are not learned: they are capitalized and occur in few Docs
    assert learned.pronouns == ["she"]
    assert learned.leads == ["the"]
    assert Lexicon.from_dict(vars(learned)) == learned


def test_no_mentions_give_an_empty_lexicon():
    assert Lexicon.learn([], "coref_clusters") == Lexicon([], [])
    assert Lexicon.learn([NLP("She sleeps.")], "coref_clusters") == Lexicon([], [])
    assert Lexicon.from_dict({}) == Lexicon([], [])


def test_hashes_equal_the_hashes_of_docs():
    doc = NLP("She sleeps")
    assert hashes(["she", "sleeps"]).tolist() == [token.lower for token in doc]
    assert hashes([]).shape == (0,)
