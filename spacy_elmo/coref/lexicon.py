"""Words that behave like pronouns, and words that open a mention: learned, not listed.

Owns what is counted in the gold mentions of a training corpus. It holds strings and knows
no language.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from spacy.strings import get_string_id
from spacy.tokens import Doc

from ..text.words import word_tokens
from .clusters import get_clusters

# a word is like a pronoun if it is a mention by itself in so many Docs: fewer will do for one
# that is seldom capitalised, for names do not recur from Doc to Doc
MIN_DOCS, MIN_DOCS_OF_CAPITALS = 0.05, 0.3
MAX_CAPITALS = 0.5
# a word opens mentions if so many of those with several words begin with it
MIN_LEADING = 0.003


@dataclass(frozen=True)
class Lexicon:
    """pronouns (List[str]): Words that are mentions without naming anything, in lower case.
    leads (List[str]): Words that open mentions and say nothing of what is meant, such as
        articles, in lower case."""

    pronouns: list[str]
    leads: list[str]

    @classmethod
    def learn(cls, docs: Iterable[Doc], prefix: str) -> "Lexicon":
        """Count the mentions of Docs with gold entities.

        docs (Iterable[Doc]): The Docs.
        prefix (str): Of the keys of their entities.
        RETURNS (Lexicon): What was learned; empty where there are no mentions.
        """
        n_docs, n_long = 0, 0
        alone: Counter[str] = Counter()  # Docs in which a word is a mention by itself
        mentions: Counter[str] = Counter()
        capitals: Counter[str] = Counter()
        leading: Counter[str] = Counter()
        for doc in docs:
            n_docs += 1
            here: set[str] = set()
            place = {token: n for n, token in enumerate(word_tokens(doc).tolist())}
            for start, end in (
                mention
                for entity in get_clusters(doc, prefix, words_only=True)
                for mention in entity
            ):
                word = doc[start].lower_
                if place[start] < place[end - 1]:
                    n_long += 1
                    leading[word] += 1
                    continue
                here.add(word)
                mentions[word] += 1
                capitals[word] += doc[start].text[:1].isupper() and place[start] > 0
            alone.update(here)
        pronouns = []
        for word, count in alone.items():
            seldom = capitals[word] < MAX_CAPITALS * mentions[word]
            if count >= max(2, (MIN_DOCS if seldom else MIN_DOCS_OF_CAPITALS) * n_docs):
                pronouns.append(word)
        leads = [word for word, count in leading.items() if count >= max(2, MIN_LEADING * n_long)]
        return cls(sorted(pronouns), sorted(leads))

    @staticmethod
    def check(values: dict[str, Any]) -> None:
        """Raise a ValueError unless `from_dict` can read the values."""
        for name in ("pronouns", "leads"):
            words = values.get(name, [])
            is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
            if not is_list or len(set(words)) < len(words):
                raise ValueError(f"{name} is {words!r:.80}; expected a list of distinct strings")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Lexicon":
        return cls(list(values.get("pronouns", [])), list(values.get("leads", [])))


def hashes(words: Sequence[str]) -> np.ndarray:
    """RETURNS (ndarray): spaCy's hashes of strings, as a Doc's LOWER has them, uint64 [n]."""
    return np.array([get_string_id(word) for word in words], dtype=np.uint64)
