"""Time of the first training epoch, in which the frozen biLM runs, and of a later epoch.

    python benchmarks/training.py train.spacy [--configs configs/ner_elmo.cfg ...] \
        [--bilm NAME_OR_PATH] [--json FILE]

Each step trains on one Doc of `train.spacy`, as `spacy train` does. The baseline has the same
component without ELMo, and shows the time of an epoch without a biLM.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from common import machine
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import load_config, load_model_from_config

from spacy_elmo import load_bilm

CONFIGS = [Path("configs/ner_elmo.cfg"), Path("configs/ner_baseline.cfg")]


def bare(doc: Doc) -> Doc:
    """Return a copy of a Doc without its annotations."""
    return Doc(doc.vocab, [token.text for token in doc], [bool(t.whitespace_) for t in doc])


def epoch(nlp: Language, docs: list[Doc]) -> float:
    """Train one step on each Doc, and return the time in seconds."""
    optimizer = nlp.create_optimizer()
    annotates = nlp.config["training"]["annotating_components"]
    start = time.perf_counter()
    for doc in docs:
        nlp.update([Example(bare(doc), doc)], sgd=False, annotates=annotates)
        for _, pipe in nlp.pipeline:
            if hasattr(pipe, "finish_update"):
                pipe.finish_update(optimizer)
    return time.perf_counter() - start


def epochs(nlp: Language, docs: list[Doc]) -> tuple[float, float]:
    """Initialize a pipeline, train two epochs, and return the time of each epoch in seconds."""
    nlp.initialize(lambda: [Example(bare(doc), doc) for doc in docs])
    return epoch(nlp, docs), epoch(nlp, docs)


def make_pipeline(config: Path, bilm: str) -> Language:
    """Create the pipeline of a config.

    config (Path): The config.
    bilm (str): The biLM, if the config has an `elmo` component.
    RETURNS (Language): The pipeline, not initialized.
    """
    overrides: dict[str, Any] = {}
    if "elmo" in load_config(config)["components"]:
        options = load_bilm(bilm).options
        sizes = {"width": options.width, "depth": options.n_layers}
        overrides = {f"components.elmo.model.{name}": size for name, size in sizes.items()}
        overrides["paths.bilm"] = bilm
        # the cache has space for 300,000 tokens of any width
        overrides["components.elmo.cache_mb"] = options.width * options.n_reported * 4 * 3 // 10
    loaded: Language = load_model_from_config(load_config(config, overrides), auto_fill=True)
    return loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docs", type=Path, help=".spacy file of annotated Docs")
    parser.add_argument("--configs", nargs="+", type=Path, default=CONFIGS)
    parser.add_argument("--bilm", default="en_small", help="name of a packaged biLM, or a path")
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    print(machine())
    print(f"{'config':20}{'first epoch':>13}{'later':>13}{'ratio':>8}{'tokens/s later':>15}")
    rows: list[dict[str, Any]] = []
    for config in args.configs:
        nlp = make_pipeline(config, args.bilm)
        docs = list(DocBin().from_disk(args.docs).get_docs(nlp.vocab))
        first, later = epochs(nlp, docs)
        rows.append({"config": config.stem, "first": first, "later": later})
        speed = sum(map(len, docs)) / later
        print(
            f"{config.stem:20}{first:>11.1f} s{later:>11.1f} s{first / later:>8.2f}{speed:>15,.0f}"
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
