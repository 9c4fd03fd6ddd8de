"""Train a component with and without ELMo, from several seeds and on shares of the books,
and write the scores of each run.

Owns what a run is and what is kept of it: a JSON file with its scores on dev and test,
its layer weights, time and memory. A run whose file is there, made with the same settings,
is not run again. The configs are those of the package.
"""

import json
import math
import multiprocessing
import random
import resource
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Dict, Iterator, List

import spacy
import torch
import typer
from spacy.cli._util import Arg, Opt, parse_config_overrides, setup_gpu
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.util import load_config
from wasabi import msg

from spacy_elmo.cli.mixes import collect_mixes
from spacy_elmo.weights.atomic import atomic_file

MODELS = ("baseline", "elmo")
PARTS = ("dev", "test")
# A small share of the books is read more often: no run has fewer than this share of the steps.
LEAST_STEPS = 0.25
SHUFFLE_SEED = 0


@dataclass(frozen=True)
class Run:
    """One training.

    task (str): The component: "ner", "spancat" or "coref".
    model (str): "elmo", or "baseline" for the same without it.
    seed (int): The seed.
    share (int): Percentage of the training books.
    config (str): The config file.
    corpus (str): Folder of train.spacy, dev.spacy and test.spacy.
    training (str): Folder for trained pipelines.
    metrics (str): Folder for scores.
    gpu_id (int): The GPU, -1 for the CPU.
    overrides (Dict[str, Any]): Further settings of the config.
    """

    task: str
    model: str
    seed: int
    share: int
    config: str
    corpus: str
    training: str
    metrics: str
    gpu_id: int
    overrides: Dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.task}_{self.model}_{self.share}_{self.seed}"

    @property
    def output(self) -> Path:
        return Path(self.training) / self.name

    @property
    def scores(self) -> Path:
        return Path(self.metrics) / f"{self.name}.json"

    def settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): All that the result depends on, as text can say it."""
        return {**asdict(self), "text": Path(self.config).read_text(encoding="utf8")}

    def is_done(self) -> bool:
        if not self.scores.is_file():
            return False
        found = json.loads(self.scores.read_text(encoding="utf8"))
        return bool(found["settings"] == json.loads(json.dumps(self.settings())))


def book_of(doc: Doc, number: int) -> str:
    """RETURNS (str): The book that a Doc is of; without one, it is a book of its own."""
    return str(doc.user_data.get("book", number))


def take_share(path: Path, share: int, output: Path) -> Path:
    """Write the Docs of a share of the books. Smaller shares are parts of larger ones.

    path (Path): All training Docs.
    share (int): The percentage.
    output (Path): The file to write.
    RETURNS (Path): The file to train on.
    """
    if share == 100:
        return path
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
    books = sorted({book_of(doc, number) for number, doc in enumerate(docs)})
    random.Random(SHUFFLE_SEED).shuffle(books)
    kept = set(books[: max(1, round(len(books) * share / 100))])
    chosen = [doc for number, doc in enumerate(docs) if book_of(doc, number) in kept]
    output.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=chosen, store_user_data=True).to_disk(output)
    return output


def overrides_of(run: Run) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The settings of the config that the run changes."""
    config = load_config(run.config, overrides=run.overrides)
    share = max(LEAST_STEPS, run.share / 100)
    n_steps = math.ceil(config["training"]["max_steps"] * share)
    path = take_share(
        Path(run.corpus) / "train.spacy", run.share, Path(run.training) / f"{run.name}.spacy"
    )
    return {
        **run.overrides,
        "paths.train": str(path),
        "paths.dev": str(Path(run.corpus) / "dev.spacy"),
        "system.seed": run.seed,
        "training.max_steps": n_steps,
        "training.optimizer.learn_rate.total_steps": n_steps,
        "training.eval_frequency": max(1, math.ceil(config["training"]["eval_frequency"] * share)),
    }


