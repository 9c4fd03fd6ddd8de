"""Tables of the runs of `fine_tune.py`, with means, standard deviations and gains."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# metrics of each task: the name, and the key in spaCy's scores; the main metric first
METRICS = {
    "ner": [("F", "ents_f"), ("P", "ents_p"), ("R", "ents_r")],
    "spancat": [("F", "spans_sc_f"), ("P", "spans_sc_p"), ("R", "spans_sc_r")],
    "coref": [
        ("CoNLL F", "coref_conll_f"),
        ("LEA F", "coref_f"),
        ("mention F", "coref_mention_f"),
        ("CoNLL F, no singletons", "coref_conll_ns_f"),
        ("LEA F, no singletons", "coref_ns_f"),
        ("mention F, no singletons", "coref_mention_ns_f"),
    ],
}
TASKS = {"ner": "Named entities", "spancat": "Nested entities", "coref": "Coreference"}
MODELS = {"baseline": "without ELMo", "elmo": "with ELMo"}


class Spread(NamedTuple):
    """Statistics of a score over runs.

    mean (float): The mean.
    deviation (float): The standard deviation; 0 for one run.
    n (int): Number of runs.
    """

    mean: float
    deviation: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.deviation:.1f}" if self.n > 1 else "")


def spread(values: Iterable[float]) -> Spread:
    """Compute the statistics of the values of at least one run."""
    values = list(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(statistics.mean(values), deviation, len(values))


@dataclass(frozen=True)
class Runs:
    """Runs of one or several tasks.

    results (List[Dict[str, Any]]): The results that `fine_tune.py` wrote for each run.
    """

    results: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Runs":
        """Read all runs in a folder.

        folder (Path): The folder.
        RETURNS (Runs): The runs.
        RAISES (ValueError): If the runs of a task have different corpora, biLMs or settings, or
            there are no runs.
        """
        results: list[dict[str, Any]] = []
        first: dict[Any, tuple[Path, Any]] = {}
        for path in sorted(folder.glob("*.json")):
            result = json.loads(path.read_text(encoding="utf8"))
            results.append(result)
            comparable = {(result["task"], result["model"]): result["settings"]}
            comparable[result["task"]] = result["settings"]["corpus"]
            for key, settings in comparable.items():
                other, known = first.setdefault(key, (path, settings))
                if settings != known:
                    raise ValueError(
                        f"{path} has another corpus, biLM or config than {other}. Remove outdated "
                        f"files, or repeat fine_tune.py with their seeds and shares."
                    )
        if not results:
            raise ValueError(f"{folder} contains no scores (*.json). Run fine_tune.py first.")
        return cls(results)

    def where(self, **wanted: Any) -> "Runs":
        """Return the runs with the given values, for example of a task, a model or a share.

        wanted (Any): The values by their keys in the results.
        RETURNS (Runs): The selected runs.
        """
        return Runs(
            [r for r in self.results if all(r[key] == value for key, value in wanted.items())]
        )

    def tasks(self) -> list[str]:
        """Return the tasks of the runs, in the order of `TASKS`."""
        return [task for task in TASKS if self.where(task=task).results]

    def shares(self) -> list[int]:
        """Return the percentages of the training books, in ascending order."""
        return sorted({result["share"] for result in self.results})

    def score(self, split: str, key: str) -> Spread | None:
        """Compute the statistics of a score.

        split (str): "dev" or "test".
        key (str): Key in spaCy's scores.
        RETURNS (Optional[Spread]): The statistics in per cent; None if no run has this score.
        """
        values = [100 * r[split][key] for r in self.results if r[split].get(key) is not None]
        return spread(values) if values else None

    def mix(self) -> list[float] | None:
        """Return the mean weight of each layer, or None if no run has a mix."""
        mixes = [mix["weights"] for result in self.results for mix in result["mix"]]
        return [statistics.mean(weights) for weights in zip(*mixes)] if mixes else None


def error_reduction(baseline: Spread, elmo: Spread) -> float:
    """Return the percentage of the error that ELMo removes. The error is 100 minus the score.

    baseline (Spread): The score without ELMo.
    elmo (Spread): The score with ELMo.
    RETURNS (float): The reduction in per cent; nan if the score without ELMo is 100.
    """
    if baseline.mean == 100:
        return float("nan")
    return 100 * (elmo.mean - baseline.mean) / (100 - baseline.mean)


def score_table(runs: Runs, task: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the score table of a task: the scores of the runs on all
    training books, and the error reduction by ELMo."""
    metrics = METRICS[task]
    header = ["", "split", "runs", *(name for name, _ in metrics)]
    rows: list[list[str]] = []
    for split in ("dev", "test"):
        found = {}
        for model, title in MODELS.items():
            chosen = runs.where(task=task, model=model, share=100)
            if chosen.results:
                found[model] = [chosen.score(split, key) for _, key in metrics]
                n_runs = str(len(chosen.results))
                rows.append([title, split, n_runs, *map(_shown, found[model])])
        if len(found) == len(MODELS):
            pairs = zip(found["baseline"], found["elmo"])
            cells = [f"{error_reduction(a, b):.0f} %" if a and b else "" for a, b in pairs]
            rows.append(["error reduction", split, "", *cells])
    return header, rows


def share_table(runs: Runs, task: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of a task's learning curve."""
    name, key = METRICS[task][0]
    header = [f"books, {name} on test", *MODELS.values(), "gain"]
    rows = []
    for share in runs.where(task=task).shares():
        scores = [
            runs.where(task=task, model=model, share=share).score("test", key) for model in MODELS
        ]
        baseline, elmo = scores
        gain = f"{elmo.mean - baseline.mean:+.1f}" if baseline and elmo else ""
        rows.append([f"{share} %", *map(_shown, scores), gain])
    return header, rows


def cost_table(runs: Runs) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of the time and memory of the runs."""
    header = ["", "books", "seconds", "threads", "peak memory, MB"]
    rows = []
    for task in runs.tasks():
        for model, title in MODELS.items():
            for share in runs.where(task=task, model=model).shares():
                chosen = runs.where(task=task, model=model, share=share).results
                seconds = spread(result["seconds"] for result in chosen)
                memory = max(result["peak_mb"] for result in chosen)
                name = f"{TASKS[task]}, {title}"
                threads = ", ".join(map(str, sorted({result["threads"] for result in chosen})))
                numbers = [f"{seconds.mean:.0f}", threads, f"{memory:,.0f}"]
                rows.append([name, f"{share} %", *numbers])
    return header, rows


def _shown(score: Spread | None) -> str:
    return "" if score is None else str(score)
