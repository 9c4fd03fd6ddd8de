"""The log of a training: JSON lines, learning curves, and TensorBoard files.

Rows that a stopped training wrote after its last checkpoint are dropped when it resumes, so that
each step is logged once.
"""

import json
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_file

LOG, CURVES, BOARD = "log.jsonl", "curves.png", "tensorboard"


class Log:
    """The log of one training.

    output (Path): The directory of the training.
    step (int): Number of completed steps; rows of later steps are dropped.
    tensorboard (bool): Whether to write TensorBoard files as well.
    RAISES (ImportError): If `tensorboard` is true and TensorBoard is not installed.
    """

    def __init__(self, output: Path, step: int, tensorboard: bool = False) -> None:
        self.path = output / LOG
        self.rows: list[dict[str, Any]] = [row for row in read(output) if row["step"] <= step]
        with atomic_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.board: Any | None = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "[training] tensorboard is true, but TensorBoard is not installed. Install "
                    "it with `pip install tensorboard`, or set it to false."
                ) from error
            self.board = SummaryWriter(str(output / BOARD), purge_step=step + 1)

    def add(self, **row: Any) -> None:
        """Append a row.

        **row (Any): Values by name, JSON-serializable; `step` is required.
        """
        self.rows.append(row)
        with self.path.open("a", encoding="utf8") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(name, value, row["step"])
            self.board.flush()

    def close(self) -> None:
        """Close the TensorBoard files."""
        if self.board is not None:
            self.board.close()


def read(output: Path) -> list[dict[str, Any]]:
    """Read a log. A truncated last row is ignored.

    output (Path): The directory of the training.
    RETURNS (list[dict[str, Any]]): The rows; empty if there is no log.
    """
    if not (output / LOG).is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in (output / LOG).read_text(encoding="utf8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> bool:
    """Plot the held-out perplexity over time, and the training loss over steps.

    rows (list[dict[str, Any]]): Rows of a log.
    path (Path): The PNG file to write.
    RETURNS (bool): Whether the file was written, which requires matplotlib and two evaluations.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter
    except ImportError:
        return False
    evaluations = [row for row in rows if "forward" in row]
    steps = [row for row in rows if "loss" in row]
    if len(evaluations) < 2:
        return False
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    minutes = [row["seconds"] / 60 for row in evaluations]
    for name in ("forward", "backward"):
        left.plot(minutes, [row[name] for row in evaluations], marker="o", label=name)
    left.set(yscale="log", xlabel="minutes", ylabel="held-out perplexity")
    figure.legend(loc="outside upper left", ncols=2)
    left.grid(alpha=0.3, which="both")
    # label the axis with plain numbers, and minor ticks if there is room
    left.yaxis.set_major_formatter(LogFormatter())
    left.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    right.plot([row["step"] for row in steps], [row["loss"] for row in steps], linewidth=1)
    right.set(xlabel="steps", ylabel="training loss (nats per word)")
    right.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return True
