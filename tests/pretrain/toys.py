"""Generated text and small trainings on it, for the tests of pretraining."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.pretrain import checkpoint
from spacy_elmo.pretrain.config import PretrainConfig
from spacy_elmo.pretrain.loop import Pretraining
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.pretrain.trainer import Trainer
from spacy_elmo.runtime.workers import Workers

ONE = Workers(0, 1, torch.device("cpu"))
MODEL: dict[str, Any] = {
    "char_dim": 4,
    "filters": [[1, 6], [2, 6]],
    "max_characters": 10,
    "n_highway": 1,
    "hidden_dim": 12,
    "projection_dim": 8,
}
WHO = "cat dog fox owl hen baker miller weaver".split()
HOW = "grey old tiny proud sleepy".split()
DOES = "sees follows hears feeds forgets".split()
WHERE = ["near the pond", "by the mill", "at dusk", "in the barn"]


def sentences(n: int, seed: int = 0) -> list[list[str]]:
    """Return sentences of a small grammar, in which some words are predictable."""
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        who, other = draw.choice(WHO, 2)
        words = ["the", *draw.choice(HOW, draw.integers(0, 3)), who, draw.choice(DOES), "the"]
        words += [other, *str(draw.choice(WHERE)).split()] if draw.random() < 0.5 else [other]
        made.append([str(word) for word in (*words, ".")])
    return made


def documents(n: int, seed: int = 0) -> list[list[list[str]]]:
    made = sentences(n, seed)
    return [made[i : i + 10] for i in range(0, n, 10)]


def write_text(folder: Path, n: int = 60) -> None:
    """Write files of tokenized text: `train-*.txt` with ten sentences each, and `heldout.txt`."""
    for number, document in enumerate(documents(n)):
        lines = [" ".join(words) + "\n" for words in document]
        (folder / f"train-{number:02}.txt").write_text("".join(lines))
    lines = [" ".join(words) + "\n" for words in sentences(12, seed=1)]
    (folder / "heldout.txt").write_text("".join(lines))


def values(folder: Path = Path(), **changes: dict[str, Any]) -> dict[str, Any]:
    """Return the blocks of a config, with some settings of each block changed."""
    blocks: dict[str, dict[str, Any]] = {
        "text": {
            "train": [str(folder / "train-*.txt")],
            "heldout": [str(folder / "heldout.txt")],
            "cache": str(folder / "cache"),
            "tokenized": True,
        },
        "vocab": {"min_count": 1},
        "model": copy.deepcopy(MODEL),
        "softmax": {"kind": "full"},
        "batches": {"n_rows": 4, "n_steps": 5},
        "recipe": {},
        "training": {"epochs": 1.0, "eval_every": 10},
    }
    for block, settings in changes.items():
        blocks[block].update(settings)
    return blocks


def config(folder: Path = Path(), **changes: dict[str, Any]) -> PretrainConfig:
    return PretrainConfig.from_dict(values(folder, **changes))


def toy_trainer(corpus: Corpus, **changes: dict[str, Any]) -> Trainer:
    settings = config(**changes)
    return Trainer(settings, make_model(settings, corpus), corpus, ONE)


def pretraining(settings: PretrainConfig, output: Path) -> Pretraining:
    return Pretraining(settings, output, ONE, progress=False)


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a safetensors file, or of the safetensors files in a directory."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    loaded = {file.name: safetensors.torch.load_file(file) for file in files}
    return {f"{file}/{key}": x for file, parts in loaded.items() for key, x in parts.items()}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected) and found
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def assert_same_training(found: Path, expected: Path) -> None:
    """Assert that the last checkpoint and both models are bitwise identical."""
    last, other = checkpoint.latest(found), checkpoint.latest(expected)
    assert last is not None and other is not None and last.name == other.name
    (read, info), (other_read, other_info) = checkpoint.read(last), checkpoint.read(other)
    assert_same(read, other_read)
    for seconds in (info, other_info):
        seconds.pop("seconds")
    assert info == other_info
    for model in ("model-best", "model-last"):
        assert_same(tensors(found / model), tensors(expected / model))
