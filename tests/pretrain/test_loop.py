"""Complete trainings: their files, their ends, and their output directories."""

import json
import shutil
import sys
import types

import pytest
import torch

from spacy_elmo import load_bilm
from spacy_elmo.corpus.corpus_check import CHECKED_FILE
from spacy_elmo.lm.evaluate import Perplexity, evaluate
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.pretrain import checkpoint, loop
from spacy_elmo.pretrain.log import read

from . import toys
from .toys import ONE, config, pretraining, tensors, write_text

pytestmark = pytest.mark.slow

STEP_KEYS = {"step", "seconds", "loss", "norm", "rate", "words_per_second"}
EVALUATION_KEYS = {"step", "seconds", "words", "forward", "backward", "geometric", "arithmetic"}


def settings(folder, **changes):
    model = {"n_layers": 1, **changes.pop("model", {})}
    return config(folder, model=model, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a training of 28 steps with evaluations after steps 10, 20 and 28."""
    folder = tmp_path_factory.mktemp("finished")
    write_text(folder)
    training = pretraining(settings(folder), folder / "out")
    assert training.trainer.n_steps == 28
    return folder, training, training.run()


def test_the_log_has_a_row_for_each_evaluation_and_the_steps_before(finished):
    folder, training, last = finished
    rows = read(folder / "out")
    assert [json.loads(line) for line in (folder / "out" / "log.jsonl").open()] == rows
    assert [row["step"] for row in rows] == [10, 10, 20, 20, 28, 28]
    for steps, evaluation in zip(rows[::2], rows[1::2]):
        assert set(steps) == STEP_KEYS and set(evaluation) == EVALUATION_KEYS
        assert evaluation["words"] == 20 * evaluation["step"]
        squared = evaluation["forward"] * evaluation["backward"]
        assert evaluation["geometric"] == pytest.approx(squared**0.5)
    assert (last.forward, last.backward) == (rows[-1]["forward"], rows[-1]["backward"])
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert [row["rate"] for row in rows[::2]] == [
        training.config.recipe.rates((step - 0.5) / 28)[0] for step in (10, 20, 28)
    ]


def test_steps_between_evaluations_are_logged(folder):
    changes = {"training": {"epochs": 4.0, "eval_every": 1000}}
    training = pretraining(settings(folder, **changes), folder / "out")
    training.run()
    n_steps = training.trainer.n_steps
    assert 100 < n_steps < 150
    assert [row["step"] for row in read(folder / "out")] == [50, 100, n_steps, n_steps]


def test_the_directory_holds_models_curves_config_and_two_checkpoints(finished):
    folder, training, last = finished
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("checkpoints", "config.json", "curves.png", "log.jsonl", "model-best", "model-last")
    ]
    assert (folder / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in checkpoint.find(folder / "out")] == [
        *("000000020.safetensors", "000000028.safetensors")
    ]
    assert json.loads((folder / "out" / "config.json").read_text()) == training.config.to_dict()


def test_the_last_model_has_the_weights_of_the_last_step(finished):
    folder, training, last = finished
    model = LanguageModel.load(folder / "out" / "model-last")
    for name, tensor in training.trainer.model.named_parameters():
        assert torch.equal(model.get_parameter(name), tensor), name
    assert evaluate(model, training.heldout, ONE) == last
    assert load_bilm(folder / "out" / "model-last").options == training.config.model.to_options()


def test_the_best_model_has_the_weights_of_the_best_evaluation(folder, monkeypatch):
    perplexities = iter([9.0, 7.0, 8.0])
    monkeypatch.setattr(loop, "evaluate", lambda *_: Perplexity(next(perplexities), 7.5, 1, 0.0, 1))
    last = pretraining(settings(folder), folder / "out").run()
    assert last is not None and last.forward == 8
    at_20, at_28 = (checkpoint.read(path)[0] for path in checkpoint.find(folder / "out"))
    for tensors_then, name in ((at_20, "model-best"), (at_28, "model-last")):
        weight = LanguageModel.load(folder / "out" / name).head.weight
        assert torch.equal(weight, tensors_then["model.head.weight"])


def test_it_stops_when_the_patience_is_used_up(folder):
    still = {"name": "paper", "learn_rate": 1e-30}
    changes = {"recipe": still, "training": {"patience": 2, "eval_every": 3}}
    last = pretraining(settings(folder, **changes), folder / "out").run()
    # the first evaluation is the best, and two follow
    assert [row["step"] for row in read(folder / "out") if "forward" in row] == [3, 6, 9]
    assert last is not None and (folder / "out" / "model-last").is_dir()
    assert pretraining(settings(folder, **changes), folder / "out").run() is None


def test_it_stops_at_the_time_limit(folder):
    changes = {"training": {"max_minutes": 1e-9}}
    assert pretraining(settings(folder, **changes), folder / "out").run() is not None
    assert [row["step"] for row in read(folder / "out")] == [1, 1]
    assert (folder / "out" / "model-best").is_dir() and (folder / "out" / "model-last").is_dir()
    assert pretraining(settings(folder, **changes), folder / "out").run() is None


def contents(folder):
    # the second training stores in the cache that it has checked the cache
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: path.read_bytes() for path in files if path.name != CHECKED_FILE}


def test_a_finished_training_is_not_changed(finished):
    folder, training, _ = finished
    before = contents(folder)
    assert pretraining(training.config, folder / "out").run() is None
    assert contents(folder) == before


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batches": {"n_rows": 8}}, r"\[batches\] n_rows = 4\. "),
        ({"training": {"seed": 1, "dropout": 0.1}}, r"\[training\] dropout = 0.0; .* seed = 0\. "),
        ({"recipe": {"name": "paper"}}, r"\[recipe\] name = 'modern'; "),
        ({"model": {"n_layers": 2}}, r"\[model\] n_layers = 1\. "),
        ({"text": {"document": "blank_line"}}, r"\[text\] document = 'file'\. "),
    ],
)
def test_other_settings_are_an_error(finished, changes, message):
    folder, _, _ = finished
    before = contents(folder)
    with pytest.raises(ValueError, match=f"was started with other settings: {message}"):
        pretraining(settings(folder, **changes), folder / "out")
    assert contents(folder) == before


def test_a_setting_that_was_added_since_has_had_its_default(finished):
    folder, training, _ = finished
    path = folder / "out" / "config.json"
    written = path.read_text()
    before = json.loads(written)
    del before["text"]["document"]
    path.write_text(json.dumps(before))
    try:
        assert pretraining(training.config, folder / "out").run() is None
        changed = settings(folder, text={"document": "blank_line"})
        with pytest.raises(ValueError, match=r"other settings: \[text\] document = 'file'\. "):
            pretraining(changed, folder / "out")
    finally:
        path.write_text(written)


def test_articles_of_one_file_are_trained_on_like_files(folder):
    articles = [path.read_text() for path in sorted(folder.glob("train-*.txt"))]
    (folder / "all.txt").write_text("\n\n".join(articles))
    whole = {"train": [str(folder / "all.txt")]}
    files = pretraining(settings(folder), folder / "files")
    separated = settings(folder, text={**whole, "document": "blank_line"})
    found = pretraining(separated, folder / "articles")
    assert found.corpus.n_documents == len(articles) == 6
    for name in ("words", "tokens", "starts", "documents"):
        assert list(getattr(found.corpus, name)) == list(getattr(files.corpus, name))
    assert torch.equal(found.trainer.train_step().losses, files.trainer.train_step().losses)
    assert pretraining(settings(folder, text=whole), folder / "whole").corpus.n_documents == 1


def test_other_directories_are_an_error(folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="notes holds 'diary.txt', but no training to resume"):
        pretraining(settings(folder), folder / "notes")
    assert [path.name for path in (folder / "notes").iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"text": 1}', '{"format": "other"}'])
def test_damaged_config_files_are_an_error(folder, text):
    (folder / "out").mkdir()
    (folder / "out" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged|started with other settings"):
        pretraining(settings(folder), folder / "out")


def test_missing_tensorboard_is_an_error(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        pretraining(settings(folder, training={"tensorboard": True}), folder / "out")


def test_all_log_rows_are_written_to_tensorboard(folder, monkeypatch):
    written, module = [], types.ModuleType("torch.utils.tensorboard")

    class SummaryWriter:
        def __init__(self, path, purge_step):
            written.append((path, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            written.append("closed")

    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    pretraining(settings(folder, training={"tensorboard": True}), folder / "out").run()
    expected = [
        (name, value, row["step"])
        for row in read(folder / "out")
        for name, value in row.items()
        if name != "step"
    ]
    assert written == [(str(folder / "out" / "tensorboard"), 1), *expected, "closed"]


def test_the_vocabulary_can_be_a_file(folder):
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n.\ncat\n")
    given = settings(folder, vocab={"file": str(folder / "vocab.txt")})
    pretraining(given, folder / "out").run()
    model = LanguageModel.load(folder / "out" / "model-last")
    assert model.vocab.words == ["<S>", "</S>", "<UNK>", "the", ".", "cat"]


def init_from(folder, model, **changes):
    blocks = toys.values(folder, **changes)
    del blocks["model"]
    return toys.PretrainConfig.from_dict({**blocks, "init": {"path": str(model)}})


def test_a_pretrained_model_keeps_its_softmax(finished, folder):
    model = finished[0] / "out" / "model-last"
    training = pretraining(init_from(folder, model), folder / "out")
    for name, tensor in finished[1].trainer.model.named_parameters():
        assert torch.equal(training.trainer.model.get_parameter(name), tensor), name
    training.run()
    last = LanguageModel.load(folder / "out" / "model-last")
    assert not torch.equal(last.head.weight, LanguageModel.load(model).head.weight)


def test_other_words_get_a_new_softmax_with_a_warning(finished, folder):
    (folder / "train-99.txt").write_text("an unheard word\n")
    model = finished[0] / "out" / "model-last"
    with pytest.warns(UserWarning, match="A new softmax is trained. .* set .*vocab.txt"):
        training = pretraining(init_from(folder, model), folder / "out")
    assert "unheard" in training.trainer.model.vocab.words
    for name, tensor in training.trainer.model.bilm.state_dict().items():
        assert torch.equal(tensor, tensors(model)[f"model.safetensors/{name}"]), name


def test_the_vocabulary_of_a_pretrained_model_keeps_its_softmax(finished, folder):
    (folder / "train-99.txt").write_text("an unheard word\n")
    model = finished[0] / "out" / "model-last"
    vocab = {"file": str(model / "vocab.txt")}
    training = pretraining(init_from(folder, model, vocab=vocab), folder / "out")
    expected = LanguageModel.load(model).head.weight
    assert torch.equal(training.trainer.model.head.weight, expected)


def test_a_damaged_pretrained_softmax_is_an_error(finished, folder):
    model = shutil.copytree(finished[0] / "out" / "model-last", folder / "model")
    (model / "lm_head.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="lm_head.safetensors is not a complete safetensors file"):
        pretraining(init_from(folder, model), folder / "out")


def test_a_vocabulary_that_is_not_sorted_gives_a_warning(folder):
    words = sorted(toys.WHO + toys.HOW + toys.DOES) + ["the", "."]
    (folder / "vocab.txt").write_text("\n".join(["<S>", "</S>", "<UNK>", *words]) + "\n")
    vocab = {"file": str(folder / "vocab.txt")}
    adaptive = {"kind": "adaptive", "cutoffs": [8]}
    with pytest.warns(UserWarning, match="not sorted by frequency"):
        pretraining(settings(folder, vocab=vocab, softmax=adaptive), folder / "out")


def test_a_model_with_clusters_can_be_trained_with_samples(folder):
    adaptive = settings(folder, softmax={"kind": "adaptive", "cutoffs": [8, 16]})
    pretraining(adaptive, folder / "first").run()
    sampled = {"kind": "sampled", "n_samples": 8}
    given = init_from(folder, folder / "first" / "model-last", softmax=sampled)
    assert pretraining(given, folder / "second").run() is not None
