"""Distinct words drawn for the sampled softmax, frequent ones more often.

Owns the log-uniform distribution over ranks. Words must be in the order of their
frequency. It knows nothing of models.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..runtime.devices import send


class Sample(NamedTuple):
    """Classes that the targets of one direction are told from.

    classes (Tensor): Distinct classes, int64 [S].
    corrections (Tuple[Tensor, Tensor]): ln Q of the targets, float32 [R], and of the classes,
        float32 [S].
    """

    classes: Tensor
    corrections: tuple[Tensor, Tensor]


class LogUniformSampler:
    """Draws class k with P(k) = ln((k + 2) / (k + 1)) / ln(V + 1).

    Draws go on until there are `n_samples` distinct ones. With N draws a class is
    expected to be among them Q(k) = 1 - (1 - P(k))^N times.

    n_words (int): Classes V.
    n_samples (int): Distinct classes to draw, at most V.
    """

    def __init__(self, n_words: int, n_samples: int) -> None:
        if not 0 < n_samples <= n_words:
            raise ValueError(
                f"{n_samples} distinct samples cannot be drawn from {n_words} words. Take fewer "
                f"samples, or the full softmax, which is cheap for a small vocabulary."
            )
        self.n_words, self.n_samples = n_words, n_samples
        self.log_range = np.log(n_words + 1)

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """RETURNS (Tuple[ndarray, int]): The classes, in the order in which they came up,
        int64 [n_samples], and the number of draws it took."""
        drawn = np.zeros(0, dtype=np.int64)
        while True:
            chances = generator.random(2 * self.n_samples)
            more = np.exp(chances * self.log_range).astype(np.int64) - 1
            drawn = np.concatenate([drawn, np.minimum(more, self.n_words - 1)])
            _, first = np.unique(drawn, return_index=True)
            if len(first) >= self.n_samples:
                first = np.sort(first)[: self.n_samples]
                return drawn[first], int(first[-1]) + 1

    def log_expected(self, classes: Tensor, n_draws: int) -> Tensor:
        """RETURNS (Tensor): ln Q of classes, float32 of their shape."""
        k = classes.to(torch.float64)
        p = torch.log1p(1 / (k + 1)) / self.log_range
        return torch.log(-torch.expm1(n_draws * torch.log1p(-p))).float()

    def sample(self, generator: np.random.Generator, targets: Tensor) -> Sample:
        """RETURNS (Sample): Classes drawn for targets [R], where these are."""
        drawn, n_draws = self.draw(generator)
        classes = send(torch.from_numpy(drawn), targets.device)
        corrections = (self.log_expected(targets, n_draws), self.log_expected(classes, n_draws))
        return Sample(classes, corrections)