def carry_out(run: Run) -> Dict[str, Any]:
    """Train, score, and write what came out; in a process of its own.

    RETURNS (Dict[str, Any]): What was written.
    """
    start = time.perf_counter()
    train(Path(run.config), run.output, use_gpu=run.gpu_id, overrides=overrides_of(run))
    seconds = time.perf_counter() - start
    best = run.output / "model-best"
    nlp = spacy.load(best)
    result: Dict[str, Any] = {"task": run.task, "model": run.model, "seed": run.seed}
    result.update({"share": run.share, "seconds": seconds, "settings": run.settings()})
    for part in PARTS:
        examples = list(Corpus(Path(run.corpus) / f"{part}.spacy")(nlp))
        result[part] = _numbers(nlp.evaluate(examples))
    mixes = [mix for mix in collect_mixes(nlp) if mix.learned]
    result["mix"] = [{"component": m.component, "weights": m.weights} for m in mixes]
    # kilobytes, but on macOS bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_mb"] = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    shutil.rmtree(run.output / "model-last")
    run.scores.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(run.scores) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf8")
    return result


def _numbers(scores: Dict[str, Any]) -> Dict[str, float]:
    kept = {key: value for key, value in scores.items() if isinstance(value, (int, float))}
    return {key: float(value) for key, value in kept.items() if key != "speed"}


def carry_out_all(runs: List[Run], n_jobs: int) -> Iterator[Dict[str, Any]]:
    """YIELDS (Dict[str, Any]): What came out of each run, as it comes. Each has a process
    of its own, so that its memory is its own."""
    n_threads = max(1, torch.get_num_threads() // n_jobs)
    context = multiprocessing.get_context("spawn")
    with context.Pool(n_jobs, torch.set_num_threads, (n_threads,), maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(carry_out, runs)


def fine_tune_cli(
    ctx: typer.Context,
    task: Annotated[str, Arg(help="Component to train: ner, spancat or coref")],
    corpus: Annotated[Path, Arg(help="Folder of train.spacy, dev.spacy, test.spacy")],
    training: Annotated[Path, Arg(help="Folder for trained pipelines")],
    metrics: Annotated[Path, Arg(help="Folder for the scores")],
    configs: Annotated[Path, Opt(help="Folder of the configs")],
    bilm: Annotated[str, Opt(help="The biLM, for the config with ELMo")] = "en_small",
    seeds: Annotated[str, Opt(help="Seeds, with commas between them")] = "0",
    shares: Annotated[str, Opt(help="Percentages of the training books, with commas")] = "100",
    models: Annotated[str, Opt(help="Which to train, with commas")] = ",".join(MODELS),
    gpu_id: Annotated[int, Opt(help="GPU to use, -1 for the CPU")] = -1,
    jobs: Annotated[int, Opt(help="Runs at a time, which share the cores")] = 1,
) -> None:
    """Train with and without ELMo and write the scores. Further options are settings of the
    config, such as --training.dropout 0.2."""
    setup_gpu(gpu_id)
    overrides = parse_config_overrides(ctx.args)
    runs = [
        Run(
            task,
            model,
            int(seed),
            int(share),
            str(configs / f"{task}_{model}.cfg"),
            str(corpus),
            str(training),
            str(metrics),
            gpu_id,
            _with_bilm(overrides, configs / f"{task}_{model}.cfg", bilm),
        )
        for share in shares.split(",")
        for seed in seeds.split(",")
        for model in models.split(",")
    ]
    left = [run for run in runs if not run.is_done()]
    if len(left) < len(runs):
        msg.info(f"{len(runs) - len(left)} of {len(runs)} runs are there already")
    for result in carry_out_all(left, jobs) if left else ():
        msg.good(f"{result['model']}, seed {result['seed']}, {result['share']} % of the books")


def _with_bilm(overrides: Dict[str, Any], config: Path, bilm: str) -> Dict[str, Any]:
    """Settings for a config, those of ELMo for the one with it alone."""
    if "elmo" in load_config(config)["components"]:
        return {**overrides, "paths.bilm": bilm}
    return {key: value for key, value in overrides.items() if ".elmo." not in key}


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(fine_tune_cli)
    app()
