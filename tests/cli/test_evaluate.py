"""The command `evaluate`: the perplexity of a text."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.corpus.readers import TextSettings
from spacy_elmo.lm.evaluate import evaluate
from spacy_elmo.lm.evaluate_texts import evaluate_texts
from spacy_elmo.lm.language_model import LanguageModel

from ..pretrain.toys import ONE, documents, sentences, toy_trainer
from .conftest import run

TEXT = sentences(12, seed=1)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate") / "model"
    toy_trainer(Corpus.from_sentences(documents(60))).model.save(path)
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(words) + "\n" for words in TEXT))
    return path


def test_it_prints_the_perplexity_that_training_evaluates(language_model, text):
    found = json.loads(run("evaluate", language_model, text, "--tokenized", "--json"))
    expected = evaluate(LanguageModel.load(language_model), Corpus.from_sentences([TEXT]), ONE)
    for name, value in asdict(expected).items():
        assert found[name] == pytest.approx(value)
    assert found["geometric"] == pytest.approx(expected.geometric)
    printed = run("evaluate", language_model, text, "--tokenized")
    assert f"{expected.forward:.2f}" in printed and f"{expected.backward:.2f}" in printed
    n_positions = sum(len(words) + 1 for words in TEXT)
    assert found["n_positions"] == found["n_scored"] == n_positions
    assert f"text.txt {n_positions} 0.00% {expected.forward:.2f}" in printed
    assert "Total" not in printed
    assert found["files"] == [{"file": str(text), **{k: found[k] for k in found if k != "files"}}]


def write(path, lines):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(" ".join(words) + "\n" for words in lines))
    return path


def test_a_folder_has_a_row_for_each_file_and_a_total(language_model, tmp_path):
    folder = tmp_path / "texts"
    texts = {"animals": TEXT, "others": [["zebras", "see", "."], *sentences(3)], "short": [["."]]}
    paths = [write(folder / f"{name}.txt", lines) for name, lines in texts.items()]
    write(folder / "empty.txt", [[]])
    with pytest.warns(UserWarning, match="empty.txt holds no words and is left out"):
        found = json.loads(run("evaluate", language_model, folder, "--tokenized", "--json"))
    model = LanguageModel.load(language_model)
    expected = [evaluate(model, Corpus.from_sentences([lines]), ONE) for lines in texts.values()]
    assert [row["file"] for row in found["files"]] == [str(path) for path in paths]
    for row, one in zip(found["files"], expected):
        assert {name: row[name] for name in asdict(one)} == pytest.approx(asdict(one))
        assert row["geometric"] == pytest.approx(one.geometric)
    n_positions = [sum(len(words) + 1 for words in lines) for lines in texts.values()]
    assert found["n_positions"] == sum(n_positions)
    for name in ("forward", "backward", "geometric"):
        losses = [n * math.log(row[name]) for n, row in zip(n_positions, found["files"])]
        assert found[name] == pytest.approx(math.exp(sum(losses) / sum(n_positions)))
    assert found["unknown"] == pytest.approx(2 / sum(n_positions))  # zebras, see

    with pytest.warns(UserWarning, match="holds no words"):
        printed = run("evaluate", language_model, folder, "--tokenized")
    for name, one in zip(("animals.txt", "others.txt", "short.txt"), expected):
        row = f"{name} {one.n_positions} {one.unknown:.2%} {one.forward:.2f} {one.backward:.2f}"
        assert row in printed
    assert f"Total {sum(n_positions)} {found['unknown']:.2%} {found['forward']:.2f}" in printed


def test_rows_are_named_by_paths_if_names_are_not_distinct(language_model, tmp_path):
    paths = [write(tmp_path / name / "a.txt", TEXT[:2]) for name in ("one", "two")]
    write(tmp_path / "one" / "b.txt", TEXT[:2])
    printed = run("evaluate", language_model, tmp_path / "one", paths[1], "--tokenized")
    assert f"{paths[0]} " in printed and f"{paths[1]} " in printed
    printed = run("evaluate", language_model, tmp_path / "one", "--tokenized")
    assert "a.txt " in printed and "one/" not in printed


def test_a_second_vocabulary_restricts_the_words_that_are_scored(language_model, text, tmp_path):
    vocab = write(tmp_path / "words.txt", [["<S>"], ["</S>"], ["<UNK>"], ["the"], ["."], ["zebra"]])
    found = json.loads(
        run("evaluate", language_model, text, "--tokenized", "--json", "--vocab", vocab)
    )
    n_positions = sum(len(words) + 1 for words in TEXT)
    n_scored = sum(1 + sum(word in ("the", ".") for word in words) for words in TEXT)
    assert found["n_positions"] == n_positions and found["n_scored"] == n_scored
    assert found["unknown"] == pytest.approx(1 - n_scored / n_positions)
    printed = run("evaluate", language_model, text, "--tokenized", "--vocab", vocab)
    assert "words in both vocabularies" in printed and "Scored Left out" in printed
    assert f"text.txt {n_scored} {found['unknown']:.2%} {found['forward']:.2f}" in printed
    # the vocabulary of a model, here its own
    settings = TextSettings(tokenized=True)
    (own,) = evaluate_texts(language_model, [text], settings, vocab=language_model).values()
    assert own == evaluate_texts(language_model, [text], settings)[text]


def test_running_text_is_tokenized_and_cached(language_model, tmp_path):
    (tmp_path / "text.txt").write_text("The cat sees the fox. The owl hears the hen.\n")
    cache = tmp_path / "cache"
    first, second = (
        run("evaluate", language_model, tmp_path / "text.txt", "--json", "--cache", cache)
        for _ in range(2)
    )
    assert json.loads(first) == json.loads(second)
    assert json.loads(first)["n_positions"] == 14
    assert sum(path.is_dir() for path in cache.iterdir()) == 1


def test_no_files_remain_without_a_cache(language_model, text, monkeypatch):
    folder = text.parent / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run("evaluate", language_model, text, "--tokenized", "--json")
    assert not list(folder.iterdir())


def test_invalid_arguments_are_errors(language_model, model, text, tmp_path):
    assert "holds no language model" in run("evaluate", model, text, code=1)
    assert "holds no language model" in run("evaluate", tmp_path / "none", text, code=1)
    nothing = Path(tmp_path / "nothing-*.txt")
    assert "nothing-*.txt" in run("evaluate", language_model, nothing, code=1)
    assert "finds" in run("evaluate", language_model, text, "--gpu-id", 99, code=1)
    for vocab in (model, tmp_path / "none"):
        printed = run("evaluate", language_model, text, "--vocab", vocab, code=1)
        assert "There is no vocabulary" in printed
    assert "lacks <S>" in run("evaluate", language_model, text, "--vocab", text, code=1)


def test_no_text_at_all_is_an_error(language_model, tmp_path):
    folder = write(tmp_path / "texts" / "a.txt", [[]]).parent
    with pytest.warns(UserWarning, match="holds no words"):
        printed = run("evaluate", language_model, folder, code=1)
    assert "None of the 1 files contains a word" in printed
