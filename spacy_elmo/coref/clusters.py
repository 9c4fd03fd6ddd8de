"""Entities on Docs: one span group each, under the keys `<prefix>_1`, `<prefix>_2`, ...

Owns how entities are written to `doc.spans`, read back, cut with a Doc and joined with
several. It knows nothing of models, scores or what kind of mention a span is.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from spacy.tokens import Doc, Span

from ..text.words import word_tokens

Mention = tuple[int, int]
"""First token, and the token after the last one."""
Clusters = list[list[Mention]]
"""The mentions of each entity."""

DEFAULT_PREFIX = "coref_clusters"


def cluster_keys(doc: Doc, prefix: str = DEFAULT_PREFIX) -> list[str]:
    """The span groups that are entities.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (List[str]): Their keys in `doc.spans`, by number.
    """
    pattern = re.compile(re.escape(prefix) + "_([0-9]+)")
    found = [(match, key) for key in doc.spans if (match := pattern.fullmatch(key))]
    return [key for _, key in sorted((int(match[1]), key) for match, key in found)]


def is_annotated(doc: Doc, prefix: str = DEFAULT_PREFIX) -> bool:
    """Whether it is known what the entities of a Doc are, be it that there are none.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    RETURNS (bool): Whether it has a span group of that name, which may be empty.
    """
    return bool(cluster_keys(doc, prefix))


def mark_annotated(doc: Doc, prefix: str = DEFAULT_PREFIX) -> None:
    """Say of a Doc without entities that it has none, by an empty span group: a Doc
    without any group is neither trained on nor scored.

    doc (Doc): The Doc; nothing happens if it is annotated.
    prefix (str): Entities are `<prefix>_<number>`.
    """
    if not is_annotated(doc, prefix):
        doc.spans[f"{prefix}_1"] = []


def get_mentions(doc: Doc, key: str) -> list[Mention]:
    """The mentions of one entity, without whitespace tokens at their ends.

    doc (Doc): The Doc.
    key (str): Key of the entity in `doc.spans`.
    RETURNS (List[Mention]): Those that have words, in the order of the span group; none where
        there is no such group.
    """
    spans = doc.spans.get(key, ())
    return _without_edges(spans, word_tokens(doc), len(doc))


def get_named_clusters(
    doc: Doc, prefix: str = DEFAULT_PREFIX, *, words_only: bool = False
) -> dict[str, list[Mention]]:
    """The entities with their keys, fit to compute with: no mention is empty, in two
    entities or twice in one. One that two entities share belongs to the first.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    words_only (bool): Whether mentions lose whitespace tokens at their ends. Those of nothing
        else are left out.
    RETURNS (Dict[str, List[Mention]]): The mentions of each entity in the order of the
        text. Entities without any are left out.
    """
    named: dict[str, list[Mention]] = {}
    taken: set[Mention] = set()
    words = word_tokens(doc) if words_only else np.arange(len(doc))
    for key in cluster_keys(doc, prefix):
        mentions = set(_without_edges(doc.spans[key], words, len(doc))) - taken
        if mentions:
            named[key] = sorted(mentions)
            taken |= mentions
    return named


def get_clusters(doc: Doc, prefix: str = DEFAULT_PREFIX, *, words_only: bool = False) -> Clusters:
    """The entities as `get_named_clusters` reads them, without their keys.

    doc (Doc): The Doc.
    prefix (str): Entities are `<prefix>_<number>`.
    words_only (bool): Whether mentions lose whitespace tokens at their ends.
    RETURNS (Clusters): The mentions of each entity in the order of the text.
    """
    return list(get_named_clusters(doc, prefix, words_only=words_only).values())


def set_clusters(
    doc: Doc, clusters: Iterable[Iterable[Mention]], prefix: str = DEFAULT_PREFIX
) -> None:
    """Write entities in place of those that are there. Other span groups stay. Without
    entities nothing is written: `mark_annotated` says that there are none.

    doc (Doc): The Doc.
    clusters (Iterable[Iterable[Mention]]): The mentions of each entity, in any order. A
        mention that occurs twice counts where it comes first.
    prefix (str): Entities become `<prefix>_<number>`, numbered from 1 in the order of
        their first mentions.
    """
    ordered = _in_order(clusters, len(doc))
    for key in cluster_keys(doc, prefix):
        del doc.spans[key]
    for number, mentions in enumerate(ordered, start=1):
        doc.spans[f"{prefix}_{number}"] = [Span(doc, start, end) for start, end in mentions]


def cut_clusters(clusters: Clusters, start: int, end: int) -> Clusters:
    """The mentions that lie wholly in a stretch of tokens, counted from its start.

    clusters (Clusters): The mentions of each entity.
    start, end (int): First token of the stretch, and the token after its last one.
    RETURNS (Clusters): Of each entity that has any.
    """
    cut = [
        [(s - start, e - start) for s, e in mentions if start <= s and e <= end]
        for mentions in clusters
    ]
    return [mentions for mentions in cut if mentions]


def cut_doc(doc: Doc, start: int, end: int, prefix: str = DEFAULT_PREFIX) -> Doc:
    """A part of a Doc with its entities, which `Span.as_doc` would lose. Mentions that are
    not wholly in the part are left out, and so are spans of other span groups.

    doc (Doc): The Doc.
    start, end (int): First token of the part, and the token after its last one.
    prefix (str): Entities are `<prefix>_<number>`. They are numbered anew.
    RETURNS (Doc): The part.
    """
    if not 0 <= start <= end <= len(doc):
        raise ValueError(
            f"Cannot cut tokens {start} to {end} out of a Doc of {len(doc)} tokens: give a first "
            f"token and an end with 0 <= start <= end <= {len(doc)}."
        )
    part = doc[start:end].as_doc() if start < end else Doc(doc.vocab)
    part.has_unknown_spaces = doc.has_unknown_spaces
    # of the document; keys of extensions are tuples, with places of tokens in them
    part.user_data.update((k, v) for k, v in doc.user_data.items() if isinstance(k, str))
    entities = set(cluster_keys(doc, prefix))
    for key in doc.spans:
        if key not in entities:
            inside = [span for span in doc.spans[key] if start <= span.start and span.end <= end]
            part.spans[key] = [_moved(span, part, -start) for span in inside]
    set_clusters(part, cut_clusters(get_clusters(doc, prefix), start, end), prefix)
    if entities:
        mark_annotated(part, prefix)
    return part


def join_docs(docs: Sequence[Doc], prefix: str = DEFAULT_PREFIX) -> Doc:
    """One Doc of several, as `Doc.from_docs` makes it, except that entities of different
    Docs stay different. The whole counts as annotated if it has entities, and else if each
    of the Docs is: to train on it, leave out Docs that are not.

    docs (Sequence[Doc]): The Docs, at least one, of one vocab.
    prefix (str): Entities are `<prefix>_<number>`. They are numbered anew.
    RETURNS (Doc): The whole.
    """
    docs = list(docs)
    if not docs:
        raise ValueError("There are no Docs to join: give at least one.")
    whole = Doc.from_docs(docs, exclude=["spans"])  # type: ignore[call-arg]
    whole.has_unknown_spaces = any(doc.has_unknown_spaces for doc in docs)
    groups: dict[str, list[Span]] = {}
    clusters: Clusters = []
    offset = 0
    for doc in docs:
        entities = set(cluster_keys(doc, prefix))
        for key in doc.spans:
            if key not in entities:
                moved = (_moved(span, whole, offset) for span in doc.spans[key])
                groups.setdefault(key, []).extend(moved)
        for mentions in get_clusters(doc, prefix):
            clusters.append([(start + offset, end + offset) for start, end in mentions])
        offset += len(doc)
    for key, spans in groups.items():
        whole.spans[key] = spans
    set_clusters(whole, clusters, prefix)
    if all(is_annotated(doc, prefix) for doc in docs):
        mark_annotated(whole, prefix)
    return whole


def _without_edges(spans: Iterable[Span], words: np.ndarray, n_tokens: int) -> list[Mention]:
    """The spans that have words, from the first to the last one.

    spans (Iterable[Span]): The spans.
    words (ndarray): Positions of the words of the Doc, int64 [n_words].
    n_tokens (int): Tokens of the Doc.
    """
    mentions = [(span.start, span.end) for span in spans if span.start < span.end]
    if len(words) == n_tokens or not mentions:
        return mentions
    # places among the words: the first one from the start on, and the first one after the end
    first, after = np.searchsorted(words, np.array(mentions).T)
    kept = first < after
    return list(zip(words[first[kept]].tolist(), (words[after[kept] - 1] + 1).tolist()))


def _in_order(clusters: Iterable[Iterable[Mention]], n_tokens: int) -> Clusters:
    """Mentions and entities in the order of the text, each mention once."""
    ordered: Clusters = []
    taken: set[Mention] = set()
    for given in clusters:
        mentions = {(int(start), int(end)) for start, end in given} - taken
        for start, end in mentions:
            if not 0 <= start < end <= n_tokens:
                raise ValueError(
                    f"A mention from token {start} to {end} does not fit a Doc of {n_tokens} "
                    f"tokens. Give its first token and the token after its last one, with "
                    f"0 <= start < end <= {n_tokens}."
                )
        if mentions:
            ordered.append(sorted(mentions))
            taken |= mentions
    return sorted(ordered)


def _moved(span: Span, doc: Doc, shift: int) -> Span:
    start, end = span.start + shift, span.end + shift
    return Span(doc, start, end, label=span.label, kb_id=span.kb_id, span_id=span.id)
