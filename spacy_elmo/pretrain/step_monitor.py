"""The results of the steps since the last log row: collected, checked and averaged."""

import math
import time
from typing import NamedTuple

import torch
from torch import Tensor

from ..files.progress import seconds_since
from ..runtime.workers import Workers
from .trainer import StepResult, Trainer

# a loss has exploded if it is larger than this multiple of the loss of a uniform distribution
MAX_LOSS_RATIO = 2.0


class StepSummary(NamedTuple):
    """Means over some steps.

    loss (float): Mean loss of all directions and processes, in nats per word.
    norm (float): Mean norm of the gradient before clipping.
    words_per_second (float): Speed of all processes.
    """

    loss: float
    norm: float
    words_per_second: float


class StepMonitor:
    """Collect the results of steps. A GPU is synchronized only when they are summarized.

    trainer (Trainer): The trainer, whose steps are monitored.
    workers (Workers): The processes that train together.
    """

    def __init__(self, trainer: Trainer, workers: Workers) -> None:
        self.trainer, self.workers = trainer, workers
        self.results: list[StepResult] = []
        self.restart_clock()

    def restart_clock(self) -> None:
        """Measure the speed from now on."""
        self.started = time.perf_counter()

    def add(self, result: StepResult) -> None:
        """Add the result of a step."""
        self.results.append(result)

    def summarize(self, remedy: str) -> StepSummary:
        """Summarize the steps since the last call. Each process must call it.

        remedy (str): What the user can do, for the error message.
        RETURNS (StepSummary): The means over the steps.
        RAISES (ValueError): If a loss or gradient is not finite, or a loss has exploded.
        """
        results, self.results = self.results, []
        losses = torch.stack([result.losses for result in results])
        means = self.workers.sum(losses.double()).cpu() / self.workers.size
        norms = torch.stack([result.norm for result in results]).cpu()
        self._check(means.mean(dim=1), norms, remedy)
        # a clock may be too coarse for a single step
        seconds = max(seconds_since(self.started), 1e-9)
        self.restart_clock()
        return StepSummary(
            loss=float(means.mean()),
            norm=float(norms.mean()),
            words_per_second=len(results) * self.trainer.positions_per_step / seconds,
        )

    def _check(self, losses: Tensor, norms: Tensor, remedy: str) -> None:
        """Raise an error at the first step whose loss or gradient is wrong."""
        limit = MAX_LOSS_RATIO * math.log(len(self.trainer.model.vocab))
        first = self.trainer.step - len(losses) + 1
        for step, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist()), start=first):
            if math.isfinite(loss) and loss > limit:
                wrong = f"loss of step {step} exploded: {loss:.4g}"
            elif not math.isfinite(loss):
                wrong = f"loss of step {step} is not a number: {loss:.4g}"
            elif not math.isfinite(norm):
                wrong = f"gradient of step {step} is not a number"
            else:
                continue
            raise ValueError(f"The {wrong}. {remedy}")
