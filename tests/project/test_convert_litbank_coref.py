"""The script of the project that converts LitBank's coreference to training data."""

import importlib.util
import sys
from pathlib import Path

import pytest
import spacy
import typer
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.formats import Dropped

FOLDER = Path(__file__).parents[2] / "project" / "scripts"
NAME = "convert_litbank_coref"


@pytest.fixture(scope="module")
def script():
    # as at run time, next to the script that it imports
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location(NAME, FOLDER / f"{NAME}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    sys.modules.pop("convert_litbank", None)


def book_lines(book, *rows):
    middle = "\t".join("_" * 8)
    yield f"#begin document ({book}_brat); part 0\n"
    for i, row in enumerate(rows):
        word, _, cell = row.partition(" ")
        yield f"{book}_brat\t0\t{i}\t{word}\t{middle}\t{cell}\n"
    yield "\n#end document\n"


def write_books(folder):
    folder.mkdir()
    for book, name in ((238, "Anna"), (44, "Beth"), (11, "Cara")):
        rows = (f"{name} (0", "of", "Rome (1)|0)", "saw", "her (0)", "dog", ".")
        text = "".join(book_lines(f"{book}_{name.lower()}", *rows))
        (folder / f"{book}_{name.lower()}_brat.conll").write_text(text, "utf8")


def test_command_writes_files_and_prints_counts(script, tmp_path):
    write_books(tmp_path / "conll")
    app = typer.Typer()
    app.command()(script.convert_litbank_coref_cli)
    result = CliRunner().invoke(app, [str(tmp_path / "conll"), str(tmp_path / "out" / "coref")])
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert all([part, "1", "7", "3", "2", "1"] in rows for part in ("train", "dev", "test"))
    vocab = spacy.blank("en").vocab
    for part, name in (("train", "Cara"), ("dev", "Beth"), ("test", "Anna")):
        (doc,) = DocBin().from_disk(tmp_path / f"out/coref/{part}.spacy").get_docs(vocab)
        assert doc.has_unknown_spaces
        assert get_clusters(doc) == [[(0, 3), (4, 5)], [(2, 3)]]
        assert doc.user_data["book"].endswith(name.lower())
        assert [token.is_sent_start for token in doc] == [True] + [False] * 6


def test_a_set_without_books_is_an_error(script, tmp_path):
    write_books(tmp_path / "conll")
    (tmp_path / "conll" / "238_anna_brat.conll").unlink()
    with pytest.raises(ValueError, match="no test book of fold 0"):
        script.convert_litbank_coref(tmp_path / "conll", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="'fold' is 10"):
        script.convert_litbank_coref(tmp_path / "conll", tmp_path / "out", fold=10)


@pytest.mark.slow
def test_litbank(script, data_dir, tmp_path):
    folder = data_dir / "litbank" / "coref" / "conll"
    if not folder.is_dir():
        pytest.skip(f"no LitBank: {folder} is not there")
    dropped = Dropped()
    books = script.read_books(folder, spacy.blank("en").vocab, dropped)
    assert not list(dropped.rows())
    assert {len(docs) for docs in books.values()} == {1}
    docs = [doc for docs in books.values() for doc in docs]
    assert (len(docs), sum(map(len, docs))) == (100, 210_532)
    assert sum(len(list(doc.sents)) for doc in docs) == 8_562
    sizes = [len(cluster) for doc in docs for cluster in get_clusters(doc)]
    assert (sum(sizes), len(sizes), sizes.count(1)) == (29_103, 7_927, 5_763)
    rows = {part: numbers for part, *numbers in script.convert_litbank_coref(folder, tmp_path)}
    assert rows["train"][:4] == ["80", "169,456", "23,218", "6,344"]
    assert rows["dev"][:4] == ["10", "20,438", "3,053", "776"]
    assert rows["test"][:4] == ["10", "20,638", "2,832", "807"]


def test_unreadable_input_is_reported_as_one_sentence(script, tmp_path, capfd):
    folder = tmp_path / "conll"
    folder.mkdir()
    lines = "".join(book_lines("1_a", "Anna (0)", "saw 7)"))
    for name, text, expected in (
        ("a_brat.conll", lines, "is not named like a LitBank file"),
        ("1_a_brat.conll", lines, "1_a_brat.conll, line 3"),
    ):
        path = folder / name
        path.write_text(text, encoding="utf8")
        app = typer.Typer()
        app.command()(script.convert_litbank_coref_cli)
        result = CliRunner().invoke(app, [str(folder), str(tmp_path / "out")])
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
        assert expected in " ".join(result.output.split())
        path.unlink()
    assert not (tmp_path / "out").exists()
