"""Functions that read and write clusters in `doc.spans`, and that cut and join Docs with clusters.

A cluster contains the mentions of one entity. It is stored as a span group under the key
`<prefix>_1`, `<prefix>_2`, ...
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from spacy.tokens import Doc, Span

from ..text.words import trim_spans, word_tokens

Mention = tuple[int, int]
"""First token of a mention, and the token after its last one."""
Clusters = list[list[Mention]]
"""The mentions of each cluster."""

DEFAULT_PREFIX = "coref_clusters"


def cluster_keys(doc: Doc, prefix: str = DEFAULT_PREFIX) -> list[str]:
    """Return the keys of the clusters of a Doc.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys: `<prefix>_<number>`.
    RETURNS (List[str]): Keys of `doc.spans`, sorted by number.
    """
    pattern = re.compile(re.escape(prefix) + "_([0-9]+)")
    found = [(match, key) for key in doc.spans if (match := pattern.fullmatch(key))]
    return [key for _, key in sorted((int(match[1]), key) for match, key in found)]


def is_annotated(doc: Doc, prefix: str = DEFAULT_PREFIX) -> bool:
    """Return whether a Doc is annotated for coreference. A Doc without clusters can be marked as
    annotated, see `mark_annotated`.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (bool): Whether the Doc has a span group with such a key, which may be empty.
    """
    return bool(cluster_keys(doc, prefix))


def mark_annotated(doc: Doc, prefix: str = DEFAULT_PREFIX) -> None:
    """Mark a Doc without clusters as annotated, by adding an empty span group. A Doc without any
    group is neither trained on nor scored.

    doc (Doc): The Doc. It is not changed if it is annotated.
    prefix (str): Prefix of the keys of clusters.
    """
    if not is_annotated(doc, prefix):
        doc.spans[f"{prefix}_1"] = []


def get_mentions(doc: Doc, key: str) -> list[Mention]:
    """Return the mentions of one cluster, without whitespace tokens at their ends.

    doc (Doc): The Doc.
    key (str): Key of the cluster in `doc.spans`.
    RETURNS (List[Mention]): The mentions that contain words, in the order of the span group; empty
        if there is no such group.
    """
    spans = doc.spans.get(key, ())
    return _without_edges(spans, word_tokens(doc), len(doc))


def get_named_clusters(
    doc: Doc, prefix: str = DEFAULT_PREFIX, *, words_only: bool = False
) -> dict[str, list[Mention]]:
    """Return the clusters by their keys, as a partition of their mentions. Empty and repeated
    mentions are removed, and a mention that two clusters contain is assigned to the first.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys of clusters.
    words_only (bool): Whether to remove whitespace tokens from the ends of mentions. Mentions
        without words are then left out.
    RETURNS (Dict[str, List[Mention]]): The mentions of each cluster, in the order of the text.
        Empty clusters are left out.
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
    """Return the clusters without their keys; see `get_named_clusters`.

    doc (Doc): The Doc.
    prefix (str): Prefix of the keys of clusters.
    words_only (bool): Whether to remove whitespace tokens from the ends of mentions.
    RETURNS (Clusters): The mentions of each cluster, in the order of the text.
    """
    return list(get_named_clusters(doc, prefix, words_only=words_only).values())


def set_clusters(
    doc: Doc, clusters: Iterable[Iterable[Mention]], prefix: str = DEFAULT_PREFIX
) -> None:
    """Replace the clusters of a Doc. Other span groups are not changed. If `clusters` is empty, the
    Doc counts as not annotated; call `mark_annotated` to mark it.

    doc (Doc): The Doc.
    clusters (Iterable[Iterable[Mention]]): The mentions of each cluster, in any order. A repeated
        mention is assigned to the first cluster that has it.
    prefix (str): Prefix of the keys. Clusters are numbered from 1 in the order of their first
        mentions.
    RAISES (ValueError): If a mention is empty or not within the Doc. The Doc is not changed.
    """
    ordered = _in_order(clusters, len(doc))
    for key in cluster_keys(doc, prefix):
        del doc.spans[key]
    for number, mentions in enumerate(ordered, start=1):
        doc.spans[f"{prefix}_{number}"] = [Span(doc, start, end) for start, end in mentions]


def cut_clusters(clusters: Clusters, start: int, end: int) -> Clusters:
    """Return the mentions within a slice of a Doc.

    clusters (Clusters): The clusters of the Doc.
    start, end (int): First token of the slice, and the token after its last one.
    RETURNS (Clusters): The mentions that the slice contains completely, as tokens of the slice.
        Empty clusters are left out.
    """
    cut = [
        [(s - start, e - start) for s, e in mentions if start <= s and e <= end]
        for mentions in clusters
    ]
    return [mentions for mentions in cut if mentions]


