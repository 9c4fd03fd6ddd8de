import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.formats import CorefDocument, read_coref
from spacy_elmo.coref.formats.jsonl import make_record, read_jsonl, write_jsonl

from .partitions import WORDS, documents

RECORD = {
    "doc_key": "nw/paper_0",
    "sentences": [["Anna", "saw", "her", "dog"], ["It", "ran"]],
    "clusters": [[[0, 0], [2, 2]], [[2, 3], [4, 4]]],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jsonl")


def read(tmp_path: Path, *records: Any) -> list[CorefDocument]:
    path = tmp_path / "text.jsonl"
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines), encoding="utf8")
    return list(read_jsonl(path))


def test_records(tmp_path: Path) -> None:
    (document,) = read(tmp_path, RECORD)
    assert document.words == ["Anna", "saw", "her", "dog", "It", "ran"]
    assert document.clusters == [[(0, 1), (2, 3)], [(2, 4), (4, 5)]]
    assert document.sent_starts == [i in (0, 4) for i in range(6)]
    assert (document.name, document.speakers) == ("nw/paper_0", None)
    doc = document.to_doc(Vocab())
    assert [sent.text for sent in doc.sents] == ["Anna saw her dog", "It ran"]
    assert doc.user_data == {"document_id": "nw/paper_0"}
    assert make_record(CorefDocument.from_doc(doc)) == RECORD


def test_speakers_and_genre(tmp_path: Path) -> None:
    nested = {**RECORD, "speakers": [["A"] * 4, ["-", "B"]], "genre": "nw"}
    flat = {**RECORD, "speakers": ["A"] * 4 + ["-", "B"]}
    for record in (nested, flat):
        (document,) = read(tmp_path, record)
        doc = document.to_doc(Vocab())
        found = [(span.start, span.end, span.label_) for span in doc.spans["speakers"]]
        assert found == [(0, 4, "A"), (5, 6, "B")]
        assert make_record(CorefDocument.from_doc(doc))["speakers"] == nested["speakers"]
    (document,) = read(tmp_path, nested)
    assert make_record(CorefDocument.from_doc(document.to_doc(Vocab()))) == nested


def test_tokens_in_one_list(tmp_path: Path) -> None:
    record = {"tokens": ["a", "b", "c"], "clusters": [[[1, 2]]]}
    first, second = read(tmp_path, record, {**record, "sentence_starts": [0, 2]})
    assert first.sent_starts is None and second.sent_starts == [True, False, True]
    assert first.clusters == second.clusters == [[(1, 3)]]
    assert not first.to_doc(Vocab()).has_annotation("SENT_START")


def test_blank_lines_empty_sentences_and_empty_documents(tmp_path: Path) -> None:
    empty = {"sentences": [], "clusters": []}
    first, second = read(tmp_path, empty, "", {"sentences": [[], ["a"], []], "clusters": []}, "")
    assert len(first.to_doc(Vocab())) == 0
    assert (second.words, second.sent_starts) == (["a"], [True])


def test_parts_have_separate_names(tmp_path: Path) -> None:
    found = [CorefDocument(["a"], [], name="x", part=part) for part in ("000", "012", "b", "")]
    records = [make_record(document) for document in found]
    assert [record["doc_key"] for record in records] == ["x_0", "x_12", "x_b", "x"]
    again = read(tmp_path, *records)
    assert [(document.name, document.part) for document in again] == [
        ("x", "000"),
        ("x", "012"),
        ("x", "b"),
        ("x", ""),
    ]


def test_a_doc_without_boundaries_has_none_after_a_round_trip(tmp_path: Path) -> None:
    document = CorefDocument(["a", "b"], [], speakers=["A", ""])
    (again,) = read(tmp_path, make_record(document))
    assert (again.sent_starts, again.speakers) == (None, ["A", "-"])
    assert not again.to_doc(Vocab()).has_annotation("SENT_START")


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    (document,) = read(tmp_path, '{"sentences": [["a\\ud800"]], "clusters": []}')
    assert document.to_doc(Vocab()).text.strip() == "a\ufffd"


@pytest.mark.parametrize(
    "record, match",
    [
        ("{", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ([], "holds a list"),
        ({}, "has no keys, but no 'tokens'"),
        ({"sentences": [["a"]]}, "has 'sentences', but no 'clusters'"),
        ({"sentences": "a b", "clusters": []}, "something other than lists of words"),
        ({"sentences": ["Anna", "ran"], "clusters": []}, "something other than lists of words"),
        ({"sentences": [["a", 1]], "clusters": []}, "something other than lists of words"),
        ({"sentences": [["a", ""]], "clusters": []}, "an empty word under 'sentences'"),
        ({"sentences": [["a"]], "clusters": [[[0, 1]]]}, r"\[0, 1\] as a mention.*1 words"),
        ({"sentences": [["a"]], "clusters": [[[-1, 0]]]}, r"\[-1, 0\] as a mention"),
        ({"sentences": [["a", "b"]], "clusters": [[[1, 0]]]}, r"\[1, 0\] as a mention"),
        ({"sentences": [["a"]], "clusters": [[0, 0]]}, "has 0 as a mention"),
        ({"sentences": [["a"]], "clusters": [0]}, "something other than lists under 'clusters'"),
        ({"sentences": [["a"]], "clusters": {"1": []}}, "under 'clusters'"),
        ({"sentences": [["a"]], "clusters": [], "speakers": [[]]}, "0 speakers of 1 words"),
        ({"sentences": [["a"]], "clusters": [], "subtoken_map": [0]}, "word pieces"),
        ({"tokens": [["a"]], "clusters": []}, "something other than lists of words"),
        ({"tokens": ["a"], "sentence_starts": [1], "clusters": []}, "'sentence_starts' is"),
    ],
)
def test_errors_of_damaged_records_name_file_and_line(
    tmp_path: Path, record: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=f"text.jsonl, line 2.*{match}"):
        read(tmp_path, RECORD, record)


@given(st.lists(documents(words=WORDS | st.just(" \n")), min_size=1, max_size=3))
def test_round_trip(folder: Path, found: list[CorefDocument]) -> None:
    path = folder / "text.jsonl"
    docs = [document.to_doc(Vocab()) for document in found]
    with path.open("w", encoding="utf8", newline="\n") as file:
        write_jsonl(map(CorefDocument.from_doc, docs), file)
    again = [CorefDocument.from_doc(doc) for doc in read_coref(path)]
    assert len(again) == len(found)
    for document, other in zip(found, again):
        assert (other.words, other.clusters) == (document.words, document.clusters)
        assert list(other.sentences()) == list(document.sentences())
        assert (other.speakers or [""] * len(other.words)) == document.speakers
        assert (other.name, other.part) == (document.name, document.part)


def test_conll_and_json_hold_the_same_documents(tmp_path: Path) -> None:
    from spacy_elmo.coref.formats.conll_writer import write_conll
    from spacy_elmo.coref.formats.dropped import Dropped

    (document,) = read(tmp_path, RECORD)
    file = io.StringIO()
    write_conll([document], file, Dropped())
    (tmp_path / "text.conll").write_text(file.getvalue(), encoding="utf8")
    (doc,) = read_coref(tmp_path / "text.conll")
    assert get_clusters(doc) == document.clusters
    assert doc.user_data["genre"] == "nw"
