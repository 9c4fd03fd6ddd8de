"""What the benchmarks share: words to read, best times, and the name of the machine."""

import platform
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
import torch

N_WORDS = 20_000


def make_words(rng: np.random.Generator) -> Tuple[List[str], np.ndarray]:
    """RETURNS (Tuple[List[str], ndarray]): Made-up words, and their probabilities by Zipf's
    law, as in English prose."""
    letters = list("etaoinshrdlu")
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(1, 11, N_WORDS)]
    chance = 1 / np.arange(3, N_WORDS + 3)
    return words, chance / chance.sum()


def best_times(runs: Dict[str, Callable[[], object]], repeats: int) -> Dict[str, float]:
    """Best time of each, taken in turn so that a disturbance hits all alike."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def machine(device: torch.device = torch.device("cpu")) -> str:  # noqa: B008
    """RETURNS (str): The processor with the threads used, or the GPU, and the version of torch."""
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
