"""Tokens per second of the biLM, compared with other embedders of the same sentences.

    python benchmarks/embed.py [--text FILE] [--sizes small original]
        [--sentences 1 32 128 512] [--precision bfloat16] [--device cuda]
        [--max-tokens 8192] [--repeats 3] [--json FILE] [--png FILE]

Sentences are read from a text file (one tokenized sentence per line), or generated with the word
frequencies and sentence lengths of English prose. Weights are random, because speed does not depend
on them. All embedders process the same sentences, alternately:

warm      the biLM with all words in the word cache
cold      the biLM with an empty word cache
textbook  the formulas of the biLM: padded batches of 32 sentences, a separate pass for each
          direction, a Python loop over the steps, the CNN on all character positions of every token
nn.LSTM   the biLM with `torch.nn.LSTM`, which does not clip; all words in the word cache
roberta   a torch transformer encoder with the sizes of roberta-base, in padded batches of 32
GEMMs     only the matrix products of the biLM's LSTMs

The script checks that the vectors of textbook equal the vectors of the biLM. With more than 512
sentences, textbook, nn.LSTM and roberta are timed on 512 sentences.
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
COLUMNS = ("warm", "cold", "textbook", "nn.LSTM", "roberta", "GEMMs")
BASELINES = COLUMNS[2:5]
MAX_SENTENCES = 512  # of the baselines
TF32 = "tf32"  # on a GPU, float32 matrix products with 10-bit mantissas of the inputs
# maximum norm of the difference between the layers of the biLM and of the textbook, relative to the
# norm of the textbook's layers
TOLERANCE = {"float32": 1e-4, TF32: 5e-3, "bfloat16": 0.05, "int8": 0.1}


def read_sentences(path: Path | None, n: int) -> list[list[str]]:
    """Read the first sentences of a file, or generate sentences.

    path (Optional[Path]): The file, with one tokenized sentence per line. If None, words are drawn
        from a vocabulary of 20,000 by Zipf's law, and lengths are log-normal with a mean of 20
        tokens.
    n (int): Number of sentences.
    RETURNS (List[List[str]]): The tokens of each sentence.
    """
    if path is not None:
        lines = path.read_text(encoding="utf8").splitlines()
        return [line.split() for line in lines if 5 <= len(line.split()) <= 60][:n]
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.87, 0.5, n), 5, 60).astype(int)
    words, chance = make_words(rng)
    return [[words[i] for i in rng.choice(len(words), size, p=chance)] for size in lengths]


def matmuls_only(
    bilm: BiLM, batch: WordBatch, dtype: torch.dtype, max_tokens: int
) -> Callable[[], None]:
    """Return a function that runs only the matrix products of the LSTMs, on random tensors with the
    shapes of the biLM's tensors.

    bilm (BiLM): The weights.
    batch (WordBatch): The sentences.
    dtype (torch.dtype): Dtype of the matrix products.
    max_tokens (int): Maximum number of tokens in a chunk.
    RETURNS (Callable[[], None]): The function. On a GPU, it replays a CUDA graph.
    """
    chunk_lengths = [batch.lengths[chunk] for chunk in batch.chunks(max_tokens)]
    layouts = [pack(lengths + N_BOUNDARIES).active for lengths in chunk_lengths]
    dim, hidden = bilm.options.projection_dim, bilm.options.hidden_dim
    n_rows = max(map(sum, layouts))
    shape = (bilm.options.n_directions, n_rows)
    row_dtype = torch.float32 if dtype == torch.int8 else dtype
    x, state, cell = (
        torch.randn(*shape, width, device=bilm.device).to(row_dtype) for width in (dim, dim, hidden)
    )
    n_sentences = len(batch.lengths)
    matmuls = [pair for layer in bilm.layers for pair in layer.matmuls(dtype, n_sentences)]

    def run() -> None:
        for active, (direction, matmul) in itertools.product(layouts, matmuls):
            row = 0
            for steps in split_steps(active, gate_rows(bilm.device)):
                first = row
                gates = matmul.inputs(x[direction][..., row : row + sum(steps), :])
                for n in steps:
                    matmul.add_state(
                        gates[..., row - first : row - first + n, :], state[direction][..., :n, :]
                    )
                    matmul.project(cell[direction][..., :n, :])
                    row += n

    if bilm.device.type != "cuda":
        return run
    replay = capture(run, bilm.device)

    # the default argument keeps the tensors alive that the graph reads
    def replay_graph(tensors: object = run) -> None:
        replay()

    return replay_graph


class Bench:
    """A biLM and the baselines, in one precision.

    size (str): A key of `SIZES`.
    precision (str): A precision of the biLM, or "tf32".
    device (torch.device): The device.
    max_tokens (int): Maximum number of tokens in a chunk.
    """

    def __init__(self, size: str, precision: str, device: torch.device, max_tokens: int) -> None:
        torch.manual_seed(0)
        self.bilm = BiLM(SIZES[size]).requires_grad_(False).to(device).warm_up()
        self.device, self.max_tokens = device, max_tokens
        self.tolerance = TOLERANCE[precision]
        # TF32 is a global setting of torch, not a precision of the biLM
        tf32 = precision == TF32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        self.precision = "float32" if tf32 else precision
        self.dtype = PRECISIONS[self.precision] or torch.float32
        # the baselines do not support int8
        baseline_dtype = torch.float32 if self.dtype == torch.int8 else self.dtype
        self.textbook = TextbookBiLM(self.bilm, baseline_dtype)
        self.torch_lstms = TorchLSTMs(self.bilm, baseline_dtype)
        self.roberta = RobertaBase(baseline_dtype).to(device)

    def measure(self, sentences: list[list[str]], repeats: int) -> dict[str, float]:
        """Time all embedders.

        sentences (List[List[str]]): The tokens of each sentence.
        repeats (int): Number of calls of each embedder, of which the fastest is used.
        RETURNS (Dict[str, float]): Tokens per second of each embedder.
        """
        batch = WordBatch.from_sentences(sentences)
        fewer = sentences[:MAX_SENTENCES]
        small = WordBatch.from_sentences(fewer)
        subwords = draw_subwords(small.lengths, self.device)
        self._check(fewer, small)
        matmuls = matmuls_only(self.bilm, batch, self.dtype, self.max_tokens)
        runs: dict[str, Callable[[], object]] = {
            "warm": lambda: self._embed(batch),
            "textbook": lambda: self.textbook(fewer),
            "nn.LSTM": lambda: self.torch_lstms(small, self.max_tokens),
            "roberta": lambda: self.roberta(subwords),
            "GEMMs": matmuls,
        }
        for run in runs.values():
            run()
        best = best_times({name: self._synchronized(run) for name, run in runs.items()}, repeats)
        best.update(best_times({"cold": self._synchronized(lambda: self._cold(batch))}, repeats))
        n_tokens = {name: len(small.ids if name in BASELINES else batch.ids) for name in COLUMNS}
        return {name: n_tokens[name] / best[name] for name in COLUMNS}

    def _embed(self, batch: WordBatch) -> torch.Tensor:
        return self.bilm(batch, precision=self.precision, max_tokens=self.max_tokens)

    def _cold(self, batch: WordBatch) -> None:
        self.bilm.tokens.drop_caches()
        self._embed(batch)

    def _synchronized(self, run: Callable[[], object]) -> Callable[[], None]:
        """Return a function that calls another function and waits for the GPU."""

        def synchronized() -> None:
            run()
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        return synchronized

    def _check(self, sentences: list[list[str]], batch: WordBatch) -> None:
        """Check that the biLM and the textbook compute the same layers.

        sentences (List[List[str]]): The tokens of each sentence.
        batch (WordBatch): The same sentences.
        RAISES (SystemExit): If the layers differ by more than the tolerance of the precision.
        """
        layers, expected = self._embed(batch), self.textbook(sentences)
        error = float((layers - expected).norm() / expected.norm())
        if error > self.tolerance:
            raise SystemExit(
                f"The layers of the biLM and of the textbook differ by {error:.2g} of their norm; "
                f"at most {self.tolerance:g} was expected."
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="text with one tokenized sentence per line")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sentences", nargs="+", type=int, default=SENTENCES)
    parser.add_argument("--precision", choices=[*PRECISIONS, TF32], default="float32")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    parser.add_argument("--png", type=Path, help="PNG file to plot the results to")
    args = parser.parse_args()
    sentences = read_sentences(args.text, max(args.sentences))
    name = machine(args.device)
    print(f"{name}, {args.precision}, tokens per second")
    print(f"{'size':10}{'sentences':>10}" + "".join(f"{name:>11}" for name in COLUMNS), end="")
    print(f"{'/ textbook':>12}{'cold / t.':>11}{'of GEMMs':>13}")
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
                    f"{found['warm'] / found['GEMMs']:>13.0%}",
                    flush=True,
                )
    if args.json:
        report = {"machine": name, "precision": args.precision, "rows": rows}
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.png:
        plot([(f"{row['size']}, {row['sentences']}", row) for row in rows], COLUMNS, args.png)


if __name__ == "__main__":
    main()
