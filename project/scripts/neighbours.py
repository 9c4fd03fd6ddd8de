"""Occurrences of words in a text, and their nearest neighbours among the other occurrences.

Occurrences are compared by the cosine similarity of their contextual vectors. A vector is the mean
of the LSTM layers.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spacy
from spacy.lang.en.stop_words import STOP_WORDS

from spacy_elmo import ElmoEmbedder

MAX_CHARACTERS = 3_000_000
MAX_OCCURRENCES = 200  # per word
MIN_TOKENS, MAX_TOKENS = 6, 40  # per sentence
CONTEXT_TOKENS = 6  # on each side of the word
N_NEAREST = 3
SEED = 0
MARKDOWN = re.compile(r"[\\`*_\[\]<>&|#]")  # characters with a meaning in Markdown

Sentence = tuple[str, ...]  # the words


@dataclass(frozen=True)
class Occurrence:
    """An occurrence of a word.

    words (Tuple[str, ...]): The sentence.
    index (int): Index of the word in the sentence.
    """

    words: Sentence
    index: int

    def snippet(self) -> str:
        """Return the word in bold with its context, as Markdown."""
        words = [MARKDOWN.sub(r"\\\g<0>", word) for word in self.words]
        before = words[max(0, self.index - CONTEXT_TOKENS) : self.index]
        after = words[self.index + 1 : self.index + 1 + CONTEXT_TOKENS]
        return " ".join([*before, f"**{words[self.index]}**", *after])

    def context(self) -> frozenset[str]:
        """Return the distinct content words in the context, in lower case."""
        around = self.words[max(0, self.index - CONTEXT_TOKENS) : self.index + 1 + CONTEXT_TOKENS]
        word = self.words[self.index].lower()
        words = frozenset(other.lower() for other in around if other.isalpha())
        return words - STOP_WORDS - {word}


def differ(one: Occurrence, other: Occurrence) -> bool:
    """Return whether the contexts of two occurrences have no content word in common."""
    a, b = one.context(), other.context()
    return a != b and a.isdisjoint(b)


def find(word: str, sentences: list[Sentence]) -> list[Occurrence]:
    """Return occurrences of a word, in upper or lower case.

    word (str): The word.
    sentences (List[Sentence]): The sentences to search.
    RETURNS (List[Occurrence]): A random sample of at most `MAX_OCCURRENCES` occurrences, which is
        the same in each call.
    """
    found = [
        Occurrence(sentence, index)
        for sentence in sentences
        for index, other in enumerate(sentence)
        if other.lower() == word.lower()
    ]
    return random.Random(SEED).sample(found, min(len(found), MAX_OCCURRENCES))


def read_sentences(folder: Path) -> list[Sentence]:
    """Return the distinct sentences in the first `MAX_CHARACTERS` of a folder's text files."""
    nlp = spacy.blank("en")
    nlp.add_pipe("punct_sentencizer")

    def paragraphs() -> Iterator[str]:
        remaining = MAX_CHARACTERS
        for path in sorted(folder.glob("*.txt")):
            for paragraph in path.read_text("utf8").split("\n\n"):
                remaining -= len(paragraph)
                if remaining < 0:
                    return
                yield " ".join(paragraph.split())

    found = (tuple(t.text for t in sent) for doc in nlp.pipe(paragraphs()) for sent in doc.sents)
    return list(dict.fromkeys(s for s in found if MIN_TOKENS <= len(s) <= MAX_TOKENS))


def nearest(
    bilm: str, occurrences: list[Occurrence]
) -> list[tuple[Occurrence, list[tuple[float, Occurrence]]]]:
    """Find the nearest neighbours of two occurrences of a word.

    bilm (str): The biLM.
    occurrences (List[Occurrence]): The occurrences of a word, at least two.
    RETURNS (List[Tuple[Occurrence, List[Tuple[float, Occurrence]]]]): The first occurrence, and the
        occurrence that is least similar to it. For each of them, the most similar occurrences in
        different contexts, with their cosine similarities.
    """
    embedder = ElmoEmbedder(weight_file=bilm)
    layers = embedder.embed_sentences([list(o.words) for o in occurrences])
    vectors = np.stack([x[1:, o.index].mean(axis=0) for x, o in zip(layers, occurrences)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    # the first occurrence and the least similar one
    shown = [0, int(np.argmin(np.where(np.isfinite(cosines[0]), cosines[0], np.inf)))]
    return [(occurrences[i], varied(i, cosines[i], occurrences)) for i in shown]


def varied(
    index: int, cosines: np.ndarray, occurrences: list[Occurrence]
) -> list[tuple[float, Occurrence]]:
    """Choose the most similar occurrences whose contexts differ from the context of a given
    occurrence and from each other.

    index (int): Index of the given occurrence.
    cosines (ndarray): Cosine similarities of all occurrences to it, float32 [n_occurrences].
    occurrences (List[Occurrence]): All occurrences.
    RETURNS (List[Tuple[float, Occurrence]]): At most `N_NEAREST` occurrences with their cosine
        similarities, the most similar first.
    """
    chosen: list[tuple[float, Occurrence]] = []
    for other in np.argsort(-cosines, kind="stable"):
        taken = [occurrences[index], *(found for _, found in chosen)]
        if other != index and all(differ(occurrences[other], found) for found in taken):
            chosen.append((float(cosines[other]), occurrences[other]))
        if len(chosen) == N_NEAREST:
            break
    return chosen
