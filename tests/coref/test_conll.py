import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import Clusters, get_clusters
from spacy_elmo.coref.formats import CorefDocument, Dropped, read_coref
from spacy_elmo.coref.formats.conll import read_conll, read_word
from spacy_elmo.coref.formats.conll_writer import coreference_cells, without_crossing, write_conll
from spacy_elmo.coref.formats.dropped import (
    CROSSING,
    DUPLICATE,
    GENRES,
    SHARED,
    SPEAKER_NAMES,
    WHITESPACE,
)

from .partitions import crosses, documents, no_crossing

ONTONOTES = """\
#begin document (bc/talk/00/talk_0001); part 000
bc/talk/00/talk_0001   0   0     Anna    NNP  (TOP(S(NP*  -  -  -  Anna_Smith  (PERSON)  (ARG0*)    (12)
bc/talk/00/talk_0001   0   1      saw    VBD        (VP*  see 01 1  Anna_Smith  *         (V*)       -
bc/talk/00/talk_0001   0   2      her   PRP$     (NP(NP*  -  -  -  Anna_Smith  *         (ARG1*     (3|(12)
bc/talk/00/talk_0001   0   3   friend     NN           *)  -  -  -  Anna_Smith  *         *)         3)
bc/talk/00/talk_0001   0   4       /.      .         *))  -  -  -  Anna_Smith  *         *          -

bc/talk/00/talk_0001   0   0      Who     WP  (TOP(S(NP*  -  -  -  -           *         -
bc/talk/00/talk_0001   0   1       /?      .         *))  -  -  -  -           *         -

#end document
#begin document (bc/talk/00/talk_0001); part 001
bc/talk/00/talk_0001   1   0       He    PRP  (TOP(S(NP*  -  -  -  Bob         *         (12)
bc/talk/00/talk_0001   1   1   nodded    VBD         *))  -  -  -  Bob         *         -

#end document
"""  # noqa: E501


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conll")


def read(tmp_path: Path, text: str, lang: str = "en") -> list[CorefDocument]:
    path = tmp_path / "text.conll"
    path.write_bytes(text.encode("utf8"))
    return list(read_conll(path, lang))


def column(*cells: str, ends: str = "\n") -> str:
    """Return the text of a document with these cells in the last column."""
    rows = [f"doc\t0\t{i}\tw{i}\t{cell}{ends}" for i, cell in enumerate(cells)]
    return f"#begin document (doc); part 000{ends}{''.join(rows)}{ends}#end document{ends}"


def entities(tmp_path: Path, *cells: str) -> Clusters:
    (document,) = read(tmp_path, column(*cells))
    return sorted(sorted(cluster) for cluster in document.clusters)


def written(*found: CorefDocument) -> str:
    file = io.StringIO()
    write_conll(found, file, Dropped())
    return file.getvalue()


def test_ontonotes(tmp_path: Path) -> None:
    first, second = read(tmp_path, ONTONOTES)
    assert first.words == ["Anna", "saw", "her", "friend", ".", "Who", "?"]
    assert first.sent_starts == [i in (0, 5) for i in range(7)]
    assert sorted(map(sorted, first.clusters)) == [[(0, 1), (2, 3)], [(2, 4)]]
    assert first.speakers == ["Anna_Smith"] * 5 + ["-"] * 2
    assert (first.name, first.part, first.genre) == ("bc/talk/00/talk_0001", "000", "bc")
    # the same number in another part is another entity
    assert (second.part, second.clusters) == ("001", [[(0, 1)]])


def test_docs(tmp_path: Path) -> None:
    (tmp_path / "a.v4_gold_conll").write_text(ONTONOTES, encoding="utf8")
    first, second = read_coref(tmp_path / "a.v4_gold_conll")
    assert [sent.text for sent in first.sents] == ["Anna saw her friend .", "Who ?"]
    assert get_clusters(first) == [[(0, 1), (2, 3)], [(2, 4)]]
    assert first.user_data["document_id"] == "bc/talk/00/talk_0001"
    assert [doc.user_data["part"] for doc in (first, second)] == ["000", "001"]
    assert first.user_data["genre"] == "bc"
    found = [(span.text, span.label_) for span in first.spans["speakers"]]
    assert found == [("Anna saw her friend .", "Anna_Smith")]


