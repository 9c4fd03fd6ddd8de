"""Sampling classes for the sampled softmax, from a log-uniform distribution over ranks.

The words of the vocabulary must be sorted by frequency.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..runtime.devices import send


class Sample(NamedTuple):
    """Sampled classes for the targets of one direction.

    classes (Tensor): Distinct classes, int64 [S].
    corrections (tuple[Tensor, Tensor]): ln Q of the targets, float32 [R], and of the classes,
        float32 [S]; Q is the expected number of times that a class is sampled.
    """

    classes: Tensor
    corrections: tuple[Tensor, Tensor]


class LogUniformSampler:
    """Sample class k with P(k) = ln((k + 2) / (k + 1)) / ln(V + 1).

    Classes are drawn until `n_samples` distinct ones are found. With N draws, the expected count
    of a class in the sample is Q(k) = 1 - (1 - P(k))^N.

    n_words (int): Classes V.
    n_samples (int): Distinct classes to draw, at most V.
    RAISES (ValueError): If `n_samples` is not in 1..V.
    REFERENCE: Jozefowicz et al. 2016 (importance sampling); as TensorFlow's
        `log_uniform_candidate_sampler` with `unique=True`.
    """

    def __init__(self, n_words: int, n_samples: int) -> None:
        if not 0 < n_samples <= n_words:
            raise ValueError(
                f"{n_samples} distinct samples cannot be drawn from {n_words} words. Use fewer "
                f"samples, or the full softmax, which is fast for a small vocabulary."
            )
        self.n_words, self.n_samples = n_words, n_samples
        self.log_range = np.log(n_words + 1)

    def sample(self, generator: np.random.Generator, targets: Tensor) -> Sample:
        """Sample classes for targets.

        generator (Generator): The source of randomness.
        targets (Tensor): Classes to predict, int64 [R].
        RETURNS (Sample): The sample, on the device of the targets.
        """
        drawn, n_draws = self.draw(generator)
        classes = send(torch.from_numpy(drawn), targets.device)
        corrections = (self.log_expected(targets, n_draws), self.log_expected(classes, n_draws))
        return Sample(classes, corrections)

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Draw distinct classes.

        generator (Generator): The source of randomness.
        RETURNS (tuple[ndarray, int]): The classes in the order of their first draw, int64
            [n_samples], and the number of draws.
        """
        drawn = np.zeros(0, dtype=np.int64)
        while True:
            uniform = generator.random(2 * self.n_samples)
            more = np.exp(uniform * self.log_range).astype(np.int64) - 1
            drawn = np.concatenate([drawn, np.minimum(more, self.n_words - 1)])
            _, first = np.unique(drawn, return_index=True)
            if len(first) >= self.n_samples:
                first = np.sort(first)[: self.n_samples]
                return drawn[first], int(first[-1]) + 1

    def log_expected(self, classes: Tensor, n_draws: int) -> Tensor:
        """Return ln Q of classes.

        classes (Tensor): Classes, int64 of any shape.
        n_draws (int): Number of draws N.
        RETURNS (Tensor): float32 of the same shape.
        """
        k = classes.to(torch.float64)
        p = torch.log1p(1 / (k + 1)) / self.log_range
        return torch.log(-torch.expm1(n_draws * torch.log1p(-p))).float()
