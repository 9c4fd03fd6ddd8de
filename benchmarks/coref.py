"""Time and memory of coreference resolution: training, one document, and a novel.

    python benchmarks/coref.py train.spacy [--config configs/coref_elmo.cfg] \
        [--pipeline training/coref/model-best] [--json FILE]

`train.spacy` contains annotated Docs, for example from `project/scripts/convert_litbank_coref.py`.
An epoch has one step for each Doc. The first epoch runs the biLM, and later epochs read its output
from the cache. The document and the novel are resolved with `--pipeline`, because a pipeline that
was trained for two epochs predicts few mentions. The novel consists of the words of all Docs,
repeated up to 200,000 tokens. The memory is the growth of the process while `coref` runs, without
the output of the biLM (Linux only).
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
    """Measure the first and the second training epoch.

    nlp (Language): The pipeline, not initialized.
    docs (List[Doc]): The training Docs.
    RETURNS (Dict[str, Any]): The results by name.
    """
    first, later = epochs(nlp, docs)
    found: dict[str, Any] = {"documents": len(docs), "tokens": sum(map(len, docs))}
    found.update({"first epoch, s": first, "later epoch, s": later})
    return found


def measure_prediction(nlp: Language, docs: list[Doc]) -> dict[str, Any]:
    """Measure `coref` on the Doc whose length is closest to 2,100 tokens, and on a novel.

    nlp (Language): The trained pipeline.
    docs (List[Doc]): The Docs.
    RETURNS (Dict[str, Any]): The results by name.
    """
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
    base = peak_mb(reset=True)
    start = time.perf_counter()
    links = coref.predict([novel])
    found["novel, s"], found["novel, MB"] = time.perf_counter() - start, peak_mb() - base
    found["novel, tokens"], found["novel, mentions"] = len(novel), len(links[0].start)
    return found


def read_docs(path: Path, nlp: Language) -> list[Doc]:
    """Read the Docs of a .spacy file with the vocab of a pipeline."""
    return list(DocBin().from_disk(path).get_docs(nlp.vocab))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docs", type=Path, help=".spacy file of annotated Docs")
    parser.add_argument("--config", type=Path, default=Path("configs/coref_elmo.cfg"))
    parser.add_argument("--pipeline", type=Path, help="a trained pipeline")
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    found = {"machine": machine(), "spacy": spacy.__version__}
    # prediction is measured before training, which fragments the memory
    if args.pipeline:
        trained = spacy.load(args.pipeline)
        found.update(measure_prediction(trained, read_docs(args.docs, trained)))
    nlp = load_model_from_config(load_config(args.config), auto_fill=True)
    found.update(measure_training(nlp, read_docs(args.docs, nlp)))
    if not args.pipeline:
        found.update(measure_prediction(nlp, read_docs(args.docs, nlp)))
    for name, value in found.items():
        print(f"{name:24}{value:,.2f}" if isinstance(value, float) else f"{name:24}{value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
