"""Train a component with and without ELMo, from several seeds and on shares of the books,
and write the scores of each run.

Owns which runs there are and that they are carried out, some side by side. A run whose
scores and pipeline are there, made with the same settings, corpus and biLM, is not run
again. The configs are those of the package.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from runs import Run
from spacy.cli._util import Arg, Opt, parse_config_overrides
from spacy.util import load_config
from threads import environment
from wasabi import msg

from spacy_elmo import load_bilm

MODELS = ("baseline", "elmo")
SCRIPT = Path(__file__).parent / "train_run.py"


def start(run: Run, n_threads: int) -> int:
    """RETURNS (int): The exit status of the process that carries the run out."""
    command = [sys.executable, str(SCRIPT), run.to_json()]
    return subprocess.run(command, env=environment(n_threads)).returncode


def carry_out_all(runs: list[Run], n_jobs: int) -> None:
    """Carry out runs, so many side by side; the first that fails ends it."""
    n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
    with ThreadPoolExecutor(n_jobs) as pool:
        started = {pool.submit(start, run, n_threads): run for run in runs}
        for future in as_completed(started):
            run = started[future]
            if future.result():
                pool.shutdown(cancel_futures=True)
                msg.fail(f"{run.name} has failed; what it said is above.", exits=1)
            msg.good(f"{run.name} is done: {run.scores}")


@cache
def sizes_of(bilm: str) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): Those settings of `elmo` that follow from a biLM."""
    options = load_bilm(bilm).options
    sizes = {"width": options.width, "depth": options.n_layers}
    return {f"components.elmo.model.{name}": value for name, value in sizes.items()}


def settings_for(config: Path, overrides: dict[str, Any], bilm: str) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): Settings for a config, those of ELMo for the one with it."""
    if "elmo" in load_config(config)["components"]:
        return {"paths.bilm": bilm, **sizes_of(bilm), **overrides}
    return {key: value for key, value in overrides.items() if ".elmo." not in key}


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
    gpu_id: Annotated[int, Opt(help="GPU to use, -1 for the CPU")] = -1,
    jobs: Annotated[int, Opt(help="Runs at a time, which share the cores")] = 1,
) -> None:
    """Train with and without ELMo and write the scores. Further options are settings of the
    config, such as --training.dropout 0.2."""
    overrides = parse_config_overrides(ctx.args)
    runs = []
    for share in shares.split(","):
        for seed in seeds.split(","):
            for model in MODELS:
                config = configs / f"{task}_{model}.cfg"
                paths = [str(path) for path in (config, corpus, training, metrics)]
                settings = settings_for(config, overrides, bilm)
                runs.append(Run(task, model, int(seed), int(share), *paths, gpu_id, settings))
    left = [run for run in runs if not run.is_done()]
    if len(left) < len(runs):
        msg.info(f"{len(runs) - len(left)} of {len(runs)} runs are there already")
    carry_out_all(left, jobs)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(fine_tune_cli)
    app()
