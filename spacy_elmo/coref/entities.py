"""Functions on the clusters of a Doc: representative mentions, text with resolved pronouns, the
entities of each token, and filtering of mentions by kind.

An entity is represented by its cluster of mentions, and identified by the cluster's key in
`doc.spans`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable

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
from .mention_kinds import KINDS, PRONOUN, MentionClassifier

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

MAX_NESTING = 4  # maximum depth of replaced mentions inside inserted text


def mention_kind(span: Span) -> str:
    """Return whether a mention is a name, a noun or a pronoun.

    span (Span): The mention. Its kind is determined from the part-of-speech tags and the parse of
        the Doc. Without tags, it is guessed from capital letters and the stop words of the
        language.
    RETURNS (str): "name", "noun" or "pronoun". All other mentions are "noun".
    """
    return MentionClassifier(span.doc).kind(span)


def filter_clusters(
    doc: Doc, kinds: Iterable[str], prefix: str = DEFAULT_PREFIX
) -> dict[str, list[Mention]]:
    """Return the mentions of the given kinds. To remove all other mentions from a Doc, call
    `set_clusters(doc, filter_clusters(doc, kinds).values())`.

    doc (Doc): The Doc.
    kinds (Iterable[str]): Kinds of mentions: "name", "noun", "pronoun".
    prefix (str): Prefix of the keys of clusters.
    RETURNS (Dict[str, List[Mention]]): The mentions of each entity, in the order of the text, by
        the entity's key. Entities without such mentions are left out.
    RAISES (ValueError): If a kind is unknown.
    """
    wanted, classifier = _check_kinds(kinds), MentionClassifier(doc)
    filtered: dict[str, list[Mention]] = {}
    for key, cluster in get_named_clusters(doc, prefix, words_only=True).items():
        mentions = [
            (start, end) for start, end in cluster if classifier.kind(doc[start:end]) in wanted
        ]
        if mentions:
            filtered[key] = mentions
    return filtered


def entities_of(token: Token, prefix: str = DEFAULT_PREFIX) -> list[str]:
    """Return the entities whose mentions contain a token.

    token (Token): The token. For all tokens of a Doc, `entities_by_token` is faster.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (List[str]): Keys of the entities in `doc.spans`, the one with the shortest mention
        first.
    """
    return _entities_within(token.doc, token.i, token.i + 1, prefix)[0]


def entities_by_token(doc: Doc, prefix: str = DEFAULT_PREFIX) -> list[list[str]]:
    """Return the entities whose mentions contain each token.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (List[List[str]]): The result of `entities_of` for each token.
    """
    return _entities_within(doc, 0, len(doc), prefix)


def representative(doc: Doc, key: str) -> Span:
    """Return the most specific mention of an entity: a name, else a noun, else a pronoun. Full
    names and noun phrases are preferred, but not long descriptions.

    doc (Doc): The Doc.
    key (str): Key of the entity in `doc.spans`.
    RETURNS (Span): The mention.
    RAISES (ValueError): If there is no such entity, or it has no mention.
    """
    mentions = [doc[start:end] for start, end in get_mentions(doc, key)]
    if not mentions:
        raise ValueError(
            f"The Doc has no entity {key!r} with a mention. `cluster_keys(doc)` returns the keys "
            f"of its entities; run the component 'coref' first if there are none."
        )
    return min(mentions, key=MentionClassifier(doc).rank)


def representatives(doc: Doc, prefix: str = DEFAULT_PREFIX) -> dict[str, Span]:
    """Return the representative mention of each entity. This is faster than calling
    `representative` for each entity.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (Dict[str, Span]): The mention of each entity that has any, by the entity's key.
    """
    classifier = MentionClassifier(doc)
    return {
        key: min((doc[start:end] for start, end in mentions), key=classifier.rank)
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
    """Return the text with pronouns replaced by the representative mentions of their entities.

    Entities whose mentions are all pronouns are not resolved. Whitespace is preserved. Of nested
    mentions, the outer one is replaced; pronouns in the inserted text are replaced as well.

    doc (Doc): The Doc.
    kinds (Iterable[str]): Kinds of mentions to replace: "name", "noun", "pronoun".
    filter (Optional[Callable[[Span, Span], bool]]): Called with a mention and the representative;
        returns whether to replace the mention. If None, all are replaced.
    render (Optional[Callable[[Span, str], str]]): Called with a mention and the text that replaces
        it; returns the text to insert, for example with "'s" appended for a possessive pronoun.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (str): The resolved text.
    RAISES (ValueError): If a kind is unknown.
    """
    replacements = _find_replacements(doc, _check_kinds(kinds), filter, prefix)

    def text_of(start: int, end: int, outer: set[Mention]) -> str:
        texts: list[str] = []
        position = start
        for index in range(bisect_left(replacements, (start,)), len(replacements)):
            first, negative_end, best = replacements[index]
            last = -negative_end
            if first >= end:
                break
            inner = (best.start, best.end)
            if first < position or last > end or inner in outer or len(outer) > MAX_NESTING:
                continue
            text = text_of(*inner, outer | {inner}).rstrip()
            mention = doc[first:last]
            texts.append(doc[position:first].text_with_ws if first > position else "")
            texts.append(text if render is None else render(mention, text))
            texts.append(mention[-1].whitespace_)
            position = last
        texts.append(doc[position:end].text_with_ws if end > position else "")
        return "".join(texts)

    return text_of(0, len(doc), set())


def _find_replacements(
    doc: Doc, kinds: set[str], filter: Callable[[Span, Span], bool] | None, prefix: str
) -> list[tuple[int, int, Span]]:
    """Find the mentions to replace.

    doc, filter, prefix: See `resolve_text`.
    kinds (Set[str]): Kinds of mentions to replace.
    RETURNS (List[Tuple[int, int, Span]]): First token of each mention, the negative of the token
        after its last one, and the representative; in the order of the text. Of mentions that
        start together, the longest is first.
    """
    classifier = MentionClassifier(doc)
    replacements: list[tuple[int, int, Span]] = []
    for mentions in get_named_clusters(doc, prefix, words_only=True).values():
        spans = [doc[start:end] for start, end in mentions]
        best = min(spans, key=classifier.rank)
        if classifier.kind(best) == PRONOUN:
            continue
        for span in spans:
            overlaps = span.start < best.end and best.start < span.end
            is_same = span.text.split() == best.text.split()
            if overlaps or is_same or classifier.kind(span) not in kinds:
                continue
            if filter is None or filter(span, best):
                replacements.append((span.start, -span.end, best))
    replacements.sort(key=lambda replacement: replacement[:2])
    return replacements


def _entities_within(doc: Doc, start: int, end: int, prefix: str) -> list[list[str]]:
    """RETURNS (List[List[str]]): The entities of each token from `start` to `end`."""
    found: list[list[tuple[int, int, str]]] = [[] for _ in range(start, end)]
    for number, key in enumerate(cluster_keys(doc, prefix)):
        for span in doc.spans[key]:
            size = sum(not token.text.isspace() for token in span)
            for position in range(max(span.start, start), min(span.end, end)):
                found[position - start].append((size, number, key))
    # nested mentions may belong to the same entity
    return [list(dict.fromkeys(key for _, _, key in sorted(keys))) for keys in found]


def _check_kinds(kinds: Iterable[str]) -> set[str]:
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)
    unknown = wanted.difference(KINDS)
    if unknown:
        raise ValueError(
            f"Unknown kinds of mentions: {sorted(unknown)}. Choose from {', '.join(KINDS)}."
        )
    return wanted
