"""The targets of a Doc: the words and multi-word expressions that the inventory has senses for."""

from typing import NamedTuple

import numpy as np
from spacy.attrs import LEMMA, ORTH, POS
from spacy.tokens import Doc

from ..text.words import word_tokens
from .inventory import Inventory


class Target(NamedTuple):
    """A word or a multi-word expression of a Doc.

    start, end (int): Its first token, and the token after its last one.
    candidates (Tuple[int, ...]): The senses that it can have.
    """

    start: int
    end: int
    candidates: tuple[int, ...]


class TargetFinder:
    """Finds the targets of Docs. Forms are looked up once per word type.

    inventory (Inventory): The inventory.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._candidates: dict[tuple[str, str, str], tuple[int, ...]] = {}
        # number of words of the longest form that begins with a word
        self._longest: dict[str, int] = {}

    def find(self, doc: Doc) -> list[Target]:
        """Return the targets of a Doc, from left to right. Where targets would overlap, the one
        that starts first is returned, and of several with the same start the longest. Whitespace
        tokens are ignored.

        doc (Doc): The Doc.
        RETURNS (List[Target]): The targets.
        """
        words = word_tokens(doc)
        if not len(words) or not len(self.inventory):
            return []
        texts = column_of(doc, ORTH, words)
        has_lemmas, has_pos = doc.has_annotation("LEMMA"), doc.has_annotation("POS")
        lemmas = column_of(doc, LEMMA, words) if has_lemmas else [""] * len(words)
        tags = column_of(doc, POS, words) if has_pos else [""] * len(words)
        targets: list[Target] = []
        free = 0
        for i, longest in self._starts(texts, lemmas if has_lemmas else None):
            if i < free:
                continue
            for n in range(min(longest, len(words) - i), 0, -1):
                candidates = self._look_up(
                    " ".join(texts[i : i + n]) if n > 1 else texts[i],
                    " ".join(lemmas[i : i + n]) if has_lemmas else "",
                    # an expression such as "take place" has no part of speech of its own
                    tags[i] if n == 1 else "",
                )
                if candidates:
                    start, end = int(words[i]), int(words[i + n - 1]) + 1
                    targets.append(Target(start, end, candidates))
                    free = i + n
                    break
        return targets

    def _starts(self, texts: list[str], lemmas: list[str] | None) -> list[tuple[int, int]]:
        """RETURNS (List[Tuple[int, int]]): The words with which a form can begin, and the number of
        words of the longest one."""
        known = self._longest
        for text in {*texts, *(lemmas or ())}.difference(known):
            known[text] = self.inventory.longest.get(text.lower(), 0)
        if lemmas is None:
            return [(i, known[text]) for i, text in enumerate(texts) if known[text]]
        longest = [max(known[text], known[lemma]) for text, lemma in zip(texts, lemmas)]
        return [(i, n) for i, n in enumerate(longest) if n]

    def _look_up(self, form: str, lemma: str, pos: str) -> tuple[int, ...]:
        key = form, lemma, pos
        found = self._candidates.get(key)
        if found is None:
            found = self._candidates[key] = self.inventory.candidates(form, lemma, pos)
        return found


def column_of(doc: Doc, attribute: int, words: np.ndarray) -> list[str]:
    """Return the strings of an attribute of some tokens. Each distinct string is looked up once.

    doc (Doc): The Doc.
    attribute (int): The id of the attribute.
    words (ndarray): The tokens, int64 [n].
    RETURNS (List[str]): The strings.
    """
    ids: list[int] = doc.to_array([attribute]).reshape(len(doc))[words].tolist()
    strings = doc.vocab.strings
    texts = {number: strings[number] if number else "" for number in set(ids)}
    return [texts[number] for number in ids]
