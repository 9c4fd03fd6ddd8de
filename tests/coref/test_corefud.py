import logging
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import Clusters, get_clusters
from spacy_elmo.coref.formats import CorefDocument, Dropped, read_coref
from spacy_elmo.coref.formats.corefud import read_corefud
from spacy_elmo.coref.formats.dropped import DISCONTINUOUS, EMPTY_NODES, SHARED, SHORTENED

from .partitions import documents, no_crossing

udapi_document = pytest.importorskip("udapi.core.document")

HEADER = "# global.Entity = eid-etype-head-other\n"


def row(number: str, form: str, misc: str = "_") -> str:
    head = "_" if "-" in number or "." in number else "0"
    return "\t".join([number, form, *"_" * 4, head, *"_" * 2, misc]) + "\n"


def sentence(*tokens: str) -> str:
    """Return the lines of a sentence. A token is a form, optionally followed by a space and the
    value of Entity or the MISC column. A prefix such as "3.1:" or "1-2:" is the number of the
    token."""
    lines, i = [], 0
    for token in tokens:
        form, _, misc = token.partition(" ")
        number, _, rest = form.partition(":")
        if rest:
            form = rest
        else:
            i += 1
            number = str(i)
        lines.append(row(number, form, misc if "=" in misc else f"Entity={misc}" if misc else "_"))
    return "".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corefud")


def read(tmp_path: Path, text: str, dropped: Dropped | None = None) -> list[CorefDocument]:
    path = tmp_path / "text.conllu"
    path.write_text(text, encoding="utf8")
    return list(read_corefud(path, dropped))


def entities(tmp_path: Path, *sentences: str, header: str = HEADER) -> Clusters:
    text = f"# newdoc id = d\n{header}{''.join(sentences)}"
    (document,) = read(tmp_path, text)
    return sorted(sorted(cluster) for cluster in document.clusters)


def test_documents(tmp_path: Path) -> None:
    first = sentence("Anna (e1-person-1-)", "saw", "her (e2-animal-2-(e1-person-1-)", "dog e2)")
    second = sentence("It (e2-animal-1-)", "barked SpaceAfter=No", ".")
    third = sentence("Bob (e3-person-1-)", "slept")
    text = f"# newdoc id = one\n{HEADER}# sent_id = a\n{first}{second}# newdoc id = two\n{third}"
    (tmp_path / "text.conllu").write_text(text, encoding="utf8")
    one, two = read_coref(tmp_path / "text.conllu")
    assert [sent.text.strip() for sent in one.sents] == ["Anna saw her dog", "It barked."]
    assert get_clusters(one) == [[(0, 1), (2, 3)], [(2, 4), (4, 5)]]
    # the header of the first document applies to the whole file
    assert get_clusters(two) == [[(0, 1)]]
    assert [doc.user_data for doc in (one, two)] == [{"document_id": "one"}, {"document_id": "two"}]


def test_gum(tmp_path: Path) -> None:
    header = "# global.Entity = GRP-etype-infstat-salience-centering-minspan-link-identity\n"
    said = "# meta::genre = interview\n# speaker = Bob Lee\n"
    words = sentence("I (1-person-acc:inf-sal-cf1-1-ana-)", "know", "him (2-person-giv-1-coref)")
    text = "".join(f"# newdoc id = GUM_{i}\n{header}{said}{words}" for i in range(2))
    for document in read(tmp_path, text):
        # the same number in another document is another entity
        assert document.clusters == [[(0, 1)], [(2, 3)]]
        assert document.genre == "interview"
        doc = document.to_doc(Vocab())
        assert [(span.text, span.label_) for span in doc.spans["speakers"]] == [
            ("I know him", "Bob Lee")
        ]


def test_nested_and_crossing_mentions(tmp_path: Path) -> None:
    found = entities(
        tmp_path, sentence("a (e1--3-(e2--1-", "b e2)(e1--1-)(e3--1-", "c e1)", "d e3)")
    )
    assert found == [[(0, 2)], [(0, 3), (1, 2)], [(1, 4)]]
    found = entities(tmp_path, sentence("a (e1-x-1-(e1-x-1-", "b e1)", "c e1)(e2-x-1-)"))
    assert found == [[(0, 2), (0, 3)], [(2, 3)]]


def test_discontinuous_mentions_are_counted(tmp_path: Path) -> None:
    words = sentence(
        "a (e1[1/2]-x-1-)", "b (e1-x-1-)", "c (e1[2/2]-x-1-", "d e1[2/2])", "e (e2-x-1-)"
    )
    dropped = Dropped()
    (document,) = read(tmp_path, HEADER + words, dropped)
    assert document.clusters == [[(1, 2)], [(4, 5)]]
    assert dict(dropped.rows()) == {DISCONTINUOUS: 1}


def test_empty_nodes(tmp_path: Path) -> None:
    words = sentence(
        "went (e5-x-1-)",
        "1.1:he (e1-person-1-)",  # a mention of an empty node
        "home (e1-person-1-",
        "2.1:which",
        "now e1)",  # a mention that contains an empty node
        "she (e3-x-1-(e4-x-1-)",
        "4.1:who e3)",  # without the empty node, it equals the mention of e4
        "ran",
    )
    dropped = Dropped()
    (document,) = read(tmp_path, HEADER + words, dropped)
    assert document.words == ["went", "home", "now", "she", "ran"]
    assert sorted(document.clusters) == [[(0, 1)], [(1, 3)], [(3, 4)]]
    assert dict(dropped.rows()) == {EMPTY_NODES: 2, SHORTENED: 1}


