"""The plots of the report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tables import METRICS, MODELS, TASKS, Runs

COLOURS = {"baseline": "#b07a3c", "elmo": "#2f6f9f"}
DPI = 120


def _figure(n_columns: int) -> tuple[Figure, list]:
    figure = Figure(figsize=(4.2 * n_columns, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, n_columns, squeeze=False)[0])


def _add_legend(figure: Figure, axis: Any) -> None:
    """Add a legend with the labels of an axis above all axes, where it covers nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)


def plot_shares(runs: Runs, tasks: Iterable[str], path: Path) -> None:
    """Plot the test score against the percentage of the training books, with and without ELMo.

    runs (Runs): All runs.
    tasks (Iterable[str]): The tasks to plot, one axis each.
    path (Path): The PNG file to write.
    """
    tasks = list(tasks)
    figure, axes = _figure(len(tasks))
    for axis, task in zip(axes, tasks):
        name, key = METRICS[task][0]
        for model, title in MODELS.items():
            chosen = runs.where(task=task, model=model)
            points = [
                (share, chosen.where(share=share).score("test", key)) for share in chosen.shares()
            ]
            shown = [(share, score) for share, score in points if score is not None]
            axis.errorbar(
                [share for share, _ in shown],
                [score.mean for _, score in shown],
                [score.deviation for _, score in shown],
                marker="o",
                capsize=3,
                label=title,
                color=COLOURS[model],
            )
        axis.set(
            title=TASKS[task], xlabel="training books, %", ylabel=f"{name} on test", xlim=(0, 105)
        )
        axis.grid(alpha=0.3)
    _add_legend(figure, axes[0])
    figure.savefig(path, dpi=DPI)


def plot_mixes(mixes: dict[str, list[float]], path: Path) -> None:
    """Plot the weight of each layer as a group of bars with one bar for each task.

    mixes (Dict[str, List[float]]): The layer weights of each task.
    path (Path): The PNG file to write.
    """
    figure, (axis,) = _figure(1)
    width = 0.8 / len(mixes)
    for n, (task, weights) in enumerate(mixes.items()):
        positions = [layer + n * width for layer in range(len(weights))]
        axis.bar(positions, weights, width, label=TASKS[task])
    n_layers = max(map(len, mixes.values()))
    names = ["tokens", *(f"LSTM {n}" for n in range(1, n_layers))]
    axis.set_xticks([layer + 0.4 - width / 2 for layer in range(n_layers)], names)
    axis.set(ylabel="weight in the mix")
    _add_legend(figure, axis)
    figure.savefig(path, dpi=DPI)
