"""Tokens per second of `nlp.pipe` with `elmo` and of the biLM alone, and the memory of a novel.

    python benchmarks/pipe.py [--text FILE] [--size original] [--precision bfloat16]
        [--tokens 20000] [--novel 200000] [--json FILE]

Both embed the same sentences, with all words in the word cache. The pipeline processes them in Docs
of 20 sentences, which are created beforehand. It also computes the mix, and stores the mix and the
layers. The novel is a single Doc. Its memory is the growth of the process, without the stored
vectors (Linux only).
"""

import argparse
import json
import time
from itertools import chain
from pathlib import Path
from typing import Any

import spacy
import torch
from common import best_times, machine, peak_mb
from embed import SIZES, read_sentences
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.bilm.run_settings import PRECISIONS
from spacy_elmo.pipeline.elmo import Elmo

SENTENCES_PER_DOC = 20
REPEATS = 5


def make_doc(nlp: Language, sentences: list[list[str]]) -> Doc:
    """Return a Doc of the given sentences, with sentence boundaries."""
    words = list(chain.from_iterable(sentences))
    starts: list[Any] = [n == 0 for sentence in sentences for n in range(len(sentence))]
    return Doc(nlp.vocab, words, sent_starts=starts)


def make_pipeline(bilm: BiLM, precision: str) -> Language:
    """Return an initialized pipeline with an `elmo` component, whose segments are the sentences."""
    nlp = spacy.blank("en")
    model = {
        "width": bilm.options.width,
        "depth": bilm.options.n_layers,
        "precision": precision,
        "segmenter": {"@misc": "spacy-elmo.sentence_segments.v1"},
    }
    elmo = nlp.add_pipe("elmo", config={"model": model})
    assert isinstance(elmo, Elmo)
    example = Example(nlp.make_doc("Words"), nlp.make_doc("Words"))
    elmo.initialize(lambda: [example], loader=lambda: bilm)
    return nlp


def measure_pipe(
    nlp: Language, bilm: BiLM, sentences: list[list[str]], precision: str
) -> dict[str, float]:
    """Return the tokens per second of the biLM alone ("bare") and of `nlp.pipe` ("pipe")."""
    batch = WordBatch.from_sentences(sentences)
    starts = range(0, len(sentences), SENTENCES_PER_DOC)
    docs = iter(
        [
            [make_doc(nlp, sentences[start : start + SENTENCES_PER_DOC]) for start in starts]
            for _ in range(REPEATS + 1)
        ]
    )

    def bare() -> None:
        with torch.inference_mode():
            bilm(batch, precision=precision)

    def pipe() -> None:
        for _ in nlp.pipe(next(docs)):
            pass

    runs = {"bare": bare, "pipe": pipe}
    for run in runs.values():
        run()  # fill the caches
    best = best_times(runs, REPEATS)
    return {name: len(batch.ids) / seconds for name, seconds in best.items()}


def measure_novel(nlp: Language, sentences: list[list[str]]) -> dict[str, float]:
    """Embed a novel. Return its number of tokens, the seconds, and the growth of memory in MB
    without the stored vectors."""
    elmo = nlp.get_pipe("elmo")
    assert isinstance(elmo, Elmo)
    elmo.store_layers = False
    doc = make_doc(nlp, sentences)
    before = peak_mb(reset=True)
    start = time.perf_counter()
    doc = elmo(doc)
    seconds, grown = time.perf_counter() - start, peak_mb() - before
    extra_mb = grown - doc.tensor.nbytes / 2**20
    return {"tokens": len(doc), "seconds": seconds, "extra MB": extra_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="text with one tokenized sentence per line")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--novel", type=int, default=200_000, help="tokens in the novel, or 0")
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    print(f"{machine()}, {args.size}, {args.precision}")
    sentences = read_sentences(args.text, max(args.tokens, args.novel) // 15)
    bilm = BiLM(SIZES[args.size]).requires_grad_(False)
    nlp = make_pipeline(bilm, args.precision)
    found: dict[str, Any] = {}
    found.update(measure_pipe(nlp, bilm, first_tokens(sentences, args.tokens), args.precision))
    print(f"tokens per second: {found['bare']:,.0f} bare, {found['pipe']:,.0f} in nlp.pipe")
    print(f"nlp.pipe has {found['pipe'] / found['bare']:.0%} of the speed of the bare biLM")
    if args.novel:
        novel = measure_novel(nlp, first_tokens(sentences, args.novel))
        print(f"a novel of {novel['tokens']:,} tokens: {novel['seconds']:.1f} s", end="")
        print(f", {novel['extra MB']:,.0f} MB besides its vectors")
        found["novel"] = novel
    if args.json:
        report = {"machine": machine(), "size": args.size, "precision": args.precision, **found}
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def first_tokens(sentences: list[list[str]], n_tokens: int) -> list[list[str]]:
    """Return the first sentences that have at least `n_tokens` tokens in total."""
    found: list[list[str]] = []
    for sentence in sentences:
        if n_tokens <= 0:
            break
        found.append(sentence)
        n_tokens -= len(sentence)
    return found


if __name__ == "__main__":
    main()
