"""Random documents whose mentions nest and cross, for the tests of formats."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from spacy_elmo.coref.clusters import Clusters, Mention
from spacy_elmo.coref.formats import CorefDocument

# words with a special meaning in one of the formats
ODD = ["(7", "7)", "(7)|(8", "#begin", "#", "-", "_", "|", '"', "\\n", "a\u00a0b", "\u2028", "日本"]
LETTERS = st.characters(exclude_categories=["C", "Zs"])
# the two excluded words are escapes, which the CoNLL reader changes
WORDS = (st.sampled_from(ODD) | st.text(LETTERS, min_size=1)).filter(
    lambda word: word not in ("/.", "/?")
)
NAMES = st.sampled_from(["", "book", "nw/a/b_1", "a (b)", "(c)", "d; part 7", "-"])
SPEAKERS = st.sampled_from(["", "Anna", "Speaker#1", "O'Neill"])


def crosses(a: Mention, b: Mention) -> bool:
    first, second = sorted([a, b])
    return first[0] < second[0] < first[1] < second[1]


def no_crossing(cluster: list[Mention]) -> bool:
    return not any(crosses(a, b) for a in cluster for b in cluster)


def anything(cluster: list[Mention]) -> bool:
    return True


@st.composite
def documents(
    draw: Any,
    words: "st.SearchStrategy[str]" = WORDS,
    allowed: Callable[[list[Mention]], bool] = anything,
) -> CorefDocument:
    """Generate documents.

    words (SearchStrategy[str]): Generates the words.
    allowed (Callable[[List[Mention]], bool]): Whether an entity may have these mentions. A mention
        that its entity may not have is assigned to a new entity.
    """
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    n_words = sum(lengths)
    first = st.integers(0, n_words - 1)
    mention = first.flatmap(lambda i: st.tuples(st.just(i), st.integers(i + 1, n_words)))
    clusters: Clusters = []
    for found in draw(st.lists(mention, unique=True, max_size=20)):
        i = draw(st.integers(0, len(clusters)))
        if i < len(clusters) and allowed([*clusters[i], found]):
            clusters[i].append(found)
        else:
            clusters.append([found])
    return CorefDocument(
        words=draw(st.lists(words, min_size=n_words, max_size=n_words)),
        clusters=sorted(sorted(cluster) for cluster in clusters),
        sent_starts=[i == 0 for length in lengths for i in range(length)],
        speakers=draw(st.lists(SPEAKERS, min_size=n_words, max_size=n_words)),
        name=draw(NAMES),
        part=draw(st.sampled_from(["000", "0", "012", "b"])),
    )
