"""The command `evaluate`: the perplexity of a text."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.evaluate import evaluate
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
    assert f"{sum(len(words) + 1 for words in TEXT)} in each direction" in printed


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