def cut_doc(doc: Doc, start: int, end: int, prefix: str = DEFAULT_PREFIX) -> Doc:
    """Return a slice of a Doc with its clusters, which `Span.as_doc` loses. Mentions and other
    spans that the slice does not contain completely are left out.

    doc (Doc): The Doc.
    start, end (int): First token of the slice, and the token after its last one.
    prefix (str): Prefix of the keys of clusters, which are renumbered.
    RETURNS (Doc): The slice.
    RAISES (ValueError): If the slice is not within the Doc.
    """
    if not 0 <= start <= end <= len(doc):
        raise ValueError(
            f"Cannot cut tokens {start} to {end} out of a Doc of {len(doc)} tokens: give a first "
            f"token and an end with 0 <= start <= end <= {len(doc)}."
        )
    cut = doc[start:end].as_doc() if start < end else Doc(doc.vocab)
    cut.has_unknown_spaces = doc.has_unknown_spaces
    # metadata of the document; keys of extension attributes are tuples with token offsets
    cut.user_data.update((k, v) for k, v in doc.user_data.items() if isinstance(k, str))
    keys = set(cluster_keys(doc, prefix))
    for key in doc.spans:
        if key not in keys:
            inside = [span for span in doc.spans[key] if start <= span.start and span.end <= end]
            cut.spans[key] = [_moved(span, cut, -start) for span in inside]
    set_clusters(cut, cut_clusters(get_clusters(doc, prefix), start, end), prefix)
    if keys:
        mark_annotated(cut, prefix)
    return cut


def join_docs(docs: Sequence[Doc], prefix: str = DEFAULT_PREFIX) -> Doc:
    """Concatenate Docs as `Doc.from_docs` does, but keep the clusters of different Docs separate.

    The result is annotated if it has clusters, or if all Docs are annotated. To train on it, join
    only annotated Docs.

    docs (Sequence[Doc]): The Docs, at least one, with the same vocab.
    prefix (str): Prefix of the keys of clusters, which are renumbered.
    RETURNS (Doc): The concatenated Docs.
    RAISES (ValueError): If there are no Docs.
    """
    docs = list(docs)
    if not docs:
        raise ValueError("There are no Docs to join: give at least one.")
    joined = Doc.from_docs(docs, exclude=["spans"])  # type: ignore[call-arg]
    joined.has_unknown_spaces = any(doc.has_unknown_spaces for doc in docs)
    groups: dict[str, list[Span]] = {}
    clusters: Clusters = []
    offset = 0
    for doc in docs:
        keys = set(cluster_keys(doc, prefix))
        for key in doc.spans:
            if key not in keys:
                moved = (_moved(span, joined, offset) for span in doc.spans[key])
                groups.setdefault(key, []).extend(moved)
        for mentions in get_clusters(doc, prefix):
            clusters.append([(start + offset, end + offset) for start, end in mentions])
        offset += len(doc)
    for key, spans in groups.items():
        joined.spans[key] = spans
    set_clusters(joined, clusters, prefix)
    if all(is_annotated(doc, prefix) for doc in docs):
        mark_annotated(joined, prefix)
    return joined


def _without_edges(spans: Iterable[Span], words: np.ndarray, n_tokens: int) -> list[Mention]:
    """Remove tokens that are not words from the ends of spans. Spans without words are left out.

    spans (Iterable[Span]): The spans.
    words (ndarray): The words of the Doc, as indices of its tokens, int64 [n_words].
    n_tokens (int): Tokens of the Doc.
    RETURNS (List[Mention]): The spans as mentions.
    """
    mentions = [(span.start, span.end) for span in spans if span.start < span.end]
    if len(words) == n_tokens or not mentions:
        return mentions
    trimmed = trim_spans(np.array(mentions), words).tolist()
    return [(start, end) for start, end in trimmed if start < end]


def _in_order(clusters: Iterable[Iterable[Mention]], n_tokens: int) -> Clusters:
    """Sort mentions and clusters in the order of the text, and remove repeated mentions.

    RAISES (ValueError): If a mention is empty or not within the Doc.
    """
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
    """RETURNS (Span): A span of another Doc, shifted by a number of tokens."""
    start, end = span.start + shift, span.end + shift
    return Span(doc, start, end, label=span.label, kb_id=span.kb_id, span_id=span.id)
