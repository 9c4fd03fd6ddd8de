"""Tokens per second of a pretraining step, compared with other implementations of the same step.

    python benchmarks/pretrain.py [--sizes small medium original] [--precision tf32]
        [--device cuda] [--json FILE] [--png FILE]

A step reads a window in both directions, draws samples, computes the gradients of the sampled
softmax, clips them, and updates the weights with the optimizers of the recipe `modern`. A token
that is read in both directions counts once. Words have the frequencies of English prose. All
implementations take the same step with the same weights, alternately:

ours      the language model of `spacy elmo pretrain`
eager     the char-CNN of ours on the distinct words, and the formulas of the LSTMs and the softmax
          under autograd
textbook  as eager, with the CNN on all character positions of every token
nn.LSTM   ours with `torch.nn.LSTM`, which does not clip
GEMMs     only the matrix products of our step

The script checks that `eager` and `textbook` compute the same losses as `ours`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from common import best_times, machine, make_words, plot
from textbook import TextbookLosses
from torch import Tensor, nn
from yardsticks import TorchLSTM, kinds_of_lstm_weights, matmuls_only

from spacy_elmo.bilm import BiLM, BiLMOptions
from spacy_elmo.bilm.token_embedder import Spelling
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.lm.lm_head import make_head
from spacy_elmo.lm.sampler import LogUniformSampler, Sample
from spacy_elmo.lm.vocab import SPECIAL, Vocab
from spacy_elmo.lstm.cuda_graphs import capture
from spacy_elmo.pretrain.config import Precision
from spacy_elmo.pretrain.cuda_graph_losses import GraphedLosses, WindowTensors, can_capture
from spacy_elmo.pretrain.precision import matmul_precision, model_precision
from spacy_elmo.pretrain.recipes import Modern
from spacy_elmo.runtime.devices import send
from spacy_elmo.runtime.memory import keep_freed_memory
from spacy_elmo.runtime.workers import Workers

FIVE = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))
SEVEN = (*FIVE, (6, 512), (7, 1024))
# sizes of the biLM, size of the vocabulary, number of samples
SIZES: dict[str, Any] = {
    "small": (BiLMOptions(512, 128, filters=FIVE, n_highway=1), 25_000, 4096),
    "medium": (BiLMOptions(1024, 128, filters=SEVEN, n_highway=1), 100_000, 8192),
    "original": (BiLMOptions(4096, 512, filters=SEVEN, n_highway=2), 100_000, 8192),
}
N_ROWS, N_STEPS = 128, 20
COLUMNS = ("ours", "eager", "textbook", "nn.LSTM", "GEMMs")


class Bench:
    """The implementations of a step, on one window.

    size (str): A key of `SIZES`.
    precision (str): "float32" or "bfloat16".
    device (torch.device): The device.
    """

    def __init__(self, size: str, precision: str, device: torch.device) -> None:
        options, n_words, n_samples = SIZES[size]
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        names = [f"w{n}" for n in range(n_words - len(SPECIAL))]
        head = make_head(n_words, options.projection_dim)
        self.model = LanguageModel(BiLM(options), head, Vocab([*SPECIAL, *names])).to(device)
        self.model.requires_grad_(True)
        self.precision, self.device = precision, device
        words, chance = make_words(rng)
        self.spelling = self.model.bilm.tokens.spell(words)
        shape = (options.n_directions, N_STEPS * N_ROWS)
        self.read = rng.choice(len(words), shape, p=chance) + 2
        self.sampler, self.rng = LogUniformSampler(n_words, n_samples), rng
        ranks = np.exp(rng.random(shape) * np.log(n_words)).astype(np.int64)
        self.targets = torch.from_numpy(ranks).to(device)
        self.draw()
        self.state = self.model.bilm.zero_state(N_ROWS)
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.textbook = TextbookLosses(self.model, dtype)
        self.torch_lstm = TorchLSTM(self.model, dtype)
        self.torch_lstm.to(device)
        assert self.spelling.chars is not None
        chars = torch.from_numpy(self.spelling.chars[self.read]).long()
        self.chars = chars.view(options.n_directions, N_STEPS, N_ROWS, -1).to(device)
        self.optimizers = self._optimizers(self.model)
        self.other_optimizers = self._optimizers(self.torch_lstm)
        self.graphed: GraphedLosses | None = None

    def _optimizers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """Return the recipe's optimizers, for our LSTMs or for `torch.nn.LSTM`."""
        kinds = self.model.parameter_groups()
        if module is self.torch_lstm:
            ours = set(self.model.bilm.layers.parameters())
            kinds = tuple([param for param in kind if param not in ours] for kind in kinds)
            theirs = kinds_of_lstm_weights(self.torch_lstm.lstms)
            kinds = tuple(a + b for a, b in zip(kinds, theirs))
        return Modern(learn_rate=1e-4, matrix_rate=1e-4).optimizers(*kinds)

    def draw(self) -> None:
        """Draw new samples for the softmax."""
        drawn, self.n_draws = self.sampler.draw(self.rng)
        self.samples = send(torch.from_numpy(drawn), self.device)

    def ours(self) -> Tensor:
        """Return the losses of `ours`, the mean of each direction [D]."""
        spelling, places = self._read()
        losses, _ = self.model(
            spelling,
            places.flatten(1),
            self.targets,
            [N_ROWS] * N_STEPS,
            self.state,
            precision=self.precision,
            samples=self._samples(),
        )
        return losses

    def graphed_step(self) -> None:
        """Run a step of `ours` with CUDA graphs."""
        self.draw()
        spelling, places = self._read()
        x = self.model.look_up(self.model.embed(spelling, self.precision), places.flatten(1))
        window = WindowTensors(x, self.targets, self.state, self._samples())
        if self.graphed is None:
            self.graphed = GraphedLosses(
                self.model,
                window,
                [N_ROWS] * N_STEPS,
                precision=self.precision,
                dropout=0.0,
                factor=1.0,
            )
        _, _, d_x = self.graphed(window)
        x.backward(d_x)
        self.update(self.optimizers)

    def with_textbook(self) -> Tensor:
        """Return the losses of `textbook` [D]."""
        return self.textbook(self.chars, self.targets, self.samples, self._corrections())

    def with_eager(self) -> Tensor:
        """Return the losses of `eager` [D]."""
        table, places = self._words()
        return self.textbook(places, self.targets, self.samples, self._corrections(), table=table)

    def with_torch_lstm(self) -> Tensor:
        """Return the losses of `nn.LSTM` [D]."""
        table, places = self._words()
        return self.torch_lstm.losses(
            table=table,
            places=places,
            targets=self.targets,
            samples=self.samples,
            corrections=self._corrections(),
        )

    def _read(self) -> tuple[Spelling, Tensor]:
        """Return the distinct words, and the index of each position into them [D, T, B]."""
        distinct, places = np.unique(self.read, return_inverse=True)
        places = torch.from_numpy(places.reshape(len(self.read), N_STEPS, N_ROWS))
        return self.spelling[distinct], send(places, self.device)

    def _words(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of the distinct words [n, P], and the index of each position into them
        [D, T, B]."""
        spelling, places = self._read()
        return self.model.embed(spelling, self.precision), places

    def _corrections(self) -> list[Any]:
        log_expected = self.sampler.log_expected
        samples = log_expected(self.samples, self.n_draws)
        return [(log_expected(targets, self.n_draws), samples) for targets in self.targets]

    def _samples(self) -> list[Sample]:
        return [Sample(self.samples, corrections) for corrections in self._corrections()]

    def step(self, losses: Callable[[], Tensor], optimizers: list[torch.optim.Optimizer]) -> None:
        """Run a step of an implementation.

        losses (Callable[[], Tensor]): Computes the losses of the implementation.
        optimizers (List[Optimizer]): Its optimizers.
        """
        self.draw()
        losses().mean().backward()
        self.update(optimizers)

    def update(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Clip the gradients, update the weights, and wait for the GPU."""
        params = [
            param for o in optimizers for group in o.param_groups for param in group["params"]
        ]
        nn.utils.clip_grad_norm_(params, 0.5)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def check(self) -> None:
        """Check that `eager` and `textbook` compute the same losses as `ours`.

        RAISES (AssertionError): If the losses differ.
        """
        tolerance = 1e-4 if self.precision == "float32" else 0.02
        with torch.no_grad():
            expected = self.ours()
            for found in (self.with_textbook(), self.with_eager()):
                torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)

    def measure(self, repeats: int) -> dict[str, float]:
        """Return the tokens per second of each implementation.

        repeats (int): Number of steps of each implementation, of which the fastest is used.
        RETURNS (Dict[str, float]): The tokens per second by `COLUMNS`.
        """
        self.check()
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: self.step(self.ours, self.optimizers),
            "eager": lambda: self.step(self.with_eager, self.optimizers),
            "textbook": lambda: self.step(self.with_textbook, self.optimizers),
            "nn.LSTM": lambda: self.step(self.with_torch_lstm, self.other_optimizers),
        }
        replay = matmuls_only(runs["ours"])
        on_gpu = self.device.type == "cuda"
        matmuls = capture(replay, self.device) if on_gpu else replay
        if can_capture(self.model, Workers(0, 1, self.device)):
            runs["ours"] = self.graphed_step

        def run_matmuls() -> None:
            matmuls()
            if on_gpu:
                torch.cuda.synchronize()

        runs["GEMMs"] = run_matmuls
        for run in runs.values():
            run()
        seconds = best_times(runs, repeats)
        return {name: N_STEPS * N_ROWS / seconds[name] for name in COLUMNS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    parser.add_argument("--png", type=Path, help="PNG file to plot the results to")
    args = parser.parse_args()
    keep_freed_memory()
    with matmul_precision(args.precision, args.device):
        report(args)


def report(args: argparse.Namespace) -> None:
    """Measure all sizes, and print and write the results."""
    precision = model_precision(args.precision)
    name = machine(args.device)
    print(f"{name}, {args.precision}, tokens per second")
    print(f"{'size':10}" + "".join(f"{name:>10}" for name in COLUMNS), end="")
    print(f"{'/ eager':>9}{'/ textbook':>12}{'/ nn.LSTM':>11}{'of GEMMs':>13}")
    rows = []
    for size in args.sizes:
        row = {"size": size, **Bench(size, precision, args.device).measure(args.repeats)}
        rows.append(row)
        print(f"{size:10}" + "".join(f"{row[name]:>10,.0f}" for name in COLUMNS), end="")
        print(
            f"{row['ours'] / row['eager']:>9.2f}{row['ours'] / row['textbook']:>12.2f}"
            f"{row['ours'] / row['nn.LSTM']:>11.2f}"
            f"{row['ours'] / row['GEMMs']:>13.0%}",
            flush=True,
        )
    if args.json:
        found = {"machine": name, "precision": args.precision, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.png:
        plot([(row["size"], row) for row in rows], COLUMNS, args.png)


if __name__ == "__main__":
    main()
