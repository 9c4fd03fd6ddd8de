"""Words in context, and where in a text they stand in the most similar way.

Owns how occurrences are found and compared: by the cosine of the mean of the LSTM layers.
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
MAX_OCCURRENCES = 200  # of a word
MIN_TOKENS, MAX_TOKENS = 6, 40  # of a sentence
AROUND = 6  # tokens that are shown on each side
NEAREST = 3
SEED = 0
SPECIAL = re.compile(r"[\\`*_\[\]<>&|#]")  # to Markdown


Sentence = tuple[str, ...]
"""Its words."""


@dataclass(frozen=True)
class Occurrence:
    """words (Tuple[str, ...]): The sentence. place (int): Of the word in it."""

    words: tuple[str, ...]
    place: int

    def snippet(self) -> str:
        """RETURNS (str): The word in bold and what is around it, as Markdown."""
        words = [SPECIAL.sub(r"\\\g<0>", word) for word in self.words]
        before = words[max(0, self.place - AROUND) : self.place]
        after = words[self.place + 1 : self.place + 1 + AROUND]
        return " ".join([*before, f"**{words[self.place]}**", *after])

    def context(self) -> frozenset[str]:
        """RETURNS (FrozenSet[str]): The distinct content words around it, in lower case."""
        around = self.words[max(0, self.place - AROUND) : self.place + 1 + AROUND]
        word = self.words[self.place].lower()
        words = frozenset(other.lower() for other in around if other.isalpha())
        return words - STOP_WORDS - {word}


def differ(one: Occurrence, other: Occurrence) -> bool:
    """RETURNS (bool): Whether no content word stands around both occurrences."""
    a, b = one.context(), other.context()
    return a != b and a.isdisjoint(b)


def find(word: str, sentences: list[Sentence]) -> list[Occurrence]:
    """RETURNS (List[Occurrence]): Some of those of a word, whatever its case."""
    found = [
        Occurrence(sentence, place)
        for sentence in sentences
        for place, other in enumerate(sentence)
        if other.lower() == word.lower()
    ]
    return random.Random(SEED).sample(found, min(len(found), MAX_OCCURRENCES))


def read_sentences(folder: Path) -> list[Sentence]:
    """RETURNS (List[Sentence]): Sentences of the texts in a folder, without repetition."""
    nlp = spacy.blank("en")
    nlp.add_pipe("punct_sentencizer")

    def paragraphs() -> Iterator[str]:
        left = MAX_CHARACTERS
        for path in sorted(folder.glob("*.txt")):
            for part in path.read_text("utf8").split("\n\n"):
                left -= len(part)
                if left < 0:
                    return
                yield " ".join(part.split())

    found = (tuple(t.text for t in sent) for doc in nlp.pipe(paragraphs()) for sent in doc.sents)
    return list(dict.fromkeys(s for s in found if MIN_TOKENS <= len(s) <= MAX_TOKENS))


def nearest(
    bilm: str, occurrences: list[Occurrence]
) -> list[tuple[Occurrence, list[tuple[float, Occurrence]]]]:
    """Compare the occurrences of a word.

    bilm (str): The biLM.
    occurrences (List[Occurrence]): At least two.
    RETURNS (List[Tuple[Occurrence, List[Tuple[float, Occurrence]]]]): Two occurrences that are
        least alike, and for each the most similar ones among other words, with the cosine.
    """
    embedder = ElmoEmbedder(weight_file=bilm)
    layers = embedder.embed_sentences([list(o.words) for o in occurrences])
    vectors = np.stack([x[1:, o.place].mean(axis=0) for x, o in zip(layers, occurrences)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    # the first, and the one that is least like it
    shown = [0, int(np.argmin(np.where(np.isfinite(cosines[0]), cosines[0], np.inf)))]
    return [(occurrences[i], _varied(i, cosines[i], occurrences)) for i in shown]


def _varied(
    place: int, cosines: np.ndarray, occurrences: list[Occurrence]
) -> list[tuple[float, Occurrence]]:
    """RETURNS (List[Tuple[float, Occurrence]]): The most similar occurrences whose contexts differ
    from that of the given one and from each other, with their cosines."""
    chosen: list[tuple[float, Occurrence]] = []
    for other in np.argsort(-cosines, kind="stable"):
        taken = [occurrences[place], *(found for _, found in chosen)]
        if other != place and all(differ(occurrences[other], found) for found in taken):
            chosen.append((float(cosines[other]), occurrences[other]))
        if len(chosen) == NEAREST:
            break
    return chosen