def test_speaker_spans_end_with_the_sentence() -> None:
    starts = [True, False, True, False, False]
    names = ["Anna", "Anna", "Anna", "Bob", "_"]
    doc = CorefDocument(list("abcde"), [], starts, speakers=names).to_doc(Vocab())
    found = [(span.start, span.end, span.label_) for span in doc.spans["speakers"]]
    assert found == [(0, 2, "Anna"), (2, 3, "Anna"), (3, 4, "Bob")]
    assert "speakers" not in CorefDocument(["a"], [], speakers=["-"]).to_doc(Vocab()).spans


def test_litbank_has_empty_cells(tmp_path: Path) -> None:
    rows = [("The", ""), ("old", "(0"), ("dog", "0)"), ("slept", ""), (".", "")]
    middle = "\t".join("_" * 8)
    lines = [f"1_dog_brat\t0\t{i}\t{word}\t{middle}\t{c}\n" for i, (word, c) in enumerate(rows)]
    assert len(lines[0].split("\t")) == 13
    text = f"#begin document (1_dog_brat); part 0\n{''.join(lines)}\n#end document\n"
    (document,) = read(tmp_path, text)
    assert document.clusters == [[(1, 3)]]
    assert (document.name, document.part) == ("1_dog_brat", "0")
    assert "speakers" not in document.to_doc(Vocab()).spans
    # an editor that removes trailing whitespace removes the last column
    (document,) = read(tmp_path, text.replace("_\t\n", "_\n"))
    assert document.clusters == [[(1, 3)]]


def test_no_mention_is_an_empty_cell_a_dash_or_an_underscore(tmp_path: Path) -> None:
    assert entities(tmp_path, "-", "_", "", "(1)") == [[(3, 4)]]


def test_mentions_of_one_entity_nest(tmp_path: Path) -> None:
    # the mention that was opened last is closed first
    assert entities(tmp_path, "(1", "(1", "1)", "1)") == [[(0, 4), (1, 3)]]
    assert entities(tmp_path, "(1|(1|(1)", "1)", "1)") == [[(0, 1), (0, 2), (0, 3)]]
    assert entities(tmp_path, "(1", "(1)|1)", "(1)") == [[(0, 2), (1, 2), (2, 3)]]


def test_mentions_of_two_entities_cross(tmp_path: Path) -> None:
    assert entities(tmp_path, "(1", "(2", "1)", "2)") == [[(0, 3)], [(1, 4)]]
    assert entities(tmp_path, "(1", "1)|(2", "2)") == [[(0, 2)], [(1, 3)]]
    assert entities(tmp_path, "(1", "(2|1)", "2)") == [[(0, 2)], [(1, 3)]]


def test_brackets_without_bars_between_them(tmp_path: Path) -> None:
    assert entities(tmp_path, "(1(2", "(3)2)1)") == [[(0, 2)], [(0, 2)], [(1, 2)]]


def test_unusual_words_lines_and_headers(tmp_path: Path) -> None:
    words = ["#1", "a\u00a0b", "\u2028", "x\x85y", "(1"]
    rows = "".join(f"doc 0 {i} {word} -\r\n" for i, word in enumerate(words))
    text = f"\ufeff# a comment\r\n#begin document doc\r\n{rows}\r\n\r\n\r\n#end document\r\n"
    (document,) = read(tmp_path, text)
    assert document.words == words
    assert (document.name, document.part) == ("doc", "")
    assert document.sent_starts == [True, False, False, False, False]


def test_arabic_words_lose_their_second_form(tmp_path: Path) -> None:
    text = column("-").replace("w0", "كتب#kataba")
    assert read(tmp_path, text, lang="ar")[0].words == ["كتب"]
    assert read(tmp_path, text)[0].words == ["كتب#kataba"]
    assert read_word("#", lang="ar") == "#"


