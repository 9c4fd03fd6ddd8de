"""Tokens per second of the biLM on the CPU, beside its matrix products alone.

    python benchmarks/embed.py [--text FILE] [--sizes small original] [--json FILE]

Sentences come from a text file (one tokenized sentence a line) or are drawn with the
word frequencies and sentence lengths of English prose. Weights are random: speed does
not depend on them. "warm" means that every word is in the word cache, "cold" that
none is. "products" is the time of the LSTMs' matrix products of the same shapes and
nothing else, measured in turn with the rest.
"""

import argparse
import json
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np
import torch
from common import best_times, machine, make_words

from spacy_elmo.bilm import BiLM, BiLMOptions, WordBatch
from spacy_elmo.bilm.packing import pack
from spacy_elmo.bilm.recurrence import GATE_ROWS, split_steps

FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
SIZES: Dict[str, BiLMOptions] = {
    "small": BiLMOptions(hidden_dim=1024, projection_dim=128, filters=FILTERS, n_highway=1),
    "original": BiLMOptions(hidden_dim=4096, projection_dim=512, filters=FILTERS, n_highway=2),
}
SENTENCES = (1, 32, 128)
REPEATS = 5


def read_sentences(path: Optional[Path], n: int) -> List[List[str]]:
    """The first sentences of a file, or `n` drawn ones: Zipf's law over 20,000 words,
    log-normal lengths with a mean of 20 tokens."""
    if path is not None:
        lines = path.read_text(encoding="utf8").splitlines()
        return [line.split() for line in lines if 5 <= len(line.split()) <= 60][:n]
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.87, 0.5, n), 5, 60).astype(int)
    words, chance = make_words(rng)
    return [[words[i] for i in rng.choice(len(words), size, p=chance)] for size in lengths]


def products(bilm: BiLM, batch: WordBatch) -> Callable[[], None]:
    """The LSTMs' matrix products on random numbers, as the biLM does them."""
    active = pack(batch.ids, batch.lengths).active
    dim, hidden = bilm.options.projection_dim, bilm.options.hidden_dim
    x, state, cell = (torch.randn(sum(active), width) for width in (dim, dim, hidden))

    def run() -> None:
        for layer in bilm.layers:
            for weights in layer.packed_products(torch.float32):
                row = 0
                for steps in split_steps(active, GATE_ROWS):
                    gates = weights.inputs(x[row : row + sum(steps)])
                    first = row
                    for n in steps:
                        weights.add_state(gates[row - first : row - first + n], state[:n])
                        weights.project(cell[:n])
                        row += n

    return run


def measure(bilm: BiLM, sentences: List[List[str]], precision: str) -> Dict[str, float]:
    batch = WordBatch.from_sentences(sentences)

    def warm() -> object:
        return bilm(batch, precision=precision)

    def cold() -> object:
        bilm.drop_caches()
        return bilm(batch, precision=precision)

    warm()  # fills the cache and the allocator
    runs: Dict[str, Callable[[], object]] = {"warm": warm, "products": products(bilm, batch)}
    best = best_times(runs, REPEATS)
    best.update(best_times({"cold": cold}, REPEATS))
    speed = {name: len(batch.ids) / seconds for name, seconds in best.items()}
    speed["share"] = best["products"] / best["warm"]
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="one tokenized sentence a line")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    sentences = read_sentences(args.text, max(SENTENCES))
    print(machine())
    print(f"{'size':10}{'sentences':>10}{'warm tok/s':>12}{'cold tok/s':>12}", end="")
    print(f"{'products tok/s':>16}{'share of products':>19}")
    rows = []
    with torch.inference_mode():
        for size in args.sizes:
            bilm = BiLM(SIZES[size]).requires_grad_(False)
            for n in SENTENCES:
                row = {"size": size, "sentences": n, **measure(bilm, sentences[:n], "float32")}
                rows.append(row)
                print(
                    f"{size:10}{n:>10}{row['warm']:>12,.0f}{row['cold']:>12,.0f}"
                    f"{row['products']:>16,.0f}{row['share']:>19.0%}",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
