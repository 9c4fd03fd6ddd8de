"""Softmax layers over the vocabulary, shared by both directions: full and adaptive."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .softmax import cross_entropy


class FullSoftmax(nn.Module):
    """Compute log softmax(W h + b) over the whole vocabulary.

    n_words (int): Classes V.
    dim (int): Width P of the outputs.
    """

    cutoffs: tuple[int, ...] = ()

    def __init__(self, n_words: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_words, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(n_words, dtype=torch.float32))
        nn.init.normal_(self.weight, std=dim**-0.5)

    @property
    def n_words(self) -> int:
        return len(self.bias)

    def init_bias(self, probabilities: Tensor) -> None:
        """Initialize the bias so that an untrained model approximately predicts these
        probabilities.

        probabilities (Tensor): The probability of each class, float32 [V].
        """
        with torch.no_grad():
            self.bias.copy_(probabilities.log())

    def forward(self, h: Tensor, targets: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return the sum of -log p over the targets.

        h (Tensor): Outputs [N, P].
        targets (Tensor): Classes, int64 [N].
        dtype (torch.dtype | None): Type of the matrix products; None for the type of `h`.
        RETURNS (Tensor): The sum, a scalar.
        """
        return cross_entropy(h, self.weight, self.bias, targets, dtype=dtype)

    def log_probs(self, h: Tensor) -> Tensor:
        """Return log p of all classes.

        h (Tensor): Outputs [N, P].
        RETURNS (Tensor): Log-probabilities [N, V].
        """
        return torch.log_softmax(nn.functional.linear(h, self.weight, self.bias), dim=1)


class AdaptiveSoftmax(nn.Module):
    """Compute an exact softmax over clusters of words of similar frequency.

    The head is a softmax over the most frequent words and one class for each cluster. The k-th
    cluster is a softmax over its words, on outputs projected to P / 2^k, so that rare words take
    little time. The words of the vocabulary must be sorted by frequency.

    n_words (int): Classes V.
    dim (int): Width P of the outputs.
    cutoffs (Sequence[int]): First word of each cluster, ascending.
    RAISES (ValueError): If there are no cutoffs, if they do not ascend or lie outside the
        vocabulary, or if there are so many that the width P / 2^k of a projection is below 1.
    REFERENCE: Grave et al. 2017 (adaptive softmax).
    """

    def __init__(self, n_words: int, dim: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        self.cutoffs = tuple(int(cutoff) for cutoff in cutoffs)
        bounds = [0, *self.cutoffs, n_words]
        if len(bounds) < 3 or sorted(set(bounds)) != bounds or dim >> len(self.cutoffs) < 1:
            raise ValueError(
                f"The adaptive softmax has the cutoffs {list(self.cutoffs)}; they must ascend and "
                f"lie between 0 and {n_words}, the number of words, and there may be at most "
                f"{dim.bit_length() - 1} for the width {dim}. For a small vocabulary use the full "
                f"softmax."
            )
        self.bounds = bounds[1:]
        n_head = self.cutoffs[0] + len(self.cutoffs)
        self.weight = nn.Parameter(torch.empty(n_head, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(n_head, dtype=torch.float32))
        nn.init.normal_(self.weight, std=dim**-0.5)
        self.projections = nn.ParameterList()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for k, (start, end) in enumerate(zip(self.bounds, self.bounds[1:]), start=1):
            narrow = dim >> k
            self.projections.append(nn.Parameter(torch.empty(narrow, dim, dtype=torch.float32)))
            self.weights.append(nn.Parameter(torch.empty(end - start, narrow, dtype=torch.float32)))
            self.biases.append(nn.Parameter(torch.zeros(end - start, dtype=torch.float32)))
            nn.init.normal_(self.projections[-1], std=dim**-0.5)
            nn.init.normal_(self.weights[-1], std=narrow**-0.5)

    @property
    def n_words(self) -> int:
        return self.bounds[-1]

    def init_bias(self, probabilities: Tensor) -> None:
        """As `FullSoftmax.init_bias`."""
        logs = probabilities.log()
        with torch.no_grad():
            clusters = [logs[start:end] for start, end in zip(self.bounds, self.bounds[1:])]
            totals = torch.stack([torch.logsumexp(cluster, dim=0) for cluster in clusters])
            self.bias.copy_(torch.cat([logs[: self.bounds[0]], totals]))
            for bias, cluster in zip(self.biases, clusters):
                bias.copy_(cluster)

    def forward(self, h: Tensor, targets: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """As `FullSoftmax.forward`."""
        n_frequent = self.bounds[0]
        ends = torch.tensor(self.bounds, dtype=torch.int64, device=targets.device)
        cluster = torch.bucketize(targets, ends, right=True)  # 0 for the head
        in_head = torch.where(cluster > 0, n_frequent - 1 + cluster, targets)
        loss = cross_entropy(h, self.weight, self.bias, in_head, dtype=dtype)
        for k, (projection, weight, bias) in enumerate(self._clusters(), start=1):
            rows = (cluster == k).nonzero()[:, 0]
            # also for an empty cluster, so that every weight has a gradient
            narrow = h[rows] @ projection.t()
            in_cluster = targets[rows] - self.bounds[k - 1]
            loss = loss + cross_entropy(narrow, weight, bias, in_cluster, dtype=dtype)
        return loss

    def log_probs(self, h: Tensor) -> Tensor:
        """As `FullSoftmax.log_probs`."""
        head = torch.log_softmax(nn.functional.linear(h, self.weight, self.bias), dim=1)
        n_frequent = self.bounds[0]
        log_probs: list[Tensor] = [head[:, :n_frequent]]
        for k, (projection, weight, bias) in enumerate(self._clusters()):
            logits = nn.functional.linear(h @ projection.t(), weight, bias)
            log_probs.append(head[:, n_frequent + k, None] + torch.log_softmax(logits, dim=1))
        return torch.cat(log_probs, dim=1)

    def _clusters(self) -> "zip[tuple[Tensor, Tensor, Tensor]]":
        return zip(self.projections, self.weights, self.biases)


LMHead = FullSoftmax | AdaptiveSoftmax


def make_head(n_words: int, dim: int, cutoffs: Sequence[int] = ()) -> LMHead:
    """Return an adaptive softmax, or a full softmax if there are no cutoffs.

    n_words (int): Classes V.
    dim (int): Width P of the outputs.
    cutoffs (Sequence[int]): As for `AdaptiveSoftmax`.
    RETURNS (LMHead): The new softmax.
    """
    return AdaptiveSoftmax(n_words, dim, cutoffs) if cutoffs else FullSoftmax(n_words, dim)
