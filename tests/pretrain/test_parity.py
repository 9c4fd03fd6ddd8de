"""Training, compared with numbers from a run of the original training graph."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.evaluate import evaluate
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.lm.lm_head import FullSoftmax
from spacy_elmo.lm.sampler import LogUniformSampler
from spacy_elmo.lm.softmax import sampled_cross_entropy
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.lm.word_codes import FIRST_WORD
from spacy_elmo.pretrain.config import PretrainConfig
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.pretrain.trainer import Trainer
from spacy_elmo.runtime.workers import Workers

ONE = Workers(0, 1, torch.device("cpu"))
OPTIONS = {
    "lstm": {
        "dim": 16,
        "projection_dim": 8,
        "n_layers": 2,
        "cell_clip": 3,
        "proj_clip": 3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 4},
        "filters": [[1, 8], [2, 8], [3, 16], [4, 32], [5, 64]],
        "n_highway": 2,
        "n_characters": 262,
        "max_characters_per_token": 10,
        "activation": "relu",
    },
}
N_STEPS = 40


@pytest.fixture(scope="module")
def reference(data_dir):
    with np.load(data_dir / "training-parity" / "reference.npz") as file:
        return {name: file[name] for name in file.files}


def dataset_name(variable: str) -> str:
    """Return the name of a variable of the training graph in the original weight files."""
    name = variable.split(":")[0].replace("lm/", "").replace("/rnn/", "/RNN/")
    name = name.replace("multi_rnn_cell", "MultiRNNCell").replace("lstm_cell", "LSTMCell")
    name = re.sub(r"cell_(\d+)", r"Cell\1", name)
    for old, new in (("projection/kernel", "W_P_0"), ("kernel", "W_0"), ("bias", "B")):
        name = name.replace(f"LSTMCell/{old}", f"LSTMCell/{new}")
    return name


def variables(reference, when: str):
    prefix = f"{when}/"
    found = {k[len(prefix) :]: v for k, v in reference.items() if k.startswith(prefix)}
    return {dataset_name(name): value for name, value in found.items()}


def load_initial(reference, folder: Path, vocab: Vocab) -> LanguageModel:
    initial = variables(reference, "init")
    with h5py.File(folder / "init.hdf5", "w") as file:
        for name, value in initial.items():
            if not name.startswith("softmax"):
                file[name] = value
    (folder / "options.json").write_text(json.dumps(OPTIONS))
    bilm = load_bilm(folder / "init.hdf5", folder / "options.json")
    head = FullSoftmax(*initial["softmax/W"].shape)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(initial["softmax/W"]))
        head.bias.copy_(torch.from_numpy(initial["softmax/b"]))
    return LanguageModel(bilm, head, vocab)


def test_the_paper_recipe_gives_the_original_losses_norms_and_weights(
    reference, fixtures, tmp_path
):
    vocab = Vocab.from_file(fixtures / "train" / "vocab.txt")
    sentences = [line.split() for line in (fixtures / "train" / "data.txt").open()]
    corpus = Corpus.from_sentences([sentences])
    model = load_initial(reference, tmp_path, vocab)
    config = PretrainConfig.from_dict(
        {
            "text": {"train": [], "heldout": []},
            "softmax": {"kind": "full"},
            "batches": {"n_rows": 2, "n_steps": 10, "reset": 0.0},
            "recipe": {"name": "paper", "clip": 1.0},
            "training": {"epochs": 1000.0},
            "init": {"path": "init.hdf5"},
        }
    )
    trainer = Trainer(config, model, corpus, ONE)
    characters = spelled(trainer.spelling.chars)
    losses, norms = [], []
    for step in range(N_STEPS):
        windows = []
        for suffix in ("", "_reverse"):
            chars = reference[f"b{step}/tokens_characters{suffix}"]
            targets = reference[f"b{step}/next_token_id{suffix}"]
            # compare spellings, because words that are read can be outside of the vocabulary
            read = np.array([[characters[tuple(word)] for word in row] for row in chars])
            follows = np.array([[code_of(trainer, target) for target in row] for row in targets])
            windows.append((read.T, follows.T))
        losses.append(float(trainer.add_gradient(windows).mean()))
        norms.append(float(trainer.update()))
    np.testing.assert_allclose(losses, reference["loss"], atol=1e-6)
    np.testing.assert_allclose(norms, reference["norm"], atol=1e-6)
    save_bilm(model.bilm, tmp_path / "final.hdf5")
    final = variables(reference, "final")
    with h5py.File(tmp_path / "final.hdf5", "r") as file:
        for name, expected in final.items():
            if not name.startswith("softmax"):
                np.testing.assert_allclose(file[name], expected, atol=1e-6, err_msg=name)
    head = model.head.state_dict()
    np.testing.assert_allclose(head["weight"], final["softmax/W"], atol=1e-6)
    np.testing.assert_allclose(head["bias"], final["softmax/b"], atol=1e-6)


@pytest.mark.slow
def test_the_toy_corpus_of_the_original_is_learned(fixtures):
    """A test of the original code: the perplexity is below 20 after 300 steps."""
    vocab = Vocab.from_file(fixtures / "train" / "vocab.txt")
    sentences = [line.split() for line in (fixtures / "train" / "data.txt").open()]
    corpus = Corpus.from_sentences([sentences])
    config = PretrainConfig.from_dict(
        {
            "text": {"train": [], "heldout": []},
            "vocab": {"file": str(fixtures / "train" / "vocab.txt")},
            "softmax": {"kind": "sampled", "n_samples": 16},
            "batches": {"n_rows": 2, "n_steps": 10, "order": "shuffled", "reset": 0.0},
            "recipe": {"name": "paper", "clip": 1.0},
            "training": {"epochs": 300 * 20 / corpus.n_positions, "dropout": 0.1},
            "model": {
                "hidden_dim": 16,
                "projection_dim": 8,
                "char_dim": 4,
                "filters": [[1, 8], [2, 8], [3, 16], [4, 32], [5, 64]],
                "max_characters": 10,
                "activation": "tanh",
                "n_highway": 1,
            },
        }
    )
    trainer = Trainer(config, make_model(config, corpus), corpus, ONE)
    assert trainer.n_steps == 300 and trainer.sampler is not None
    assert trainer.model.vocab.words == vocab.words
    for _ in range(trainer.n_steps):
        trainer.train_step()
    assert evaluate(trainer.model, corpus, ONE).geometric < 20


def spelled(chars: np.ndarray):
    return {tuple(row): code for code, row in enumerate(chars.tolist())}


def code_of(trainer: Trainer, target: int) -> int:
    """Return a code whose class is the target."""
    code = int(np.flatnonzero(trainer.ids == target)[0])
    assert code < FIRST_WORD or trainer.ids[code] == target
    return code


@pytest.mark.parametrize("draw", range(3))
def test_expected_counts_of_the_sampler_agree_with_the_original(reference, draw):
    ids = reference[f"samp{draw}/ids"]
    sampler = LogUniformSampler(1000, 64)
    expected = reference[f"samp{draw}/se"]
    n_draws = fitting_draws(sampler, ids, expected)
    found = sampler.log_expected(torch.from_numpy(ids), n_draws).exp()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    true = sampler.log_expected(torch.tensor([3, 17, 900]), n_draws).exp()
    np.testing.assert_allclose(true, reference[f"samp{draw}/te"][:, 0], rtol=1e-5)


def fitting_draws(sampler: LogUniformSampler, ids, expected) -> int:
    """Return the number of draws of the original code. It is not stored, but it determines the
    expected counts."""
    classes = torch.from_numpy(ids)
    errors = [
        float((sampler.log_expected(classes, n).exp().numpy() - expected).__abs__().max())
        for n in range(len(ids), 40 * len(ids))
    ]
    return len(ids) + int(np.argmin(errors))


def test_the_sampled_softmax_agrees_with_the_original(reference):
    given = {k[3:]: torch.from_numpy(v) for k, v in reference.items() if k.startswith("ss/")}
    for row, expected in enumerate(given["loss"]):
        corrections = given["te"][row].log(), given["se"].log()
        loss = sampled_cross_entropy(
            *(given["x"][row, None], given["W"], given["b"], given["y"][row]),
            *(given["ids"], corrections),
        )
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
