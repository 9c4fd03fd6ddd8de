"""Tokens per second of the biLM, beside its matrix products alone.

    python benchmarks/embed.py [--text FILE] [--sizes small original] [--sentences 1 32 128]
        [--precision bfloat16] [--device cuda] [--max-tokens 8192] [--json FILE]

Sentences come from a text file (one tokenized sentence a line) or are drawn with the
word frequencies and sentence lengths of English prose. Weights are random: speed does
not depend on them. "warm" means that every word is in the word cache, "cold" that
none is. "products" is the time of the LSTMs' matrix products of the same shapes and
nothing else, measured in turn with the rest.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np
import torch
from common import best_times, machine, make_words

from spacy_elmo.bilm import BiLM, BiLMOptions, WordBatch
from spacy_elmo.bilm.model import MAX_TOKENS, PRECISIONS
from spacy_elmo.bilm.packing import pack
from spacy_elmo.bilm.products import BatchedProducts
from spacy_elmo.bilm.recurrence import gate_rows, split_steps
from spacy_elmo.pretrain.recorded import record

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


def products(
    bilm: BiLM, batch: WordBatch, dtype: torch.dtype, max_tokens: int
) -> Callable[[], None]:
    """The LSTMs' matrix products on random numbers, as the biLM does them."""
    parts = [batch.lengths[part] for part in batch.parts(max_tokens)]
    layouts = [pack(np.zeros(lengths.sum(), np.int64), lengths).active for lengths in parts]
    dim, hidden = bilm.options.projection_dim, bilm.options.hidden_dim
    n_rows = max(map(sum, layouts))
    on_gpu = bilm.device.type == "cuda"
    front = (bilm.options.n_directions,) if on_gpu else ()
    x, state, cell = (
        torch.randn(*front, n_rows, width, device=bilm.device, dtype=dtype)
        for width in (dim, dim, hidden)
    )
    multipliers = [
        multiplier
        for layer in bilm.layers
        for multiplier in (
            [BatchedProducts(layer._weights(), dtype)] if on_gpu else layer.packed_products(dtype)
        )
    ]

    def run() -> None:
        for active, multiplier in itertools.product(layouts, multipliers):
            row = 0
            for steps in split_steps(active, gate_rows(bilm.device)):
                first = row
                gates = multiplier.inputs(x[..., row : row + sum(steps), :])
                for n in steps:
                    multiplier.add_state(
                        gates[..., row - first : row - first + n, :], state[..., :n, :]
                    )
                    multiplier.project(cell[..., :n, :])
                    row += n

    return record(run, bilm.device) if on_gpu else run


def measure(
    bilm: BiLM, sentences: List[List[str]], precision: str, max_tokens: int
) -> Dict[str, float]:
    batch = WordBatch.from_sentences(sentences)
    dtype = PRECISIONS[precision] or torch.float32
    wait = torch.cuda.synchronize if bilm.device.type == "cuda" else lambda: None

    def warm() -> None:
        bilm(batch, precision=precision, max_tokens=max_tokens)
        wait()

    def cold() -> None:
        bilm.drop_caches()
        warm()

    warm()  # fills the cache and the allocator
    replay = products(bilm, batch, dtype, max_tokens)
    best = best_times({"warm": warm, "products": lambda: (replay(), wait())}, REPEATS)
    best.update(best_times({"cold": cold}, REPEATS))
    speed = {name: len(batch.ids) / seconds for name, seconds in best.items()}
    speed["share"] = best["products"] / best["warm"]
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="one tokenized sentence a line")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sentences", nargs="+", type=int, default=SENTENCES)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    sentences = read_sentences(args.text, max(args.sentences))
    name = machine(args.device)
    print(f"{name}, {args.precision}")
    print(f"{'size':10}{'sentences':>10}{'warm tok/s':>12}{'cold tok/s':>12}", end="")
    print(f"{'products tok/s':>16}{'share of products':>19}")
    rows = []
    with torch.inference_mode():
        for size in args.sizes:
            bilm = BiLM(SIZES[size]).requires_grad_(False).to(args.device)
            for n in args.sentences:
                found = measure(bilm, sentences[:n], args.precision, args.max_tokens)
                row = {"size": size, "sentences": n, **found}
                rows.append(row)
                print(
                    f"{size:10}{n:>10}{row['warm']:>12,.0f}{row['cold']:>12,.0f}"
                    f"{row['products']:>16,.0f}{row['share']:>19.0%}",
                    flush=True,
                )
    if args.json:
        found = {"machine": name, "precision": args.precision, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
