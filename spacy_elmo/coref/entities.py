"""What users do with entities: a name for each, text with pronouns resolved, the entities
of a token, mentions of some kind alone. Owns what is a name, a noun or a pronoun, which
it reads off tags where a Doc has any, else off the words. It knows no model.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cached_property

from spacy.tokens import Doc, Span, Token

from .clusters import (
    DEFAULT_PREFIX,
    Mention,
    cluster_keys,
    cut_doc,
    get_mentions,
    get_named_clusters,
    join_docs,
)

__all__ = [
    "KINDS",
    "cut_doc",
    "entities_by_token",
    "entities_of",
    "filter_clusters",
    "join_docs",
    "mention_kind",
    "representative",
    "representatives",
    "resolve_text",
]

NAME, NOUN, PRONOUN = KINDS = ("name", "noun", "pronoun")
"""From the most to the least specific."""

SHORT_WORD = 4  # letters, of what may be a pronoun in a language without stop words
SHORT_MENTION = 5  # words; what is longer describes an entity rather than naming it
MAX_NESTING = 4  # of resolved mentions in resolved mentions


def mention_kind(span: Span) -> str:
    """Whether a mention is a name, a noun or a pronoun.

    span (Span): The mention. Its Doc's parts of speech and parse are used if it has any;
        else capital letters and the stop words of its language, which is a rough guess.
    RETURNS (str): "name", "noun" or "pronoun"; "noun" is also what is none of the three.
    """
    return _Reader(span.doc).kind(span)


def filter_clusters(
    doc: Doc, kinds: Iterable[str], prefix: str = DEFAULT_PREFIX
) -> dict[str, list[Mention]]:
    """Mentions of some kinds alone. `set_clusters(doc, filter_clusters(...).values())` keeps
    no others.

    doc (Doc): The Doc.
    kinds (Iterable[str]): Of "name", "noun" and "pronoun".
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (Dict[str, List[Mention]]): The mentions of each entity in the order of the
        text. Entities without any are left out.
    """
    wanted, reader = _check_kinds(kinds), _Reader(doc)
    found: dict[str, list[Mention]] = {}
    for key, mentions in get_named_clusters(doc, prefix, words_only=True).items():
        kept = [(start, end) for start, end in mentions if reader.kind(doc[start:end]) in wanted]
        if kept:
            found[key] = kept
    return found


def entities_of(token: Token, prefix: str = DEFAULT_PREFIX) -> list[str]:
    """The entities that a token lies in a mention of.

    token (Token): The token. For all tokens of a Doc, `entities_by_token` is faster.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (List[str]): Their keys in `doc.spans`, that of the shortest mention first.
    """
    return _entities_within(token.doc, token.i, token.i + 1, prefix)[0]


def entities_by_token(doc: Doc, prefix: str = DEFAULT_PREFIX) -> list[list[str]]:
    """The entities that each token lies in a mention of.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (List[List[str]]): For each token what `entities_of` gives.
    """
    return _entities_within(doc, 0, len(doc), prefix)


def representative(doc: Doc, key: str) -> Span:
    """The mention that says best who or what an entity is: a name if there is one, else a
    noun, else a pronoun; of names and nouns a full one, but not a whole description.

    doc (Doc): The Doc.
    key (str): Key of the entity in `doc.spans`.
    RETURNS (Span): The mention.
    """
    mentions = [doc[start:end] for start, end in get_mentions(doc, key)]
    if not mentions:
        raise ValueError(
            f"The Doc has no entity {key!r} with a mention. `cluster_keys(doc)` gives the keys it "
            f"has; run the component 'coref' first if there are none."
        )
    return min(mentions, key=_Reader(doc).rank)


def representatives(doc: Doc, prefix: str = DEFAULT_PREFIX) -> dict[str, Span]:
    """The representative mentions of all entities, faster than one by one.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (Dict[str, Span]): The mention of each entity that has any, by its key.
    """
    reader = _Reader(doc)
    return {
        key: min((doc[start:end] for start, end in mentions), key=reader.rank)
        for key, mentions in get_named_clusters(doc, prefix, words_only=True).items()
    }


def resolve_text(
    doc: Doc,
    *,
    kinds: Iterable[str] = (PRONOUN,),
    filter: Callable[[Span, Span], bool] | None = None,
    render: Callable[[Span, str], str] | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> str:
    """The text with pronouns replaced by the representative mention of their entity.
    Entities that have only pronouns are left alone, and so is whitespace. Of mentions in
    one another the outer one is replaced; inside the text that is put in, pronouns are
    replaced as well.

    doc (Doc): The Doc.
    kinds (Iterable[str]): What to replace, of "name", "noun" and "pronoun".
    filter (Optional[Callable[[Span, Span], bool]]): Given a mention and the representative,
        whether to replace it; all by default.
    render (Optional[Callable[[Span, str], str]]): Given a mention and the text to put in
        its place, what to put there, e.g. with "'s" after it for a possessive pronoun.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (str): The resolved text.
    """
    wanted, reader = _check_kinds(kinds), _Reader(doc)
    found: list[tuple[int, int, Span]] = []
    for mentions in get_named_clusters(doc, prefix, words_only=True).values():
        spans = [doc[start:end] for start, end in mentions]
        best = min(spans, key=reader.rank)
        if reader.kind(best) == PRONOUN:
            continue
        for span in spans:
            apart = span.end <= best.start or best.end <= span.start
            if (
                not apart
                or span.text.split() == best.text.split()
                or reader.kind(span) not in wanted
            ):
                continue
            if filter is None or filter(span, best):
                # the longest of those that start together comes first
                found.append((span.start, -span.end, best))
    found.sort(key=lambda replaced: replaced[:2])

    def text_of(start: int, end: int, outer: set[Mention]) -> str:
        parts: list[str] = []
        at = start
        for place in range(bisect_left(found, (start,)), len(found)):
            first, negative_end, best = found[place]
            last = -negative_end
            if first >= end:
                break
            inner = (best.start, best.end)
            if first < at or last > end or inner in outer or len(outer) > MAX_NESTING:
                continue
            text = text_of(*inner, outer | {inner}).rstrip()
            mention = doc[first:last]
            parts.append(doc[at:first].text_with_ws if first > at else "")
            parts.append(text if render is None else render(mention, text))
            parts.append(mention[-1].whitespace_)
            at = last
        parts.append(doc[at:end].text_with_ws if end > at else "")
        return "".join(parts)

    return text_of(0, len(doc), set())


class _Reader:
    """Tells mentions of a Doc apart; what it needs to know of the Doc is found out once."""

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.has_pos, self.has_dep = doc.has_annotation("POS"), doc.has_annotation("DEP")

    @cached_property
    def has_stops(self) -> bool:
        return any(token.is_stop for token in self.doc)

    @cached_property
    def lower(self) -> set[str]:
        """Words that the Doc has in lower case."""
        return {token.text for token in self.doc if token.text[:1].islower()}

    def kind(self, span: Span) -> str:
        if self.has_pos:
            pos = self._head(span).pos_
            return NAME if pos == "PROPN" else PRONOUN if pos in ("PRON", "DET") else NOUN
        words = [token for token in span if _is_word(token)]
        if len(words) == 1 and self._is_pronoun(words[0]):
            return PRONOUN
        content = [token for token in words if self._is_content(token)]
        capitals = sum(self._is_capital(token) for token in content)
        return NAME if 2 * capitals > len(content) else NOUN

    def rank(self, span: Span) -> tuple[int, int, int, int, int]:
        """Least for the most specific mention."""
        kind = self.kind(span)
        order, size = KINDS.index(kind), len(_words(span))
        if kind == PRONOUN:
            return order, 0, 0, 0, span.start
        strong = [token.i for token in span if self._is_strong(token, kind)]
        if size > SHORT_MENTION or not strong or strong[-1] != span.end - 1:
            return order, 1, size, 0, span.start
        # "the old man" rather than "man", but "Smith" rather than "poor Smith"
        return order, 0, -len(strong), size if kind == NAME else -size, span.start

    def _head(self, span: Span) -> Token:
        """Without a parse, the last of the first nouns in a row, unless a particle makes a
        possessor of it, as in "Anna 's hat"."""
        if self.has_dep:
            return span.root
        words = _words(span)
        nominal = [at for at, token in enumerate(words) if token.pos_ in ("NOUN", "PROPN")]
        for at in nominal:
            if at + 1 == len(words) or words[at + 1].pos_ not in ("NOUN", "PROPN", "PART"):
                return words[at]
        if nominal:
            return words[nominal[-1]]
        return next((token for token in words if token.pos_ == "PRON"), words[-1])

    def _is_strong(self, token: Token, kind: str) -> bool:
        if self.has_pos:
            return token.pos_ == "PROPN" or (kind == NOUN and token.pos_ == "NOUN")
        return self._is_capital(token) if kind == NAME else self._is_content(token)

    def _is_pronoun(self, token: Token) -> bool:
        n_letters = len(token.text)
        if n_letters == 1:
            return True
        if self.has_stops:
            return _is_stop(token)
        return n_letters <= SHORT_WORD and not self._is_capital(token)

    def _is_content(self, token: Token) -> bool:
        if not _is_word(token):
            return False
        if self.has_stops:
            return not _is_stop(token)
        return len(token.text) >= SHORT_WORD or not token.text.islower()

    def _is_capital(self, token: Token) -> bool:
        """Not so if it may be for the sentence that starts there."""
        if not token.text[:1].isupper():
            return False
        place, starts = token.i, bool(token.is_sent_start)
        while place and self.doc[place - 1].text.isspace():
            place -= 1
            starts = starts or bool(self.doc[place].is_sent_start)
        before = self.doc[place - 1] if place else None
        starts = starts or before is None
        if before is not None and not _is_word(before) and before.text not in (",", ";"):
            starts = True
        return not starts or token.text.lower() not in self.lower


def _words(span: Span) -> list[Token]:
    # mentions may be given by hand, with nothing but whitespace
    return [token for token in span if not token.text.isspace()] or list(span)


def _is_word(token: Token) -> bool:
    # not by the attributes of the lexeme, which a vocab without a language does not have
    return any(char.isalnum() for char in token.text)


def _is_stop(token: Token) -> bool:
    # "us", not "US"
    return token.is_stop and not (token.text.isupper() and len(token.text) > 1)


def _entities_within(doc: Doc, start: int, end: int, prefix: str) -> list[list[str]]:
    found: list[list[tuple[int, int, str]]] = [[] for _ in range(start, end)]
    for number, key in enumerate(cluster_keys(doc, prefix)):
        for span in doc.spans[key]:
            size = sum(not token.text.isspace() for token in span)
            for place in range(max(span.start, start), min(span.end, end)):
                found[place - start].append((size, number, key))
    # an entity may have one mention in another
    return [list(dict.fromkeys(key for _, _, key in sorted(keys))) for keys in found]


def _check_kinds(kinds: Iterable[str]) -> set[str]:
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)
    unknown = wanted.difference(KINDS)
    if unknown:
        raise ValueError(
            f"Unknown kinds of mentions: {sorted(unknown)}. Choose from {', '.join(KINDS)}."
        )
    return wanted