def test_a_document_without_words(tmp_path: Path) -> None:
    (document,) = read(tmp_path, "#begin document (x); part 003\n#end document\n")
    doc = document.to_doc(Vocab())
    assert len(doc) == 0 and doc.user_data == {"document_id": "x", "part": "003"}
    assert written(CorefDocument.from_doc(doc)) == "#begin document (x); part 003\n#end document\n"


BAD_ROW = "#begin document (d); part 000\n{}\n\n#end document\n"


@pytest.mark.parametrize(
    "text, match",
    [
        (column("-", "7)"), r"line 3: '7\)' ends a mention of entity 7, but none of it is open"),
        (column("(7", "(7", "7)"), r"line 2: '\(7' begins a mention that has no end.*in line 6"),
        (column("(7", "8)"), r"line 3: '8\)'"),
        (column("(7)|7)"), r"line 2: '7\)'"),
        (column("7"), "line 2: the coreference '7' cannot be read"),
        (column("(7)x"), "cannot be read"),
        (column("()"), "cannot be read"),
        (column("*"), "cannot be read"),
        (BAD_ROW.format("d 0 0 word"), "line 2 has 4 columns"),
        (BAD_ROW.format("d\t0\t0\t\t-"), "line 2 has no word"),
        ("d\t0\t0\tword\t-\n", "line 1: a word outside a document: 'd.*#begin document"),
        ("\n#end document\n", "line 2: '#end document' without a document"),
        (column("-").replace("#end document\n", ""), "ends inside the document .* line 1"),
        (column("-").replace("#end", "#begin") + column("-"), "line 4: a document begins inside"),
    ],
)
def test_errors_of_damaged_files_name_file_and_line(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ValueError, match=f"text.conll.*{match}"):
        read(tmp_path, text)


def test_errors_of_other_encodings_name_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "text.conll"
    path.write_bytes(column("-").replace("w0", "é").encode("latin1"))
    with pytest.raises(ValueError, match="text.conll, line 2: the byte 0xe9 is not UTF-8"):
        list(read_conll(path))


def test_clusters_need_not_be_a_partition(tmp_path: Path) -> None:
    (document,) = read(tmp_path, column("(1)|(1)", "(2)", "(1)|(2)", "(3)|(2)"))
    dropped = Dropped()
    doc = document.to_doc(Vocab(), dropped=dropped)
    # a mention of two entities belongs to the entity that begins first
    assert get_clusters(doc) == [[(0, 1), (2, 3)], [(1, 2), (3, 4)]]
    assert dict(dropped.rows()) == {DUPLICATE: 1, SHARED: 2}


def test_brackets_are_written_in_order() -> None:
    clusters = [[(0, 4), (1, 2)], [(0, 2)], [(1, 4)], [(3, 4), (0, 1)], [(2, 4)]]
    cells = coreference_cells(clusters, 5, Dropped())
    assert cells == ["(0|(1|(3)", "(2|(0)|1)", "(4", "(3)|4)|2)|0)", "-"]


def test_mentions_of_one_entity_that_cross_cannot_be_written() -> None:
    dropped = Dropped()
    cells = coreference_cells([[(0, 3), (2, 5)], [(1, 4)]], 5, dropped)
    assert cells == ["(0", "(1", "0)", "1)", "-"]
    assert dropped[CROSSING] == 1


@given(documents())
def test_only_crossing_mentions_are_left_out(document: CorefDocument) -> None:
    for cluster in document.clusters:
        dropped = Dropped()
        kept = list(without_crossing(cluster, dropped))
        assert no_crossing(kept)
        left_out = set(cluster) - set(kept)
        assert len(left_out) == dropped[CROSSING]
        assert all(any(crosses(a, b) for b in kept) for a in left_out)


def test_layout_that_the_reference_scorer_reads() -> None:
    doc = Doc(Vocab(), words=["Anna", "ran", "Yes"], sent_starts=[True, False, True])
    lines = written(CorefDocument.from_doc(doc)).split("\n")
    assert lines[0] == "#begin document (doc_1); part 000"
    assert lines[2] == "\t".join("doc_1 0 1 ran - - - - - - - -".split())
    assert lines[3:] == ["", "doc_1\t0\t0\tYes\t" + "\t".join("-" * 8), "", "#end document", ""]


