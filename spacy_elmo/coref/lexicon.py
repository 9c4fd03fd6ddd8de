"""Words that behave like pronouns, and words that begin mentions, learned from gold mentions.

They replace word lists, so that `coref` works in any language.
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

# A word counts as a pronoun if it is a mention by itself in at least this fraction of the Docs. The
# fraction is higher for capitalized words, because they may be names, which rarely recur in other
# Docs.
MIN_DOCS, MIN_DOCS_OF_CAPITALS = 0.05, 0.3
# a word counts as capitalized if at least this fraction of its mentions is capitalized
MAX_CAPITALS = 0.5
# minimum fraction of the mentions of several words that begin with a leading word
MIN_LEADING = 0.003


@dataclass(frozen=True)
class Lexicon:
    """Words with a role in mentions, in lower case.

    pronouns (List[str]): Words that are mentions by themselves without being names.
    leads (List[str]): Words that begin mentions and do not help to identify the entity, such as
        articles.
    """

    pronouns: list[str]
    leads: list[str]

    @classmethod
    def learn(cls, docs: Iterable[Doc], prefix: str) -> "Lexicon":
        """Collect pronouns and leading words from gold mentions.

        docs (Iterable[Doc]): Docs with gold clusters.
        prefix (str): Prefix of the keys of the clusters.
        RETURNS (Lexicon): The words; none if there are no mentions.
        """
        n_docs, n_long = 0, 0
        n_docs_alone: Counter[str] = Counter()  # Docs in which a word is a mention by itself
        mentions: Counter[str] = Counter()
        capitals: Counter[str] = Counter()
        leading: Counter[str] = Counter()
        for doc in docs:
            n_docs += 1
            alone: set[str] = set()
            position = {token: n for n, token in enumerate(word_tokens(doc).tolist())}
            for start, end in (
                mention
                for cluster in get_clusters(doc, prefix, words_only=True)
                for mention in cluster
            ):
                word = doc[start].lower_
                if position[start] < position[end - 1]:
                    n_long += 1
                    leading[word] += 1
                    continue
                alone.add(word)
                mentions[word] += 1
                capitals[word] += doc[start].text[:1].isupper() and position[start] > 0
            n_docs_alone.update(alone)
        pronouns = []
        for word, count in n_docs_alone.items():
            is_lower = capitals[word] < MAX_CAPITALS * mentions[word]
            fraction = MIN_DOCS if is_lower else MIN_DOCS_OF_CAPITALS
            if count >= max(2, fraction * n_docs):
                pronouns.append(word)
        leads = [word for word, count in leading.items() if count >= max(2, MIN_LEADING * n_long)]
        return cls(sorted(pronouns), sorted(leads))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Lexicon":
        """RETURNS (Lexicon): The words that a component's `cfg` holds."""
        return cls(list(values.get("pronouns", [])), list(values.get("leads", [])))

    @staticmethod
    def check(values: dict[str, Any]) -> None:
        """Check the words of a component's `cfg`.

        values (Dict[str, Any]): The `cfg`.
        RAISES (ValueError): If `from_dict` cannot read it.
        """
        for name in ("pronouns", "leads"):
            words = values.get(name, [])
            is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
            if not is_list or len(set(words)) < len(words):
                raise ValueError(f"{name} is {words!r:.80}; expected a list of distinct strings")


def hashes(words: Sequence[str]) -> np.ndarray:
    """Return spaCy's hashes of strings, as in the LOWER attribute of a Doc.

    words (Sequence[str]): The strings.
    RETURNS (ndarray): uint64 [n].
    """
    return np.array([get_string_id(word) for word in words], dtype=np.uint64)
