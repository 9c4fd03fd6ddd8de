import re
from html.parser import HTMLParser

import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import Clusters, set_clusters
from spacy_elmo.coref.page import page_parts, render_page

VOCAB = spacy.blank("en").vocab
WORDS = ["Anna", "saw", "the", "dog", "of", "her", "friend", "there"]


def make_doc(clusters: Clusters, words: list[str] = WORDS) -> Doc:
    doc = Doc(VOCAB, words=words)
    set_clusters(doc, clusters)
    return doc


class Page(HTMLParser):
    """Parses a page: its text, and for each entity the characters inside its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.anchors = "", []  # type: str, List[str]
        self.covered: dict[str, set[int]] = {}
        self.styles: dict[str, set[str]] = {}
        self.feed(page)
        self.close()
        assert self.tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            return
        named = dict(attrs)
        self.tags.append((tag, named))
        if named.get("id"):
            self.anchors.append(str(named["id"]))
        if named.get("data-entity"):
            hue = str(named["style"]).split(";")[0]
            self.styles.setdefault(str(named["data-entity"]), set()).add(hue)

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        open_tags = [tag for tag, _ in self.tags]
        inside = [attrs for tag, attrs in self.tags if attrs.get("class") == "text"]
        if not inside or "sub" in open_tags:
            return
        for _, attrs in self.tags:
            if attrs.get("data-entity"):
                places = self.covered.setdefault(str(attrs["data-entity"]), set())
                places.update(range(len(self.text), len(self.text) + len(data)))
        self.text += data


def characters(doc: Doc, clusters: Clusters) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for number, mentions in enumerate(clusters, start=1):
        for start, end in mentions:
            span = doc[start:end]
            found.setdefault(f"d1e{number}", set()).update(range(span.start_char, span.end_char))
    return found


def test_nested_and_crossing_mentions() -> None:
    clusters = [[(0, 1), (5, 6)], [(2, 6)], [(4, 8)]]
    doc = make_doc(clusters)
    page = Page(render_page([doc]))
    assert page.text == doc.text
    assert page.covered == characters(doc, clusters)


mention = st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda m: m[0] < m[1])


@given(st.lists(st.lists(mention, min_size=1, max_size=4), max_size=5))
def test_any_entities(clusters: Clusters) -> None:
    doc = make_doc(clusters)
    page = Page(render_page([doc]))
    kept = [[(s.start, s.end) for s in spans] for spans in doc.spans.values()]
    assert page.text == doc.text
    assert page.covered == characters(doc, kept)
    # the list of entities links to the first mention of each
    assert sorted(page.anchors) == sorted(f"d1e{n + 1}" for n in range(len(kept)))


def test_entities_have_different_colors() -> None:
    clusters = [[(i, i + 1)] for i in range(400)]
    page = Page(render_page([make_doc(clusters, ["word"] * 400)]))
    assert all(len(hues) == 1 for hues in page.styles.values())
    assert len({hue for hues in page.styles.values() for hue in hues}) == 400


def test_nested_mentions_are_underlined_closer_to_the_text() -> None:
    page = render_page([make_doc([[(2, 7)], [(5, 7)], [(5, 6)], [(0, 1)]])])
    lanes = dict(re.findall(r'id="d1e(\d)" style="[^"]*--lane:(\d)"', page))
    # numbered in the order of the text
    assert lanes == {"1": "0", "2": "2", "3": "0", "4": "1"}


def test_text_is_escaped() -> None:
    words = ["<script>", "&amp;", '"', "'", "x>y", "\n", "<b"]
    doc = make_doc([[(0, 2)], [(4, 7)]], words)
    doc.user_data["document_id"] = "<i>name</i>"
    page = render_page([doc], title="<u>&")
    assert Page(page).text == doc.text
    assert page.count("<script>") == 1  # the script of the page
    assert "<i>" not in page and "<u>" not in page and "<b" not in page.split("<body>")[1]


def test_a_page_loads_no_other_files() -> None:
    page = render_page([make_doc([[(0, 1)]])])
    assert not re.search(r"https?:|src=|@import|url\(", page)


def test_docs_without_text_or_entities() -> None:
    page = render_page([Doc(VOCAB), make_doc([])])
    assert Page(page).text == " ".join(WORDS) + " "
    assert "Document 1" in page and "Document 2" in page


def test_documents_are_numbered_and_named() -> None:
    docs = [make_doc([]) for _ in range(3)]
    docs[1].user_data["document_id"] = "a_b"
    docs[2].user_data.update(document_id="a_b", part="7")
    assert re.findall("<h2>(.*)</h2>", render_page(docs)) == [
        "Document 1",
        "Document 2: a_b",
        "Document 3: a_b, part 7",
    ]


def test_languages_of_page_and_text() -> None:
    german = Doc(spacy.blank("de").vocab, words=["Anna"])
    page = render_page([german, Doc(Vocab(), words=["Anna"])])
    assert '<html lang="en">' in page
    assert re.findall('<div class="doc" lang="(.*)">', page) == ["de", ""]


def test_a_page_is_rendered_one_doc_at_a_time() -> None:
    docs = [make_doc([[(0, 1)]]) for _ in range(3)]
    parts = list(page_parts(iter(docs)))
    assert len(parts) == 5 and "".join(parts) == render_page(docs)


def test_documents_have_separate_identifiers() -> None:
    doc = make_doc([[(0, 1), (5, 6)]])
    page = Page(render_page([doc, doc]))
    assert page.anchors == ["d1e1", "d2e1"]