def test_documents_have_different_headers() -> None:
    found = [CorefDocument(["a"], [], name=name) for name in ("x", "x", "", "y")]
    headers = [line for line in written(*found).split("\n") if line.startswith("#begin")]
    assert [header[len("#begin document ") :] for header in headers] == [
        "(x); part 000",
        "(x); part 001",
        "(doc_3); part 000",
        "(y); part 000",
    ]


def test_whitespace_in_words_is_counted(tmp_path: Path) -> None:
    dropped, file = Dropped(), io.StringIO()
    document = CorefDocument(["a b", "\n\n", "c"], [], speakers=["A B"] * 3, name="d e")
    write_conll([document], file, dropped)
    assert dict(dropped.rows()) == {WHITESPACE: 2, SPEAKER_NAMES: 3}
    (found,) = read(tmp_path, file.getvalue())
    assert (found.words, found.speakers) == (["a_b", "__", "c"], ["A_B"] * 3)
    assert found.name == "d e" and "\nd_e\t" in file.getvalue()


def test_genres_that_the_name_does_not_begin_with_are_counted() -> None:
    dropped = Dropped()
    for name, genre in (("nw/a", "nw"), ("nw/a", "news"), ("a", "news"), ("a", "")):
        document = CorefDocument(["a"], [], name=name, genre=genre)
        write_conll([document], io.StringIO(), dropped)
    assert dict(dropped.rows()) == {GENRES: 2}


def test_a_doc_without_boundaries_is_one_sentence() -> None:
    doc = Doc(Vocab(), words=["a", "b", "c"])
    assert list(CorefDocument.from_doc(doc).sentences()) == [range(3)]
    assert not doc.has_annotation("SENT_START")


@given(st.lists(documents(allowed=no_crossing), min_size=1, max_size=3))
def test_round_trip(folder: Path, found: list[CorefDocument]) -> None:
    for number, document in enumerate(found):
        document.name = document.name or f"doc_{number + 1}"
    docs = [document.to_doc(Vocab()) for document in found]
    path = folder / "text.conll"
    text = written(*map(CorefDocument.from_doc, docs))
    path.write_bytes(text.encode("utf8"))
    assert len(list(read_coref(path))) == len(found)
    for document, doc in zip(found, read_coref(path)):
        again = CorefDocument.from_doc(doc)
        assert again.words == document.words
        assert get_clusters(doc) == document.clusters
        assert [list(sent) for sent in again.sentences()] == [
            list(sent) for sent in document.sentences()
        ]
        assert (again.speakers or [""] * len(doc)) == document.speakers
        assert (again.name, again.part) == (document.name, document.part)
    assert written(*map(CorefDocument.from_doc, read_coref(path))) == text


@pytest.mark.slow
def test_litbank(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "litbank" / "coref" / "conll"
    if not folder.is_dir():
        pytest.skip(f"no LitBank: {folder} is not there")
    dropped = Dropped()
    vocab = Vocab()
    docs = [doc for path in sorted(folder.iterdir()) for doc in read_coref(path, vocab=vocab)]
    assert len(docs) == 100
    assert sum(map(len, docs)) == 210_532
    assert sum(len(list(doc.sents)) for doc in docs) == 8_562
    sizes = [len(cluster) for doc in docs for cluster in get_clusters(doc)]
    assert (sum(sizes), len(sizes), sizes.count(1)) == (29_103, 7_927, 5_763)
    path = tmp_path / "all.conll"
    with path.open("w", encoding="utf8", newline="\n") as file:
        write_conll(map(CorefDocument.from_doc, docs), file, dropped)
    again = list(read_coref(path, dropped=dropped))
    assert not list(dropped.rows())
    for doc, other in zip(docs, again):
        assert get_clusters(doc) == get_clusters(other)
        assert doc.text == other.text and doc.user_data == other.user_data
