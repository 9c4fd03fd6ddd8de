"""Shared functions of the benchmarks: random words, timing, peak memory, plots."""

import ctypes
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

N_WORDS = 20_000


def make_words(rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Generate words with the frequencies of English prose.

    rng (Generator): The random number generator.
    RETURNS (Tuple[List[str], ndarray]): Random words, and their probabilities by Zipf's law.
    """
    letters = list("etaoinshrdlu")
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(1, 11, N_WORDS)]
    chance = 1 / np.arange(3, N_WORDS + 3)
    return words, chance / chance.sum()


def best_times(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time functions. They run alternately, so that other load on the machine affects all of them.

    runs (Mapping[str, Callable[[], object]]): The functions by name.
    repeats (int): Number of calls of each function.
    RETURNS (Dict[str, float]): The time of the fastest call of each function in seconds, by name.
    """
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def peak_mb(reset: bool = False) -> float:
    """Return the peak memory of the process in MB (on Linux).

    reset (bool): Whether to reset the peak first.
    RETURNS (float): The peak since the start of the process or the last reset.
    """
    if reset:
        # return freed memory to the system; if it were reused, the peak would not grow
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def machine(device: torch.device = torch.device("cpu")) -> str:  # noqa: B008
    """Describe the machine: the GPU, or the processor and its threads, and the version of torch."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":")[1] for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0].strip() if names else model
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model} ({capability}), {torch.get_num_threads()} threads, torch {torch.__version__}"


def plot(rows: Sequence[tuple[str, dict[str, Any]]], columns: Sequence[str], path: Path) -> None:
    """Plot tokens per second.

    rows (Sequence[Tuple[str, Dict[str, Any]]]): Title and results of each subplot.
    columns (Sequence[str]): The bars of a subplot: spacy-elmo first, and last the matrix products
        alone, which are its upper bound.
    path (Path): The image file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(rows), 3.5), layout="constrained")
    for axes, (title, row) in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows):
        colours = ["C0", *["C7"] * (len(columns) - 2), "C1"]
        axes.bar(columns, [row[name] for name in columns], color=colours)
        axes.set(title=title, ylabel="tokens per second")
        axes.tick_params(axis="x", rotation=45)
    figure.savefig(path, dpi=120)
