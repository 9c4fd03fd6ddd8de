"""The kind of a mention: name, noun or pronoun.

The kind is determined from part-of-speech tags and a parse. In a Doc without tags, it is guessed
from the words.
"""

from functools import cached_property

from spacy.tokens import Doc, Span, Token

NAME, NOUN, PRONOUN = KINDS = ("name", "noun", "pronoun")
"""From the most to the least specific."""

MAX_PRONOUN = 4  # maximum number of letters of a pronoun in a language without stop words
MAX_NAMING_WORDS = 5  # a longer mention describes an entity rather than naming it


class MentionClassifier:
    """Determines the kinds of mentions of a Doc. Properties of the Doc are computed once.

    doc (Doc): The Doc.
    """

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.has_pos = doc.has_annotation("POS")
        self.has_dep = doc.has_annotation("DEP")

    @cached_property
    def has_stops(self) -> bool:
        """RETURNS (bool): Whether the Doc contains stop words. If not, the language may have
        none."""
        return any(token.is_stop for token in self.doc)

    @cached_property
    def lower(self) -> set[str]:
        """RETURNS (Set[str]): The words of the Doc that occur in lower case."""
        return {token.text for token in self.doc if token.text[:1].islower()}

    def kind(self, span: Span) -> str:
        """Return the kind of a mention.

        span (Span): The mention.
        RETURNS (str): "name", "noun" or "pronoun".
        """
        if self.has_pos:
            pos = self._head(span).pos_
            return NAME if pos == "PROPN" else PRONOUN if pos in ("PRON", "DET") else NOUN
        words = [token for token in span if _is_word(token)]
        if len(words) == 1 and self._is_pronoun(words[0]):
            return PRONOUN
        content = [token for token in words if self._is_content(token)]
        n_capitals = sum(self._is_capital(token) for token in content)
        return NAME if 2 * n_capitals > len(content) else NOUN

    def rank(self, span: Span) -> tuple[int, int, int, int, int]:
        """Return a sort key that is lowest for the most specific mention.

        span (Span): The mention.
        RETURNS (Tuple[int, int, int, int, int]): The key.
        """
        kind = self.kind(span)
        order, size = KINDS.index(kind), len(_words(span))
        if kind == PRONOUN:
            return order, 0, 0, 0, span.start
        strong = [token.i for token in span if self._is_strong(token, kind)]
        if size > MAX_NAMING_WORDS or not strong or strong[-1] != span.end - 1:
            return order, 1, size, 0, span.start
        # "the old man" is better than "man", but "Smith" is better than "poor Smith"
        return order, 0, -len(strong), size if kind == NAME else -size, span.start

    def _head(self, span: Span) -> Token:
        """RETURNS (Token): The root of a mention. Without a parse: the last noun of the first
        sequence of nouns that is not followed by a possessive particle, as in "Anna 's hat"."""
        if self.has_dep:
            return span.root
        words = _words(span)
        nouns = [i for i, token in enumerate(words) if token.pos_ in ("NOUN", "PROPN")]
        for i in nouns:
            if i + 1 == len(words) or words[i + 1].pos_ not in ("NOUN", "PROPN", "PART"):
                return words[i]
        if nouns:
            return words[nouns[-1]]
        return next((token for token in words if token.pos_ == "PRON"), words[-1])

    def _is_strong(self, token: Token, kind: str) -> bool:
        """Return whether a word may end a mention that names an entity."""
        if self.has_pos:
            return token.pos_ == "PROPN" or (kind == NOUN and token.pos_ == "NOUN")
        return self._is_capital(token) if kind == NAME else self._is_content(token)

    def _is_pronoun(self, token: Token) -> bool:
        n_letters = len(token.text)
        if n_letters == 1:
            return True
        if self.has_stops:
            return _is_stop(token)
        return n_letters <= MAX_PRONOUN and not self._is_capital(token)

    def _is_content(self, token: Token) -> bool:
        if not _is_word(token):
            return False
        if self.has_stops:
            return not _is_stop(token)
        return len(token.text) >= MAX_PRONOUN or not token.text.islower()

    def _is_capital(self, token: Token) -> bool:
        """Return whether a word is capitalized for another reason than starting a sentence."""
        if not token.text[:1].isupper():
            return False
        position, starts_sentence = token.i, bool(token.is_sent_start)
        while position and self.doc[position - 1].text.isspace():
            position -= 1
            starts_sentence = starts_sentence or bool(self.doc[position].is_sent_start)
        if not position:
            starts_sentence = True
        else:
            before = self.doc[position - 1]
            if not _is_word(before) and before.text not in (",", ";"):
                starts_sentence = True
        return not starts_sentence or token.text.lower() not in self.lower


def _words(span: Span) -> list[Token]:
    # mentions set by users may consist of whitespace
    return [token for token in span if not token.text.isspace()] or list(span)


def _is_word(token: Token) -> bool:
    # a vocab without a language has no lexical attributes such as `is_alpha`
    return any(char.isalnum() for char in token.text)


def _is_stop(token: Token) -> bool:
    # "us" is a stop word, "US" is not
    return token.is_stop and not (token.text.isupper() and len(token.text) > 1)
