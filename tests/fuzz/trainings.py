"""The unfinished output of `pretrain` and `embed`, from which the next run resumes."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from spacy_elmo import save_bilm
from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.readers import TextSettings
from spacy_elmo.embed import run as embed_run
from spacy_elmo.pretrain import checkpoint
from spacy_elmo.pretrain.trainer import Trainer

from ..pretrain import toys
from ..samples import tiny_bilm
from .target import Result, Target, digest

TOKENS = "output.npz.tokens.txt"


class Killed(Exception):
    """Ends a run early."""


def settings_of(folder: Path) -> Any:
    training = {"epochs": 1.0, "eval_every": 4, "max_minutes": 0.0}
    model = {"n_layers": 1, "hidden_dim": 4, "projection_dim": 3}
    batches = {"n_rows": 4, "n_steps": 20}
    return toys.config(folder, training=training, model=model, batches=batches)


def make_training(folder: Path) -> None:
    """Write a training of 6 to 8 steps, killed after step 5, with a checkpoint at step 4."""
    toys.write_text(folder)
    train_step = Trainer.train_step

    def killed(self: Trainer) -> Any:
        if self.step >= 5:
            raise Killed
        return train_step(self)

    try:
        with mock.patch.object(Trainer, "train_step", killed):
            toys.pretraining(settings_of(folder), folder / "output").run()
    except Killed:
        return
    raise AssertionError("The training ended before it was killed.")


def read_training(folder: Path) -> Result:
    toys.pretraining(settings_of(folder), folder / "output").run()
    tensors = toys.tensors(folder / "output" / "model-last")
    last = checkpoint.latest(folder / "output")
    assert last is not None
    read, _ = checkpoint.read(last)
    return {
        "model": digest(*(x for pair in sorted(tensors.items()) for x in pair)),
        "checkpoint": digest(*(x for pair in sorted(read.items()) for x in pair)),
    }


def make_cache(folder: Path) -> None:
    toys.write_text(folder)
    read_cache(folder)


def read_cache(folder: Path) -> Result:
    settings = TextSettings(tokenized=True)
    corpus = open_corpus(folder / "train-*.txt", settings, folder / "cache", progress=False)
    arrays = (corpus.tokens, corpus.starts, corpus.documents, corpus.counts)
    return {"corpus": digest(corpus.words, *map(np.asarray, arrays))}


def make_shards(folder: Path) -> None:
    """Write the shards of an `embed` run that was killed before it wrote its output."""
    save_bilm(tiny_bilm(), folder / "model")
    toys.write_text(folder, 20)
    try:
        with mock.patch.object(embed_run, "write_outputs", side_effect=Killed):
            _embed(folder)
    except Killed:
        return
    raise AssertionError("The run ended before it was killed.")


def read_shards(folder: Path) -> Result:
    _embed(folder)
    with np.load(folder / "output.npz") as arrays:
        found = [x for name in arrays for x in (name, arrays[name])]
    return {"vectors": digest(*found), "tokens": digest((folder / TOKENS).read_bytes())}


def _embed(folder: Path) -> None:
    texts = sorted(folder.glob("*.txt"))
    settings = embed_run.EmbedSettings(model=str(folder / "model"), shard_tokens=40, tokenized=True)
    embed_run.embed_files(texts, folder / "output.npz", settings, progress=False)


TARGETS = [
    Target("checkpoint", make_training, read_training, ("output/checkpoints/*",), True),
    Target("corpus-cache", make_cache, read_cache, ("cache/*/*",), True),
    Target("embed-parts", make_shards, read_shards, ("output.npz.parts/**/*",), True),
]