def test_parts_separated_only_by_empty_nodes_are_one_mention(tmp_path: Path) -> None:
    words = sentence("a (e1[1/2]-x-1-)", "1.1:b", "c (e1[2/2]-x-1-)")
    dropped = Dropped()
    (document,) = read(tmp_path, HEADER + words, dropped)
    assert (document.clusters, list(dropped.rows())) == ([[(0, 2)]], [])


def test_mentions_across_sentences(tmp_path: Path) -> None:
    words = [sentence("a", "b", "c (e1-x-9-", "d"), sentence("e", "f e1)(e2-x-1-)"), sentence("g")]
    assert entities(tmp_path, *words) == [[(2, 6)], [(5, 6)]]


def test_two_entities_with_one_mention(tmp_path: Path) -> None:
    dropped = Dropped()
    path = tmp_path / "text.conllu"
    path.write_text(HEADER + sentence("a (e1-x-1-)(e2-x-1-)", "b (e2-x-1-)"), encoding="utf8")
    (doc,) = read_coref(path, dropped=dropped)
    assert get_clusters(doc) == [[(0, 1)], [(1, 2)]]
    assert dict(dropped.rows()) == {SHARED: 1}


def test_links_between_entities_are_ignored(tmp_path: Path) -> None:
    words = sentence(
        "a Bridge=e9<e1:part|Entity=(e1-x-1-)|SplitAnte=e7<e1,e8<e1", "b (e1-x-1-)", "c"
    )
    assert entities(tmp_path, words) == [[(0, 1), (1, 2)]]


def test_multiword_tokens(tmp_path: Path) -> None:
    words = sentence(
        "1-2:don't SpaceAfter=No", "do", "n't (e1-x-1-)", "3-4:del", "de", "el (e2-x-1-)", "fin"
    )
    (document,) = read(tmp_path, HEADER + words)
    assert document.to_doc(Vocab()).text == "don'tde el fin "
    assert document.clusters == [[(1, 2)], [(3, 4)]]


def test_blank_lines_and_documents_without_names(tmp_path: Path) -> None:
    words = sentence("a (e1-x-1-)")
    text = f"\n\n{HEADER}{words}\n\n{words}# sent_id = 3\n# newdoc\n{words}\n# a comment\n"
    found = read(tmp_path, text)
    assert [document.words for document in found] == [["a", "a"], ["a"]]
    assert [document.clusters for document in found] == [[[(0, 1), (1, 2)]], [[(0, 1)]]]
    assert [document.name for document in found] == ["", ""]
    assert read(tmp_path, "\n\n") == []


@pytest.mark.slow
@settings(max_examples=30)  # udapi is slow
@given(documents(words=st.just("a"), allowed=no_crossing), st.data())
def test_files_written_by_udapi_are_read(
    folder: Path, expected: CorefDocument, data: st.DataObject
) -> None:
    document = udapi_document.Document()
    text = "".join(sentence(*("a" for _ in words)) for words in expected.sentences())
    document.from_conllu_string(f"# newdoc\n{text}")
    nodes = list(document.nodes)
    bounds = [(words.start, words.stop) for words in expected.sentences()]
    clusters, n_gaps = [], 0
    for cluster in expected.clusters:
        # udapi does not support mentions across sentences
        inside = [m for m in cluster if any(a <= m[0] and m[1] <= b for a, b in bounds)]
        clusters += [inside] if inside else []
        entity = document.create_coref_entity() if inside else None
        for start, end in inside:
            entity.create_mention(words=nodes[start:end])
            if end - start > 2 and data.draw(st.booleans()):
                gaps = document.create_coref_entity()
                gaps.create_mention(words=[*nodes[start : end - 2], nodes[end - 1]])
                n_gaps += 1
    path = folder / "text.conllu"
    path.write_text(document.to_conllu_string(), encoding="utf8")
    dropped = Dropped()
    (found,) = read_corefud(path, dropped)
    assert sorted(map(sorted, found.clusters)) == sorted(clusters)
    assert dropped[DISCONTINUOUS] == n_gaps
    assert found.sent_starts == expected.sent_starts


@pytest.mark.parametrize(
    "text, match",
    [
        (sentence("a (e1-x-1-)"), "from line 1 on.*global.Entity"),
        (HEADER + sentence("a") + "# newdoc\n" + sentence("b e1)"), "from line 4 on.*e1"),
        (HEADER + sentence("a", "b (e1-x-1-", "c"), "mention of e1 begins at 1#2 without an end"),
        (HEADER + sentence("a (e1[2/2]-x-1-)"), r"a part e1\[2/2\], but none with the number"),
        (HEADER + sentence("a (e1[1/2]-x-1-)"), r"the part e1\[2/2\] of a mention is missing"),
        (HEADER.replace("eid", "id") + sentence("a (e1-x-1-)"), "no line such as '# global.Ent"),
        (HEADER + row("x", "a") + "\n", "from line 1 on"),
        (HEADER + row("1-y", "a") + row("1", "a") + "\n", "from line 1 on"),
        (HEADER + "only words\n\n", "from line 1 on"),
    ],
)
def test_errors_of_damaged_files_name_file_and_line(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ValueError, match=f"text.conllu.*{match}"):
        read(tmp_path, text)


def test_logging_is_not_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()
    try:
        read(tmp_path, HEADER + sentence("a (e1-x-1-)", "b").replace("\t0\t", "\t7\t"))
        assert not root.handlers
        assert capsys.readouterr().err == ""
    finally:
        root.handlers[:] = handlers


def test_the_error_without_udapi_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "udapi", None)
    monkeypatch.delitem(sys.modules, "udapi.core.document", raising=False)
    with pytest.raises(ImportError, match=r"spacy-elmo\[corefud\]"):
        read(tmp_path, HEADER + sentence("a"))
