"""What the runs of `fine_tune.py` say, in numbers: means, spreads, gains.

Owns how runs are read and counted together. How it looks is the report's business.
"""

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# What is shown of each task: the name, and the key of spaCy's scores. The first one decides.
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
    """mean, deviation (float): Over runs, the latter 0 for one. n (int): Runs."""

    mean: float
    deviation: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.deviation:.1f}" if self.n > 1 else "")


def spread(values: Iterable[float]) -> Spread:
    values = list(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(statistics.mean(values), deviation, len(values))


@dataclass(frozen=True)
class Runs:
    """Runs of one or several tasks.

    results (List[Dict[str, Any]]): What `fine_tune.py` wrote of each.
    """

    results: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Runs":
        """Read all runs in a folder. Those that are counted together must be of one corpus,
        one biLM and the same settings.

        folder (Path): The folder.
        RETURNS (Runs): The runs.
        """
        results: list[dict[str, Any]] = []
        first: dict[Any, tuple[Path, Any]] = {}
        for path in sorted(folder.glob("*.json")):
            result = json.loads(path.read_text(encoding="utf8"))
            results.append(result)
            parts = {(result["task"], result["model"]): result["settings"]}
            parts[result["task"]] = result["settings"]["corpus"]
            for key, settings in parts.items():
                other, known = first.setdefault(key, (path, settings))
                if settings != known:
                    raise ValueError(
                        f"{path} is of another corpus, biLM or config than {other}: remove what is "
                        f"out of date, or run fine_tune.py again with these seeds and shares."
                    )
        if not results:
            raise ValueError(f"{folder} holds no scores (*.json): run fine_tune.py first.")
        return cls(results)

    def of(self, **wanted: Any) -> "Runs":
        """RETURNS (Runs): Those of a task, a model, a share or a seed."""
        kept = [r for r in self.results if all(r[key] == value for key, value in wanted.items())]
        return Runs(kept)

    def tasks(self) -> list[str]:
        return [task for task in TASKS if self.of(task=task).results]

    def shares(self) -> list[int]:
        return sorted({result["share"] for result in self.results})

    def score(self, part: str, key: str) -> Spread | None:
        """RETURNS (Optional[Spread]): Of a score in per cent; None where no run has it."""
        values = [100 * r[part][key] for r in self.results if r[part].get(key) is not None]
        return spread(values) if values else None

    def mix(self) -> list[float] | None:
        """RETURNS (Optional[List[float]]): Mean weights of the layers."""
        mixes = [mix["weights"] for result in self.results for mix in result["mix"]]
        return [statistics.mean(weights) for weights in zip(*mixes)] if mixes else None


def error_cut(baseline: Spread, elmo: Spread) -> float:
    """RETURNS (float): By how many per cent ELMo makes the error smaller, the error being
    what a score lacks to 100; nan where it lacks nothing without ELMo."""
    if baseline.mean == 100:
        return float("nan")
    return 100 * (elmo.mean - baseline.mean) / (100 - baseline.mean)


def score_table(runs: Runs, task: str) -> tuple[list[str], list[list[str]]]:
    """RETURNS (Tuple[List[str], List[List[str]]]): Header and rows of the scores of a task on
    all books, ELMo's cut of the error last."""
    metrics = METRICS[task]
    header = ["", "part", "runs", *(name for name, _ in metrics)]
    rows: list[list[str]] = []
    for part in ("dev", "test"):
        found = {}
        for model, title in MODELS.items():
            chosen = runs.of(task=task, model=model, share=100)
            if chosen.results:
                found[model] = [chosen.score(part, key) for _, key in metrics]
                n_runs = str(len(chosen.results))
                rows.append([title, part, n_runs, *map(_shown, found[model])])
        if len(found) == len(MODELS):
            pairs = zip(found["baseline"], found["elmo"])
            cuts = [f"{error_cut(a, b):.0f} %" if a and b else "" for a, b in pairs]
            rows.append(["error less by", part, "", *cuts])
    return header, rows


def share_table(runs: Runs, task: str) -> tuple[list[str], list[list[str]]]:
    """RETURNS (Tuple[List[str], List[List[str]]]): Header and rows of the learning curve."""
    name, key = METRICS[task][0]
    header = [f"books, {name} on test", *MODELS.values(), "gain"]
    rows = []
    for share in runs.of(task=task).shares():
        chosen = [runs.of(task=task, model=model, share=share) for model in MODELS]
        scores = [part.score("test", key) for part in chosen]
        a, b = scores
        gain = f"{b.mean - a.mean:+.1f}" if a and b else ""
        rows.append([f"{share} %", *map(_shown, scores), gain])
    return header, rows


def cost_table(runs: Runs) -> tuple[list[str], list[list[str]]]:
    """RETURNS (Tuple[List[str], List[List[str]]]): Header and rows of time and memory."""
    header = ["", "books", "seconds", "threads", "memory, MB"]
    rows = []
    for task in runs.tasks():
        for model, title in MODELS.items():
            for share in runs.of(task=task, model=model).shares():
                chosen = runs.of(task=task, model=model, share=share).results
                seconds = spread(result["seconds"] for result in chosen)
                memory = max(result["peak_mb"] for result in chosen)
                name = f"{TASKS[task]}, {title}"
                threads = ", ".join(map(str, sorted({result["threads"] for result in chosen})))
                numbers = [f"{seconds.mean:.0f}", threads, f"{memory:,.0f}"]
                rows.append([name, f"{share} %", *numbers])
    return header, rows


def _shown(score: Spread | None) -> str:
    return "" if score is None else str(score)
