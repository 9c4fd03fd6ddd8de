"""The script of the project that converts LitBank's entity layers to training data."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest
import spacy
import typer
from spacy.tokens import DocBin
from spacy.training import Corpus
from typer.testing import CliRunner

SCRIPT = Path(__file__).parents[2] / "project" / "scripts" / "convert_litbank.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


def tsv(*rows, n_layers=4):
    """Return lines in LitBank's format, with all layers and a tab at the end of each line."""
    lines = []
    for row in rows:
        word, *tags = row.split()
        tags += ["O"] * (n_layers - len(tags))
        lines.append("\t".join([word, *tags]) + "\t\n")
    return [*lines, "\n"]


def entities(script, *rows, **kwargs):
    (sentence,) = script.read_sentences(tsv(*rows, **kwargs))
    return sentence.entities


def test_nested_entities_of_all_layers(script):
    rows = ("the O B-FAC", "streets O I-FAC", "of O I-FAC", "Boston B-GPE I-FAC", "slept")
    found = entities(script, *rows)
    assert found == [(0, 4, "FAC"), (3, 4, "GPE")]
    assert script.keep_outermost(found) == [(0, 4, "FAC")]


def test_adjacent_entities_with_the_same_label_are_separate(script):
    found = entities(script, "Tom B-PER", "Huck B-PER", "Finn I-PER", "ran")
    assert found == script.keep_outermost(found) == [(0, 1, "PER"), (1, 3, "PER")]


def test_label_changes_without_a_gap(script):
    assert entities(script, "Tom B-PER", "London B-GPE") == [(0, 1, "PER"), (1, 2, "GPE")]


def test_span_with_two_labels(script):
    found = entities(script, "England B-LOC B-GPE", "won")
    assert found == [(0, 1, "GPE"), (0, 1, "LOC")]
    assert script.keep_outermost(found) == [(0, 1, "GPE")]


def test_same_span_and_label_in_two_layers_counts_once(script):
    assert entities(script, "Tom B-PER B-PER") == [(0, 1, "PER")]


def test_fifth_layer(script):
    rows = ("a O O O O B-FAC", "street O O O O I-FAC", "here")
    assert entities(script, *rows, n_layers=5) == [(0, 2, "FAC")]
    assert entities(script, "Tom B-PER", n_layers=5) == [(0, 1, "PER")]


def test_entity_to_the_end_of_the_sentence(script):
    lines = tsv("see", "the B-PER", "man I-PER") + tsv("man B-PER", "overboard")
    first, second = script.read_sentences(lines)
    assert first.entities == [(1, 3, "PER")]
    assert second.entities == [(0, 1, "PER")]


def test_file_without_a_last_blank_line(script):
    lines = [*tsv("Yes"), "see\tO\t\n", "Tom\tB-PER\t"]
    assert [sent.words for sent in script.read_sentences(lines)] == [["Yes"], ["see", "Tom"]]
    assert [sent.entities for sent in script.read_sentences(lines)] == [[], [(1, 2, "PER")]]


@pytest.mark.parametrize(
    "lines, match",
    [
        (["Tom\tI-PER\t\n"], "I-PER.* continues no PER"),
        (["Tom\tB-PER\t\n", "Sawyer\tI-LOC\t\n"], "I-LOC.* continues no LOC"),
        (["Tom\tPER\t\n"], "tag 'PER'"),
        (["Tom\tB-\t\n"], "tag 'B-'"),
        (["Tom B-PER\n"], "line 1"),
    ],
)
def test_damaged_lines_are_errors_that_name_the_file(script, lines, match):
    with pytest.raises(ValueError, match=f"book.tsv.*{match}"):
        list(script.read_sentences(lines, "book.tsv"))


def test_doc_of_a_book(script):
    sentences = list(script.read_sentences(tsv("Tom B-PER", "ran", ".") * 5))
    vocab = spacy.blank("en").vocab
    doc = script.make_doc(sentences, vocab, "1_tom", nested=False)
    assert [sent.text for sent in doc.sents] == ["Tom ran ."] * 5
    assert [ent.start for ent in doc.ents] == [0, 3, 6, 9, 12]
    assert doc.user_data["book"] == "1_tom"
    assert not doc.spans
    nested = script.make_doc(sentences, vocab, "1_tom", nested=True)
    assert [span.start for span in nested.spans["sc"]] == [0, 3, 6, 9, 12]
    assert not nested.has_annotation("ENT_IOB")


