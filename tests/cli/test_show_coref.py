import re
import weakref
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_elmo.coref.clusters import set_clusters
from spacy_elmo.coref.page import render_doc
from spacy_elmo.coref.show import show_coref

from .conftest import run


@Language.component("first_and_last_words")
def first_and_last_words(doc: Doc) -> Doc:
    set_clusters(doc, [[(0, 1), (len(doc) - 1, len(doc))]])
    return doc


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    doc = Doc(spacy.blank("en").vocab, words=["Anna", "hid", "her", "hat"])
    set_clusters(doc, [[(0, 1), (2, 3)], [(2, 4)]])
    path = tmp_path / "docs.spacy"
    DocBin(docs=[doc]).to_disk(path)
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("first_and_last_words")
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_entities_of_a_file(tmp_path: Path, docs: Path) -> None:
    printed = run("show-coref", docs, tmp_path / "page.html")
    assert "Wrote 1 documents with 2 entities" in printed
    page = (tmp_path / "page.html").read_text(encoding="utf8")
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert page.count('data-entity="d1e1"') == 3  # two mentions, and one line in the list


def test_entities_that_a_pipeline_predicts(tmp_path: Path, docs: Path, pipeline: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Bob left & Bob", encoding="utf8")
    output = tmp_path / "page.html"
    assert show_coref([text, docs], output, pipeline=str(pipeline)) == (2, 2)
    page = output.read_text(encoding="utf8")
    assert "left &amp; " in page and 'id="d2e1"' in page and "e2" not in page.split("<body>")[1]


def test_documents_are_in_the_order_of_the_inputs(
    tmp_path: Path, docs: Path, pipeline: Path
) -> None:
    books, more = tmp_path / "books", tmp_path / "more"
    for folder in (books, more):
        folder.mkdir()
    (books / "b.txt").write_text("\ufeffBob\r\nleft\r\n", encoding="utf8")
    (books / "a.TXT").write_text("Ann left", encoding="utf8")
    (books / "c.md").write_text("no text", encoding="utf8")
    (books / ".d.txt").write_text("hidden", encoding="utf8")
    (more / "f.txt").write_text("Fay left", encoding="utf8")
    (more / "e.txt").write_text("Eve left", encoding="utf8")
    output = tmp_path / "page.html"
    inputs = [more / "*.txt", docs, books, more / "e.txt"]
    assert show_coref(inputs, output, pipeline=str(pipeline)) == (5, 5)
    page = output.read_text(encoding="utf8")
    assert re.findall("<h2>(.*)</h2>", page) == [
        "Document 1: e",
        "Document 2: f",
        "Document 3",
        "Document 4: a",
        "Document 5: b",
    ]
    assert "no text" not in page and "hidden" not in page and "\ufeff" not in page
    assert re.search(r"Bob<sub>1</sub></span>\n<span [^>]*>left<sub>", page)


def test_texts_in_a_folder_are_skipped_without_a_pipeline(tmp_path: Path, docs: Path) -> None:
    (tmp_path / "text.txt").write_text("Text.", encoding="utf8")
    assert show_coref([tmp_path], tmp_path / "page.html") == (1, 2)


def test_docs_are_written_as_they_are_read(
    tmp_path: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large inputs are not held in memory, and a page that fails leaves no file."""
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("Bob left", encoding="utf8")
    (tmp_path / "d.txt").write_bytes(b"Bob\nleft \xe9")
    seen: list[weakref.ref] = []

    def watched(doc: Doc, *args: Any) -> str:
        # the generator may still hold the previous Doc
        assert not any(doc() for doc in seen[:-1])
        seen.append(weakref.ref(doc))
        return render_doc(doc, *args)

    monkeypatch.setattr("spacy_elmo.coref.page.render_doc", watched)
    output = tmp_path / "page.html"
    with pytest.raises(ValueError, match="d.txt, line 2: the byte 0xe9 is not UTF-8"):
        show_coref([tmp_path / "*.txt"], output, pipeline=str(pipeline))
    assert len(seen) == 3 and not output.exists()


def test_prefix_without_entities(tmp_path: Path, docs: Path) -> None:
    assert "no entities under other_1" in run(
        "show-coref", docs, tmp_path / "page.html", "--prefix", "other"
    )


@pytest.mark.parametrize(
    "inputs, output, message",
    [
        (["docs.spacy"], "page.txt", "must end in .html"),
        (["text.txt"], "page.html", "Give --pipeline"),
        (["docs.spacy"], "there.html", "--force"),
        (["none.spacy"], "page.html", "no file or directory"),
    ],
)
def test_invalid_arguments_are_errors(
    tmp_path: Path, docs: Path, inputs: list, output: str, message: str
) -> None:
    (tmp_path / "text.txt").write_text("Text.", encoding="utf8")
    (tmp_path / "there.html").write_text("mine", encoding="utf8")
    with pytest.raises(ValueError, match=message):
        show_coref([tmp_path / name for name in inputs], tmp_path / output)
    assert (tmp_path / "there.html").read_text(encoding="utf8") == "mine"
    assert not (tmp_path / "page.html").exists()


def test_force_replaces_the_output(tmp_path: Path, docs: Path) -> None:
    output = tmp_path / "page.html"
    output.write_text("old", encoding="utf8")
    show_coref([docs], output, force=True)
    assert "Anna" in output.read_text(encoding="utf8")


def test_texts_longer_than_the_limit_of_a_pipeline(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("first_and_last_words")
    nlp.to_disk(tmp_path / "pipeline")
    text = tmp_path / "text.txt"
    text.write_text("Anna saw Anna . " * 70_000, encoding="utf8")  # 1,120,000 characters
    output = tmp_path / "page.html"
    assert show_coref([text], output, pipeline=str(tmp_path / "pipeline")) == (1, 1)
    assert output.stat().st_size > 1_120_000
