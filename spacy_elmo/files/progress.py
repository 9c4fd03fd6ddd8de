"""Progress bars and durations, measured with the monotonic clock."""

import time
from typing import Any

from tqdm import tqdm


class ProgressBar(tqdm):  # type: ignore[misc, unused-ignore]
    """A tqdm bar that measures durations with the monotonic clock. tqdm itself uses the system
    time: when the system time is set back, it shows negative durations and stops updating."""

    total: Any  # int, or None if unknown

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not self.disable:
            self._time = time.perf_counter
            self.start_t = self.last_print_t = self._time()

    def complete(self) -> None:
        """Show a full bar, whatever the total was expected to be."""
        self.total = max(self.n, self.total or 0)
        self.update(self.total - self.n)
        self.refresh()


def seconds_since(start: float) -> float:
    """Return the seconds since a value of `time.perf_counter`; never negative."""
    return max(0.0, time.perf_counter() - start)


def expected_steps(step: int, n_steps: int, used: float) -> int:
    """Estimate the last step of a training run that is limited by steps and by time.

    step (int): Number of completed steps, at least 1.
    n_steps (int): Maximum number of steps.
    used (float): Fraction of the time limit that the completed steps took; 0 without a limit.
    RETURNS (int): The step, at least `step`.
    """
    if used <= 0:
        return n_steps
    return max(step, round(min(n_steps, step / used)))
