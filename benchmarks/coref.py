"""Seconds and memory of coreference: training, a document, and a novel.

    python benchmarks/coref.py train.spacy [--config configs/coref_elmo.cfg] \
        [--pipeline training/coref/model-best] [--json FILE]

`train.spacy` holds Docs with entities, e.g. those of `project/scripts/convert_litbank_coref.py`.
An epoch is a step for each Doc; the first one runs the biLM, later ones take its output
from the cache. The document and the novel are resolved by the trained pipeline: one of two
epochs finds few mentions. A novel is made of the Docs, joined until there are 200,000 tokens.
Memory is the growth of the process beside what the biLM's output takes (read from Linux's /proc).
"""

import argparse
import json
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import spacy
from common import machine, peak_mb
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, load_model_from_config
from training import bare, epochs

from spacy_elmo.coref.component import Coref

NOVEL_TOKENS = 200_000


def measure_training(nlp: Language, docs: list[Doc]) -> dict[str, Any]:
    first, later = epochs(nlp, docs)
    found: dict[str, Any] = {"documents": len(docs), "tokens": sum(map(len, docs))}
    found.update({"first epoch, s": first, "later epoch, s": later})
    return found


def measure_use(nlp: Language, docs: list[Doc]) -> dict[str, Any]:
    coref = nlp.get_pipe("coref")
    assert isinstance(coref, Coref)
    found: dict[str, Any] = {}
    doc = min(docs, key=lambda doc: abs(len(doc) - 2100))
    before = [pipe for name, pipe in nlp.pipeline if name != "coref"]
    prepared = bare(doc)
    for pipe in before:
        prepared = pipe(prepared)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        links = coref.predict([prepared])
        seconds.append(time.perf_counter() - start)
    found["document, tokens"], found["document, s"] = len(doc), min(seconds)
    found["document, mentions"] = len(links[0].start)
    words: list[str] = []
    for doc in islice(cycle(docs), 10_000):
        words += [token.text for token in doc]
        if len(words) >= NOVEL_TOKENS:
            break
    novel = Doc(nlp.vocab, words[:NOVEL_TOKENS])
    start = time.perf_counter()
    for pipe in before:
        novel = pipe(novel)
    found["novel, s before coref"] = time.perf_counter() - start
    base = peak_mb(anew=True)
    start = time.perf_counter()
    links = coref.predict([novel])
    found["novel, s"], found["novel, MB"] = time.perf_counter() - start, peak_mb() - base
    found["novel, tokens"], found["novel, mentions"] = len(novel), len(links[0].start)
    return found


def docs_of(path: Path, nlp: Language) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(nlp.vocab))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docs", type=Path, help="Docs with entities")
    parser.add_argument("--config", type=Path, default=Path("configs/coref_elmo.cfg"))
    parser.add_argument("--pipeline", type=Path, help="a trained pipeline")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    found = {"machine": machine(), "spacy": spacy.__version__}
    # before the training, which leaves memory in pieces
    if args.pipeline:
        trained = spacy.load(args.pipeline)
        found.update(measure_use(trained, docs_of(args.docs, trained)))
    nlp = load_model_from_config(load_config(args.config), auto_fill=True)
    found.update(measure_training(nlp, docs_of(args.docs, nlp)))
    if not args.pipeline:
        found.update(measure_use(nlp, docs_of(args.docs, nlp)))
    for name, value in found.items():
        print(f"{name:24}{value:,.2f}" if isinstance(value, float) else f"{name:24}{value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