def test_tokens_are_unchanged(script, tmp_path):
    """As in the corpora that `spacy convert` writes."""
    nlp = spacy.blank("en")
    rows = ("Mr.--Tom B-PER", "cannot", "St B-FAC", ". I-FAC")
    doc = script.make_doc(list(script.read_sentences(tsv(*rows))), nlp.vocab, "1", nested=True)
    DocBin(docs=[doc]).to_disk(tmp_path / "one.spacy")
    (example,) = Corpus(tmp_path / "one.spacy")(nlp)
    assert [token.text for token in example.predicted] == ["Mr.--Tom", "cannot", "St", "."]


def test_folds(script):
    books = [book for fold in script.TEST_FOLDS for book in fold]
    assert len(books) == len(set(books)) == 100
    parts = script.split_books({book: [book] for book in books}, 0)
    assert {part: len(docs) for part, docs in parts.items()} == {"train": 80, "dev": 10, "test": 10}
    assert set(parts["test"]) == set(script.TEST_FOLDS[0])
    assert set(parts["dev"]) == set(script.TEST_FOLDS[9])
    for fold in (-1, 10):
        with pytest.raises(ValueError, match="'fold' is"):
            script.split_books({}, fold)


def write_books(folder):
    folder.mkdir()
    for book, name in ((238, "Anna"), (44, "Beth"), (11, "Cara")):
        rows = (f"{name} O B-PER", "of O I-PER", "Rome B-GPE I-PER", "slept", ".")
        (folder / f"{book}_{name.lower()}_brat.tsv").write_text("".join(tsv(*rows)), "utf8")


def test_command_writes_files_and_prints_counts(script, tmp_path):
    write_books(tmp_path / "tsv")
    app = typer.Typer()
    app.command()(script.convert_litbank_cli)
    args = [str(tmp_path / "tsv"), str(tmp_path / "out"), "--fold", "0"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert "nested/train" in result.output and "flat/test" in result.output
    vocab = spacy.blank("en").vocab
    for part, name in (("train", "Cara"), ("dev", "Beth"), ("test", "Anna")):
        (flat,) = DocBin().from_disk(tmp_path / f"out/flat/{part}.spacy").get_docs(vocab)
        (nested,) = DocBin().from_disk(tmp_path / f"out/nested/{part}.spacy").get_docs(vocab)
        assert [(ent.text, ent.label_) for ent in flat.ents] == [(f"{name} of Rome", "PER")]
        assert [span.label_ for span in nested.spans["sc"]] == ["PER", "GPE"]
        assert flat.user_data["book"].endswith(name.lower())
        assert [token.is_sent_start for token in flat] == [True] + [False] * 4


def test_a_set_without_books_is_an_error(script, tmp_path):
    write_books(tmp_path / "tsv")
    with pytest.raises(ValueError, match="no dev book of fold 1"):
        (tmp_path / "tsv" / "238_anna_brat.tsv").unlink()
        script.convert_litbank(tmp_path / "tsv", tmp_path / "out", fold=1)


def test_litbank(script, data_dir):
    folder = data_dir / "litbank" / "entities" / "tsv"
    if not folder.is_dir():
        pytest.skip(f"no LitBank: {folder} is not there")
    vocab = spacy.blank("en").vocab
    flat = script.read_books(folder, vocab, nested=False)
    nested = script.read_books(folder, vocab, nested=True)
    assert set(flat) == {book for fold in script.TEST_FOLDS for book in fold}
    flat_docs = [doc for docs in flat.values() for doc in docs]
    nested_docs = [doc for docs in nested.values() for doc in docs]
    assert sum(map(len, flat_docs)) == sum(map(len, nested_docs)) == 210_532
    assert sum(len(list(doc.sents)) for doc in flat_docs) == 8_562
    spans = Counter(span.label_ for doc in nested_docs for span in doc.spans["sc"])
    assert sum(spans.values()) == 13_912
    assert [spans[label] for label in script.LABELS] == [9_383, 2_154, 1_170, 878, 197, 130]
    ents = Counter(ent.label_ for doc in flat_docs for ent in doc.ents)
    assert sum(ents.values()) == 11_769
    assert [ents[label] for label in script.LABELS] == [8_006, 1_892, 970, 624, 181, 96]
    parts = script.split_books(nested, 0)
    tokens = {part: sum(map(len, docs)) for part, docs in parts.items()}
    assert tokens == {"train": 169_456, "dev": 20_438, "test": 20_638}
