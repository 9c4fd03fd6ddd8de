"""Train a component with and without ELMo, with several seeds and on percentages of the training
books, and write the scores of each run.

Each run is a separate process, and several runs can be executed in parallel. A run is skipped if
its scores and its pipeline exist and come from the same settings, corpus and biLM. The configs are
the shipped configs of spacy-elmo.
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


def run_process(run: Run, n_threads: int) -> int:
    """Execute a run in a separate process, and return its exit status."""
    command = [sys.executable, str(SCRIPT), run.to_json()]
    return subprocess.run(command, env=environment(n_threads)).returncode


def run_all(runs: list[Run], n_jobs: int) -> None:
    """Execute runs, up to `n_jobs` in parallel. Exit if a run fails."""
    n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
    with ThreadPoolExecutor(n_jobs) as pool:
        futures = {pool.submit(run_process, run, n_threads): run for run in runs}
        for future in as_completed(futures):
            run = futures[future]
            if future.result():
                pool.shutdown(cancel_futures=True)
                msg.fail(f"{run.name} failed; its output is above.", exits=1)
            msg.good(f"Finished {run.name}: {run.scores}")


@cache
def sizes_of(bilm: str) -> dict[str, Any]:
    """Return the settings of the `elmo` component that depend on the biLM."""
    options = load_bilm(bilm).options
    sizes = {"width": options.width, "depth": options.n_layers}
    return {f"components.elmo.model.{name}": value for name, value in sizes.items()}


def settings_for(config: Path, overrides: dict[str, Any], bilm: str) -> dict[str, Any]:
    """Return the overrides for a config. Overrides of ELMo settings apply only to a config with
    ELMo.

    config (Path): The config file.
    overrides (Dict[str, Any]): Overrides for the configs with and without ELMo.
    bilm (str): The biLM of the config with ELMo.
    RETURNS (Dict[str, Any]): The overrides.
    """
    if "elmo" in load_config(config)["components"]:
        return {"paths.bilm": bilm, **sizes_of(bilm), **overrides}
    return {key: value for key, value in overrides.items() if ".elmo." not in key}


def fine_tune_cli(
    ctx: typer.Context,
    task: Annotated[str, Arg(help="Component to train: ner, spancat or coref")],
    corpus: Annotated[Path, Arg(help="Folder with train.spacy, dev.spacy and test.spacy")],
    training: Annotated[Path, Arg(help="Folder for trained pipelines")],
    metrics: Annotated[Path, Arg(help="Folder for the scores")],
    configs: Annotated[Path, Opt(help="Folder of the configs")],
    bilm: Annotated[str, Opt(help="biLM for the config with ELMo")] = "en_small",
    seeds: Annotated[str, Opt(help="Comma-separated seeds")] = "0",
    shares: Annotated[str, Opt(help="Comma-separated percentages of the training books")] = "100",
    gpu_id: Annotated[int, Opt(help="GPU ID or -1 for CPU")] = -1,
    jobs: Annotated[int, Opt(help="Number of parallel runs, which share the cores")] = 1,
) -> None:
    """Train with and without ELMo, and write the scores. Further options override settings of
    the config, for example --training.dropout 0.2."""
    overrides = parse_config_overrides(ctx.args)
    runs = []
    for share in shares.split(","):
        for seed in seeds.split(","):
            for model in MODELS:
                config = configs / f"{task}_{model}.cfg"
                run = Run(
                    task=task,
                    model=model,
                    seed=int(seed),
                    share=int(share),
                    config=str(config),
                    corpus=str(corpus),
                    training=str(training),
                    metrics=str(metrics),
                    gpu_id=gpu_id,
                    overrides=settings_for(config, overrides, bilm),
                )
                runs.append(run)
    remaining = [run for run in runs if not run.is_done()]
    if len(remaining) < len(runs):
        msg.info(f"Skipping {len(runs) - len(remaining)} of {len(runs)} runs, which are finished")
    run_all(remaining, jobs)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(fine_tune_cli)
    app()
