"""Perplexity after a fixed training time, compared with a plain language model of the same size.

    python benchmarks/perplexity.py configs/pretrain_small.cfg modern --minutes 20 \
        --train novels/train --heldout novels/heldout [--threads 1] [--json FILE]

`modern` and `paper` train the biLM of the config with the recipe of this name. `plain` trains a
`torch.nn.LSTM` for each direction on whole words, without characters, clipping or residual
connections. It has the same cell, projection, layers, vocabulary, softmax and batches as `modern`,
and is trained by AdamW with the same learning rate. `plain-muon` also trains its matrices by Muon.
The learning rates depend on the training time, and reach zero at the end of `--minutes`.
Evaluations do not count as training time. They are over all words and sentence ends of the held-out
text, with the full softmax.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from common import machine
from spacy.util import load_config
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from yardsticks import kinds_of_lstm_weights

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.readers import TextSettings
from spacy_elmo.lm.evaluate import MAX_ROWS, N_STEPS, evaluate
from spacy_elmo.lm.evaluation_windows import EvaluationWindows
from spacy_elmo.lm.lm_head import make_head
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.lm.word_codes import codes_to_ids
from spacy_elmo.pretrain.config import PretrainConfig
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.pretrain.trainer import Trainer
from spacy_elmo.pretrain.windows import make_windows
from spacy_elmo.runtime.memory import keep_freed_memory
from spacy_elmo.runtime.workers import Workers

ONE = Workers(0, 1, torch.device("cpu"))
# the settings of Peters et al. (2018), with samples in proportion to the vocabulary
PAPER: dict[str, dict[str, Any]] = {
    "recipe": {"name": "paper"},
    "softmax": {"kind": "sampled", "n_samples": 4096},
    "batches": {"n_rows": 128, "n_steps": 20, "order": "shuffled", "reset": 0.0},
    "training": {"dropout": 0.1},
}


class BiLMRun:
    """A biLM that is trained with a recipe."""

    def __init__(self, config: PretrainConfig, train: Corpus, heldout: Corpus) -> None:
        self.heldout = heldout
        self.trainer = Trainer(config, make_model(config, train), train, ONE)
        self.trainer.n_steps = 10**9  # the learning rates depend on the time alone
        self.positions_per_step = self.trainer.positions_per_step

    def step(self, done: float) -> None:
        """Train one step.

        done (float): The fraction of the training time that has elapsed, 0 to 1.
        """
        self.trainer.time_fraction = done
        self.trainer.train_step()

    def evaluate(self) -> tuple[float, float]:
        """Return the forward and the backward perplexity on the held-out text."""
        perplexity = evaluate(self.trainer.model, self.heldout, ONE)
        return perplexity.forward, perplexity.backward


class PlainRun:
    """A `torch.nn.LSTM` for each direction on word embeddings. The directions share the embeddings
    and the softmax."""

    def __init__(self, config: PretrainConfig, train: Corpus, heldout: Corpus) -> None:
        assert config.model is not None
        options, batches = config.model.to_options(), config.batches
        assert options is not None
        self.config, self.heldout = config, heldout
        self.vocab = Vocab.count(train, config.vocab.max_size, config.vocab.min_count)
        torch.manual_seed(config.training.seed)
        dim = options.projection_dim
        self.embedding = nn.Embedding(len(self.vocab), dim)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.lstms = nn.ModuleList(
            nn.LSTM(dim, options.hidden_dim, options.n_layers, proj_size=dim) for _ in range(2)
        )
        self.head = make_head(len(self.vocab), dim, config.softmax.cutoffs)
        counts = torch.from_numpy(self.vocab.counts).double().clamp(min=0.5)
        self.head.init_bias((counts / counts.sum()).float())
        self.params = [*self.embedding.parameters(), *self.lstms.parameters()]
        self.params += self.head.parameters()
        self.optimizers = self.make_optimizers()
        self.windows = [make_windows(config, train, reverse) for reverse in (False, True)]
        self.ids = codes_to_ids(self.vocab, train.words)
        self.states: list[Any] = [None, None]
        self.positions_per_step = batches.n_rows * batches.n_steps

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Create AdamW for all weights."""
        return self.config.recipe.optimizers(self.params, [], [])[:1]

    def step(self, done: float) -> None:
        """Train one step; see `BiLMRun.step`."""
        total = torch.zeros(())
        for d, (windows, lstm) in enumerate(zip(self.windows, self.lstms)):
            read, follows = (torch.from_numpy(self.ids[codes]) for codes in windows.next())
            top, state = lstm(self.embedding(read), self._reset(self.states[d]))
            self.states[d] = tuple(tensor.detach() for tensor in state)
            total = total + self.head(top.flatten(0, 1), follows.flatten()) / (2 * read.numel())
        total.backward()
        nn.utils.clip_grad_norm_(self.params, self.config.recipe.clip)
        for optimizer, rate in zip(self.optimizers, self.config.recipe.rates(done)):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()

    def _reset(self, state: Any) -> Any:
        """Set the states of some rows to zero, as in the training of the biLM."""
        if state is None:
            return None
        mask = torch.rand(state[0].shape[1], 1) >= self.config.batches.reset
        return tuple(tensor * mask for tensor in state)

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Return the perplexities on the held-out text; see `BiLMRun.evaluate`."""
        ids = codes_to_ids(self.vocab, self.heldout.words)
        windows = EvaluationWindows(self.heldout, MAX_ROWS, N_STEPS)
        losses, n_positions = [0.0, 0.0], 0
        states: list[Any] = [None, None]
        for active, read, follows in windows:
            for d, lstm in enumerate(self.lstms):
                state = states[d] and tuple(x[:, : active[0]].contiguous() for x in states[d])
                x = self.embedding(torch.from_numpy(ids[read[d]]))
                top, states[d] = lstm(PackedSequence(x, torch.tensor(active)), state)
                losses[d] += self.head(top.data, torch.from_numpy(ids[follows[d]])).item()
            n_positions += read.shape[1]
        forward, backward = (math.exp(loss / n_positions) for loss in losses)
        return forward, backward


class PlainMuonRun(PlainRun):
    """A `PlainRun` with the optimizers of the biLM."""

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Create AdamW and Muon for their groups of weights."""
        biases, matrices, gates = kinds_of_lstm_weights(self.lstms)
        others = [*self.embedding.parameters(), *self.head.parameters(), *biases]
        return self.config.recipe.optimizers(others, matrices, gates)


