"""Words per second of the biLM, beside other ways to embed the same sentences.

    python benchmarks/embed.py [--text FILE] [--sizes small original]
        [--sentences 1 32 128 512] [--precision bfloat16] [--device cuda]
        [--max-tokens 8192] [--repeats 3] [--json FILE] [--png FILE]

Sentences come from a text file (one tokenized sentence a line) or are drawn with the word
frequencies and sentence lengths of English prose. Weights are random: speed does not depend
on them. All ways take the same sentences in turn:

warm      the biLM with every word in the word cache
cold      the biLM with none there
textbook  its formulas: padded batches of 32 sentences, one direction after the other, a Python
          loop over the steps, the CNN over every token at all positions of characters
nn.LSTM   ours with torch's own LSTM, which does not clip; every word in the cache
roberta   a transformer encoder of the size of roberta-base in torch, in padded batches of 32
products  the matrix products of the biLM's LSTMs alone

The textbook must give what ours gives, which is checked. Where there are more than 512
sentences, textbook, nn.LSTM and roberta are timed on 512 of them.
"""

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import best_times, machine, make_words, plot
from embedders import RobertaBase, TorchLSTMs, draw_subwords
from textbook import TextbookBiLM

from spacy_elmo.bilm import BiLM, BiLMOptions, WordBatch
from spacy_elmo.bilm.bilm import MAX_TOKENS
from spacy_elmo.bilm.packed_words import N_BOUNDARIES
from spacy_elmo.bilm.run_settings import PRECISIONS
from spacy_elmo.lstm.cuda_graphs import capture
from spacy_elmo.lstm.packing import pack
from spacy_elmo.lstm.recurrence import gate_rows, split_steps

FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
SIZES: dict[str, BiLMOptions] = {
    "small": BiLMOptions(hidden_dim=1024, projection_dim=128, filters=FILTERS, n_highway=1),
    "original": BiLMOptions(hidden_dim=4096, projection_dim=512, filters=FILTERS, n_highway=2),
}
SENTENCES = (1, 32, 128, 512)
COLUMNS = ("warm", "cold", "textbook", "nn.LSTM", "roberta", "products")
OTHERS = COLUMNS[2:5]
MAX_SENTENCES = 512  # of the others
TF32 = "tf32"  # on a GPU, products of float32 with inputs of 10 bits
# of ours and the textbook's vectors, on average, relative to the size of a vector
TOLERANCE = {"float32": 1e-4, TF32: 5e-3, "bfloat16": 0.05, "int8": 0.1}


def read_sentences(path: Path | None, n: int) -> list[list[str]]:
    """The first sentences of a file, or `n` drawn ones: Zipf's law over 20,000 words,
    log-normal lengths with a mean of 20 tokens."""
    if path is not None:
        lines = path.read_text(encoding="utf8").splitlines()
        return [line.split() for line in lines if 5 <= len(line.split()) <= 60][:n]
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.87, 0.5, n), 5, 60).astype(int)
    words, chance = make_words(rng)
    return [[words[i] for i in rng.choice(len(words), size, p=chance)] for size in lengths]


def products(
    bilm: BiLM, batch: WordBatch, dtype: torch.dtype, max_tokens: int
) -> Callable[[], None]:
    """The LSTMs' matrix products on random numbers, as the biLM does them."""
    parts = [batch.lengths[part] for part in batch.chunks(max_tokens)]
    layouts = [pack(lengths + N_BOUNDARIES).active for lengths in parts]
    dim, hidden = bilm.options.projection_dim, bilm.options.hidden_dim
    n_rows = max(map(sum, layouts))
    front = (bilm.options.n_directions, n_rows)
    of_rows = torch.float32 if dtype == torch.int8 else dtype
    x, state, cell = (
        torch.randn(*front, width, device=bilm.device).to(of_rows) for width in (dim, dim, hidden)
    )
    n_sentences = len(batch.lengths)
    multipliers = [part for layer in bilm.layers for part in layer.products(dtype, n_sentences)]

    def run() -> None:
        for active, (part, multiplier) in itertools.product(layouts, multipliers):
            row = 0
            for steps in split_steps(active, gate_rows(bilm.device)):
                first = row
                gates = multiplier.inputs(x[part][..., row : row + sum(steps), :])
                for n in steps:
                    multiplier.add_state(
                        gates[..., row - first : row - first + n, :], state[part][..., :n, :]
                    )
                    multiplier.project(cell[part][..., :n, :])
                    row += n

    if bilm.device.type != "cuda":
        return run
    replay = capture(run, bilm.device)

    def play(kept: object = run) -> None:  # what the recording reads
        replay()

    return play


