import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_elmo.cli.coref_options import Format
from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.convert import convert_coref
from spacy_elmo.coref.formats import find_files, read_coref, read_documents, write_coref
from spacy_elmo.coref.formats.registry import FORMATS

from .conftest import run

pytestmark = pytest.mark.slow

CONLL = """\
#begin document (tale); part 000
tale\t0\t0\tAnna\t-\t(0)
tale\t0\t1\tsaw\t-\t-
tale\t0\t2\ther\t-\t(1|(0)
tale\t0\t3\tdog\t-\t1)

tale\t0\t0\tIt\t-\t(1)|(1)
tale\t0\t1\tran\t-\t-

#end document
#begin document (tale); part 001
tale\t1\t0\tBob\t-\t(0)

#end document
"""
ENTITIES = [[[(0, 1), (2, 3)], [(2, 4), (4, 5)]], [[(0, 1)]]]


@pytest.fixture
def conll(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "tale.conll"
    path.parent.mkdir()
    path.write_text(CONLL, encoding="utf8")
    return path


def read_docs(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_conll_to_docs(tmp_path: Path, conll: Path) -> None:
    printed = run("convert-coref", conll, tmp_path / "out.spacy")
    assert "documents 2 tokens 7 entities 3 mentions 5 singletons 1" in printed
    assert "1 repeated mentions of an entity" in printed
    docs = read_docs(tmp_path / "out.spacy")
    assert [get_clusters(doc) for doc in docs] == ENTITIES
    assert [sent.text for sent in docs[0].sents] == ["Anna saw her dog", "It ran"]
    assert [doc.user_data["part"] for doc in docs] == ["000", "001"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.spacy"]


def test_docs_to_conll_and_json(tmp_path: Path, conll: Path) -> None:
    run("convert-coref", conll, tmp_path / "a.spacy")
    assert "mentions that" not in run("convert-coref", tmp_path / "a.spacy", tmp_path / "b.conll")
    run("convert-coref", tmp_path / "a.spacy", tmp_path / "c.jsonl")
    records = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [record["doc_key"] for record in records] == ["tale_0", "tale_1"]
    assert records[0]["clusters"] == [[[0, 0], [2, 2]], [[2, 3], [4, 4]]]
    for name in ("b.conll", "c.jsonl"):
        run("convert-coref", tmp_path / name, tmp_path / f"{name}.spacy")
        docs = read_docs(tmp_path / f"{name}.spacy")
        assert [get_clusters(doc) for doc in docs] == ENTITIES


def test_directories_patterns_and_several_inputs(tmp_path: Path, conll: Path) -> None:
    other = conll.with_name("other.v4_gold_conll")
    other.write_text(CONLL, encoding="utf8")
    conll.with_name("notes.txt").write_text("nothing", encoding="utf8")
    conll.with_name(".hidden.conll").write_text("nothing", encoding="utf8")
    for number, inputs in enumerate([[conll.parent], [conll, other], [f"{tmp_path}/i*/**/[!n]*"]]):
        # a file that is named twice is read once
        counts, _ = convert_coref([*inputs, conll], tmp_path / f"{number}.spacy")
        assert (counts.documents, counts.mentions) == (4, 10)


def test_a_name_without_a_known_suffix_requires_the_format(tmp_path: Path, conll: Path) -> None:
    text = conll.rename(conll.with_suffix(".txt"))
    out = tmp_path / "out.spacy"
    assert "cannot be inferred from its name" in run("convert-coref", text, out, code=1)
    assert not out.exists()
    run("convert-coref", text, out, "--format", "conll")
    assert len(read_docs(out)) == 2


def test_unknown_formats_are_named(tmp_path: Path, conll: Path) -> None:
    assert [format.value for format in Format] == list(FORMATS)
    for wrong in (
        lambda: find_files([conll], "xml"),
        lambda: read_documents(conll, "xml"),
        lambda: list(read_coref(conll, "xml")),
        lambda: write_coref([], tmp_path / "a", "xml"),
        lambda: write_coref([], tmp_path / "a", "corefud"),
    ):
        with pytest.raises(ValueError, match="Unknown format '(xml|corefud)'.*conll"):
            wrong()


def test_corefud(tmp_path: Path) -> None:
    pytest.importorskip("udapi")
    columns = "\t".join("_" * 4)
    rows = [f"{i}\tw{i}\t{columns}\t0\t_\t_\tEntity=(e{i}-x-1-)\n" for i in (1, 2)]
    text = f"# newdoc id = a\n# global.Entity = eid-etype-head-other\n{''.join(rows)}\n"
    (tmp_path / "a.conllu").write_text(text, encoding="utf8")
    assert "entities 2" in run("convert-coref", tmp_path / "a.conllu", tmp_path / "a.spacy")


def test_prefix(tmp_path: Path, conll: Path) -> None:
    run("convert-coref", conll, tmp_path / "a.spacy", "--prefix", "gold")
    assert list(read_docs(tmp_path / "a.spacy")[0].spans) == ["gold_1", "gold_2"]
    printed = run("convert-coref", tmp_path / "a.spacy", tmp_path / "b.conll")
    assert "contain no entities" in printed and "--prefix" in printed
    printed = run("convert-coref", tmp_path / "a.spacy", tmp_path / "c.conll", "--prefix", "gold")
    assert "mentions 5" in printed and "no entities" not in printed


def test_annotation_that_conll_cannot_represent_is_counted(tmp_path: Path) -> None:
    doc = Doc(spacy.blank("en").vocab, words=["a", "b c", "d"])
    doc.spans["coref_clusters_1"] = [Span(doc, 0, 2), Span(doc, 1, 3)]
    DocBin(docs=[doc]).to_disk(tmp_path / "a.spacy")
    printed = run("convert-coref", tmp_path / "a.spacy", tmp_path / "a.conll")
    assert "1 mentions that cross another mention of their entity" in printed
    assert "1 words with whitespace" in printed


def test_docs_without_entities_are_counted_and_left_out(tmp_path: Path) -> None:
    vocab = spacy.blank("en").vocab
    plain, annotated = Doc(vocab, words=["a"]), Doc(vocab, words=["b"])
    annotated.spans["coref_clusters_1"] = [Span(annotated, 0, 1)]
    DocBin(docs=[plain, annotated]).to_disk(tmp_path / "a.spacy")
    for output in ("a.jsonl", "a.conll"):
        printed = run("convert-coref", tmp_path / "a.spacy", tmp_path / output)
        assert "1 Docs without annotated entities, left out" in printed
    (document,) = read_documents(tmp_path / "a.jsonl")
    assert document.words == ["b"]


def test_a_directory_with_the_output_is_converted_repeatedly(tmp_path: Path, conll: Path) -> None:
    output = conll.parent / "all.spacy"
    for _ in range(3):
        counts, _ = convert_coref([conll.parent], output, force=True)
        assert counts.documents == 2
    with pytest.raises(ValueError, match="is also written by the command"):
        convert_coref([output], output, force=True)


def test_an_existing_output_is_only_replaced_with_force(tmp_path: Path, conll: Path) -> None:
    other = conll.with_name("other.conll")
    other.write_text(CONLL, encoding="utf8")
    # the user forgot OUTPUT
    assert "OUTPUT" in run("convert-coref", conll, other, code=1)
    assert other.read_text(encoding="utf8") == CONLL
    run("convert-coref", conll, other, "--force")
    assert other.read_text(encoding="utf8") != CONLL


def test_a_damaged_input_leaves_the_output_unchanged(tmp_path: Path, conll: Path) -> None:
    bad = conll.with_name("bad.conll")
    bad.write_text(CONLL.replace("dog\t-\t1)", "dog\t-\t3)"), encoding="utf8")
    out = tmp_path / "out.jsonl"
    out.write_text("before", encoding="utf8")
    assert "bad.conll, line 5" in run("convert-coref", conll, bad, out, "--force", code=1)
    assert out.read_text(encoding="utf8") == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.jsonl"]


@pytest.mark.parametrize(
    "inputs, output, expected",
    [
        ("nothing.conll", "a.spacy", "There is no file or directory"),
        ("nothing*.conll", "a.spacy", "matches no file"),
        ("empty", "a.spacy", "holds no file that ends in .conll"),
        ("in", "a.txt", "must end in .spacy, .conll, .jsonl"),
        ("bad.spacy", "a.conll", "cannot be read as a DocBin"),
    ],
)
def test_invalid_arguments_are_errors(
    tmp_path: Path, conll: Path, inputs: str, output: str, expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.spacy").write_bytes(b"nothing")
    assert expected in run("convert-coref", tmp_path / inputs, tmp_path / output, code=1)


def test_the_reference_scorer_can_read_the_output(tmp_path: Path, conll: Path) -> None:
    """It splits lines at tabs, reads the last column, and expects numbers as entities."""
    run("convert-coref", conll, tmp_path / "out.conll")
    lines = (tmp_path / "out.conll").read_text(encoding="utf8").splitlines()
    rows = [line.split("\t") for line in lines if "\t" in line]
    assert {len(row) for row in rows} == {12}
    assert [row[-1] for row in rows] == ["(0)", "-", "(1|(0)", "1)", "(1)", "-", "(0)"]
    assert [line for line in lines if line.startswith("#")] == [
        "#begin document (tale); part 000",
        "#end document",
        "#begin document (tale); part 001",
        "#end document",
    ]


def test_bad_documents_are_skipped_on_request(
    tmp_path: Path, conll: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = CONLL.replace("tale", "bad").replace("(1|(0)", "1|(0)")
    (conll.parent / "bad.conll").write_text(bad, encoding="utf8")
    (conll.parent / "latin.conll").write_bytes(b"#begin document (\xe4);\n#end document\n")
    run("convert-coref", conll.parent, tmp_path / "out.spacy", code=1)
    assert not (tmp_path / "out.spacy").exists()
    counts, dropped = convert_coref([conll.parent], tmp_path / "out.spacy", skip_errors=True)
    assert (counts.documents, len(dropped.errors)) == (3, 2)
    names = [doc.user_data["document_id"] for doc in read_docs(tmp_path / "out.spacy")]
    assert names == ["bad", "tale", "tale"]
    capfd.readouterr()
    run("convert-coref", conll.parent, tmp_path / "out.jsonl", "--skip-errors")
    with pytest.raises(ValueError, match="None of 1 documents can be read.*latin.conll"):
        convert_coref([conll.parent / "latin.conll"], tmp_path / "b.spacy", skip_errors=True)
    assert not (tmp_path / "b.spacy").exists()
