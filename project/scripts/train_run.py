"""Execute one run: train a component and write its scores.

    python train_run.py RUN

RUN is a `Run` as JSON. `fine_tune.py` starts a process for each run, so that a run that fails or is
killed does not affect the others, and the memory of each is measured separately.
"""

import json
import math
import os
import platform
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import spacy
import torch
from runs import Run
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.util import load_config

from spacy_elmo.files.atomic import atomic_file
from spacy_elmo.pipeline.mixes import collect_mixes

# seed of the order in which books are added to a share; it does not depend on the training seed
SHUFFLE_SEED = 0


def book_of(doc: Doc, number: int) -> str:
    """Return the book of a Doc. A Doc without one counts as a separate book."""
    return str(doc.user_data.get("book", number))


def take_share(path: Path, share: int, output: Path) -> Path:
    """Write the Docs of a percentage of the books. A larger percentage includes the books of the
    smaller ones.

    path (Path): A .spacy file with all training Docs.
    share (int): The percentage.
    output (Path): The file to write.
    RETURNS (Path): The file to train on; `path` for 100 per cent.
    """
    if share == 100:
        return path
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
    books = sorted({book_of(doc, number) for number, doc in enumerate(docs)})
    random.Random(SHUFFLE_SEED).shuffle(books)
    selected = set(books[: max(1, round(len(books) * share / 100))])
    chosen = [doc for number, doc in enumerate(docs) if book_of(doc, number) in selected]
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as temporary:
        DocBin(docs=chosen, store_user_data=True).to_disk(temporary)
    return output


def overrides_of(run: Run) -> dict[str, Any]:
    """Write the training Docs of a run's share, and return the overrides for its config."""
    training = load_config(run.config, overrides=run.overrides)["training"]
    path = Path(run.training) / f"{run.name}.spacy"
    return {
        **run.overrides,
        "paths.train": str(take_share(Path(run.corpus) / "train.spacy", run.share, path)),
        "paths.dev": str(Path(run.corpus) / "dev.spacy"),
        "system.seed": run.seed,
        "training.optimizer.learn_rate.total_steps": training["max_steps"],
    }


def train_and_evaluate(run: Run) -> None:
    """Train a component, evaluate it on dev and test, and write the results."""
    settings = run.settings()
    start = time.perf_counter()
    train(Path(run.config), run.output, use_gpu=run.gpu_id, overrides=overrides_of(run))
    seconds = time.perf_counter() - start
    nlp = spacy.load(run.pipeline)
    mixes = [mix for mix in collect_mixes(nlp) if mix.learned]
    result: dict[str, Any] = {
        "task": run.task,
        "model": run.model,
        "seed": run.seed,
        "share": run.share,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "mix": [{"component": mix.component, "weights": mix.weights} for mix in mixes],
        "settings": settings,
    }
    for split in ("dev", "test"):
        examples = list(Corpus(Path(run.corpus) / f"{split}.spacy")(nlp))
        result[split] = _numbers(nlp.evaluate(examples))
    result["peak_mb"] = peak_mb()
    shutil.rmtree(run.output / "model-last")
    run.scores.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(run.scores) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf8")


def peak_mb() -> float:
    """Return the peak memory of this process, or of the GPU if it was used, in MB."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / (1 << 20)
    if os.name == "nt":
        return math.nan
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _numbers(scores: dict[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in scores.items() if isinstance(value, (int, float))}
    return {key: float(value) for key, value in numbers.items() if key != "speed"}


if __name__ == "__main__":
    train_and_evaluate(Run.from_json(sys.argv[1]))