class Bench:
    """A biLM and the others, in one precision."""

    def __init__(self, size: str, precision: str, device: torch.device, max_tokens: int) -> None:
        torch.manual_seed(0)
        self.bilm = BiLM(SIZES[size]).requires_grad_(False).to(device).warm_up()
        self.device, self.max_tokens = device, max_tokens
        self.tolerance = TOLERANCE[precision]
        # a setting of torch, of which the biLM is not told
        tf32 = precision == TF32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        self.precision = "float32" if tf32 else precision
        self.dtype = PRECISIONS[self.precision] or torch.float32
        # the others know no integers
        of_others = torch.float32 if self.dtype == torch.int8 else self.dtype
        self.textbook = TextbookBiLM(self.bilm, of_others)
        self.torch_lstms = TorchLSTMs(self.bilm, of_others)
        self.roberta = RobertaBase(of_others).to(device)

    def measure(self, sentences: list[list[str]], repeats: int) -> dict[str, float]:
        """RETURNS (Dict[str, float]): Words per second of each way."""
        batch = WordBatch.from_sentences(sentences)
        fewer = sentences[:MAX_SENTENCES]
        small = WordBatch.from_sentences(fewer)
        pieces = draw_subwords(small.lengths, self.device)
        self._check(fewer, small)
        replay = products(self.bilm, batch, self.dtype, self.max_tokens)
        runs: dict[str, Callable[[], object]] = {
            "warm": lambda: self._embed(batch),
            "textbook": lambda: self.textbook(fewer),
            "nn.LSTM": lambda: self.torch_lstms(small, self.max_tokens),
            "roberta": lambda: self.roberta(pieces),
            "products": replay,
        }
        for run in runs.values():
            run()
        best = best_times({name: self._finished(run) for name, run in runs.items()}, repeats)
        best.update(best_times({"cold": self._finished(lambda: self._cold(batch))}, repeats))
        n_words = {name: len(small.ids if name in OTHERS else batch.ids) for name in COLUMNS}
        return {name: n_words[name] / best[name] for name in COLUMNS}

    def _embed(self, batch: WordBatch) -> torch.Tensor:
        return self.bilm(batch, precision=self.precision, max_tokens=self.max_tokens)

    def _cold(self, batch: WordBatch) -> None:
        self.bilm.tokens.drop_caches()
        self._embed(batch)

    def _finished(self, run: Callable[[], object]) -> Callable[[], None]:
        """RETURNS (Callable[[], None]): The run, and the wait for the GPU."""

        def finish() -> None:
            run()
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        return finish

    def _check(self, sentences: list[list[str]], batch: WordBatch) -> None:
        """The vectors of the formulas must be ours."""
        ours, formulas = self._embed(batch), self.textbook(sentences)
        error = float((ours - formulas).norm() / formulas.norm())
        if error > self.tolerance:
            raise SystemExit(
                f"The textbook's vectors differ from ours by {error:.2g} of their size."
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="one tokenized sentence a line")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sentences", nargs="+", type=int, default=SENTENCES)
    parser.add_argument("--precision", choices=[*PRECISIONS, TF32], default="float32")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--png", type=Path, help="also draw them")
    args = parser.parse_args()
    sentences = read_sentences(args.text, max(args.sentences))
    name = machine(args.device)
    print(f"{name}, {args.precision}")
    print(f"{'size':10}{'sentences':>10}" + "".join(f"{name:>11}" for name in COLUMNS), end="")
    print(f"{'/ textbook':>12}{'cold / t.':>11}{'of products':>13}")
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for size in args.sizes:
            bench = Bench(size, args.precision, args.device, args.max_tokens)
            for n in args.sentences:
                found = bench.measure(sentences[:n], args.repeats)
                rows.append({"size": size, "sentences": n, **found})
                print(f"{size:10}{n:>10}" + "".join(f"{found[c]:>11,.0f}" for c in COLUMNS), end="")
                print(
                    f"{found['warm'] / found['textbook']:>12.2f}"
                    f"{found['cold'] / found['textbook']:>11.2f}"
                    f"{found['warm'] / found['products']:>13.0%}",
                    flush=True,
                )
    if args.json:
        report = {"machine": name, "precision": args.precision, "rows": rows}
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.png:
        plot([(f"{row['size']}, {row['sentences']}", row) for row in rows], COLUMNS, args.png)


if __name__ == "__main__":
    main()
