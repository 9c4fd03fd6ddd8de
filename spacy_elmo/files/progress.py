"""Progress bars and durations, by a clock that nobody can set back."""

import time
from typing import Any

from tqdm import tqdm


class ProgressBar(tqdm):
    """tqdm's bar, with durations by the monotonic clock. tqdm reads the time of day: when that is
    set back, it shows times below zero and stands still."""

    total: Any  # int, or None while it is not known

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not self.disable:
            self._time = time.perf_counter
            self.start_t = self.last_print_t = self._time()

    def complete(self) -> None:
        """Show that the work is done, however much of it there was."""
        self.total = max(self.n, self.total or 0)
        self.update(self.total - self.n)
        self.refresh()


def seconds_since(start: float) -> float:
    """RETURNS (float): Seconds since a value of `time.perf_counter`, never below zero."""
    return max(0.0, time.perf_counter() - start)


def expected_steps(step: int, n_steps: int, used: float) -> int:
    """Estimate the step at which a training ends, by the limit that is reached first.

    step (int): Steps done, at least one.
    n_steps (int): The limit of steps.
    used (float): The fraction of the time limit that these steps took; 0 without a limit.
    RETURNS (int): The step, at least `step`.
    """
    if used <= 0:
        return n_steps
    return max(step, round(min(n_steps, step / used)))