MODELS = {"modern": BiLMRun, "paper": BiLMRun, "plain": PlainRun, "plain-muon": PlainMuonRun}


def run(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate a model.

    name (str): A key of `MODELS`.
    args (Namespace): The arguments of the script.
    RETURNS (Dict[str, Any]): The evaluations, with the name of the model, the time and the machine.
    RAISES (ValueError): If the config has settings that the plain model does not support.
    """
    values = dict(load_config(args.config, overrides=overrides(args), interpolate=True))
    if name == "paper":
        values = {**values, "recipe": {}}
        values = {block: {**rest, **PAPER.get(block, {})} for block, rest in values.items()}
    config = PretrainConfig.from_dict(values)
    restricted = (config.training.precision, config.training.dropout, config.batches.accumulate)
    if MODELS[name] is not BiLMRun and restricted != ("float32", 0.0, 1):
        raise ValueError(
            "The plain model does not support bfloat16, dropout or accumulation. In the config, "
            "set precision to float32, dropout to 0 and accumulate to 1."
        )
    text = config.text
    settings = TextSettings(text.lang, text.tokenized, text.text_key, text.document)
    train, heldout = (
        open_corpus(files, settings, config.text.cache)
        for files in (config.text.train, config.text.heldout)
    )
    model = MODELS[name](config, train, heldout)
    budget, used, n_steps = args.minutes * 60, 0.0, 0
    evaluations: list[dict[str, float]] = []
    while used < budget:
        start = time.perf_counter()
        model.step(used / budget)
        used += time.perf_counter() - start
        n_steps += 1
        if used >= budget * (len(evaluations) + 1) / args.evaluations:
            forward, backward = model.evaluate()
            words = n_steps * model.positions_per_step
            evaluations.append(
                {"minutes": used / 60, "words": words, "forward": forward, "backward": backward}
            )
            print(
                f"{name}: {used / 60:.1f} min, {words:,} words, perplexity forward "
                f"{forward:.1f}, backward {backward:.1f}",
                flush=True,
            )
    return {
        "model": name,
        "minutes": args.minutes,
        "machine": machine(),
        "evaluations": evaluations,
    }


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides of the config that the arguments of the script set."""
    given = {"paths.train": args.train, "paths.heldout": args.heldout}
    if args.cache:
        given["text.cache"] = args.cache
    if args.rate:
        given["recipe.learn_rate"] = args.rate
    return given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", type=Path, help="pretraining config")
    parser.add_argument("model", choices=tuple(MODELS))
    parser.add_argument("--train", required=True, help="training text")
    parser.add_argument("--heldout", required=True, help="held-out text")
    parser.add_argument("--cache", help="folder for the tokenized text")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, help="learning rate instead of the config's")
    parser.add_argument("--evaluations", type=int, default=4, help="number of evaluations")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    found = run(args.model, args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
