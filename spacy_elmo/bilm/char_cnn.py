"""The character CNN: convolutions over the characters of a word, then highway layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..runtime.devices import send
from .init_weights import normal_
from .options import BiLMOptions

WORDS_PER_BUCKET = 256  # words of similar length that are convolved together
# On a GPU, fewer launches save more time than less padding. Buckets are therefore larger. This is
# the maximum number of outputs of the largest filter for a bucket.
MAX_OUTPUTS_ON_GPU = 2**27
NEARLY_0 = 1e-30


class CharCNN(nn.Module):
    """Map character ids to word features, [n_words, C] -> [n_words, F].

    Each filter is convolved over all C positions, followed by the maximum over the positions and
    the activation. Words are processed in buckets of similar length. All windows that contain only
    padding have the same output, which is computed once instead of up to C times.

    options (BiLMOptions): The sizes.
    REFERENCE: Kim et al. 2016, "Character-aware neural language models"; Peters et al. 2018, where
        the activation follows the maximum.
    """

    def __init__(self, options: BiLMOptions) -> None:
        super().__init__()
        self.widths = [width for width, _ in options.filters]
        self.activation = torch.relu if options.activation == "relu" else torch.tanh
        dim = options.char_dim
        self.embedding = nn.Parameter(torch.empty(options.n_characters, dim, dtype=torch.float32))
        self.filters = nn.ParameterList(
            nn.Parameter(torch.empty(count, width, dim, dtype=torch.float32))
            for width, count in options.filters
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.empty(count, dtype=torch.float32)) for _, count in options.filters
        )
        self.highways = nn.ModuleList(Highway(options.n_filters) for _ in range(options.n_highway))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weights as in the original training code."""
        nn.init.uniform_(self.embedding, -1.0, 1.0)
        for weight, bias in zip(self.filters, self.biases):
            if self.activation is torch.relu:
                nn.init.uniform_(weight, -0.05, 0.05)
            else:
                normal_(weight, std=(weight.shape[1] * weight.shape[2]) ** -0.5)
            nn.init.zeros_(bias)

    def forward(self, ids: Tensor, n_used: Tensor) -> Tensor:
        """Return the features of words.

        ids (Tensor): Character ids, int64 [n_words, C].
        n_used (Tensor): Positions of each word before the padding, int64 [n_words], on the CPU.
        RETURNS (Tensor): Features [n_words, F].
        """
        if not len(ids):
            return self.embedding.new_zeros(0, sum(len(bias) for bias in self.biases))
        by_length = torch.argsort(n_used, stable=True)
        order = send(by_length, ids.device)
        size = WORDS_PER_BUCKET
        if ids.is_cuda:
            word_outputs = ids.shape[1] * max(len(bias) for bias in self.biases)
            size = max(size, MAX_OUTPUTS_ON_GPU // word_outputs)
        buckets: list[Tensor] = []
        for rows, used in zip(torch.split(order, size), torch.split(n_used[by_length], size)):
            # the longest word, and one window of padding only, whose output counts for the maximum
            n_positions = min(ids.shape[1], int(used[-1]) + max(self.widths))
            buckets.append(self._convolve(ids[rows, :n_positions]))
        unsorted = buckets[0].new_empty(len(ids), buckets[0].shape[1])
        features = unsorted.index_copy(0, order, torch.cat(buckets))
        for highway in self.highways:
            features = highway(features)
        return features

    def _convolve(self, ids: Tensor) -> Tensor:
        n_words, n_positions = ids.shape
        dim = self.embedding.shape[1]
        chars = nn.functional.embedding(ids, self.embedding).view(n_words, n_positions * dim)
        outputs = []
        for width, weight, bias in zip(self.widths, self.filters, self.biases):
            # [n_words * (n_positions - width + 1), width * dim]; a copy, because PyTorch runs a
            # separate GEMM for each word on overlapping windows
            windows = chars.unfold(1, width * dim, dim).reshape(-1, width * dim)
            convolved = windows @ weight.view(len(weight), -1).t()
            # the activation is monotonic, so it is applied to the maxima only
            peaks = _peak(convolved.view(n_words, -1, len(weight)))
            outputs.append(self.activation(peaks + bias))
        return torch.cat(outputs, dim=1)


class _Peak(torch.autograd.Function):
    """The maximum over dimension 1 of [n_words, n_positions, n].

    Positions with equal maxima share the gradient evenly, as in `torch.amax`. The backward pass of
    `torch.amax` takes longer than the convolution, because it compares and counts in integers,
    which is slow on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        peak = x.amax(dim=1, keepdim=True)
        ctx.save_for_backward(x, peak)
        return peak.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_peak: Tensor) -> Tensor:
        x, peak = ctx.saved_tensors
        # 1 where x equals the peak, else 0
        one = d_peak.new_ones(()).expand_as(x)
        at_peak: Tensor = torch.ops.aten.threshold_backward(one, x - peak, -NEARLY_0)
        share = d_peak.unsqueeze(1) / at_peak.sum(dim=1, keepdim=True)
        return at_peak.mul_(share)


_peak: Callable[[Tensor], Tensor] = _Peak.apply


class Highway(nn.Module):
    """A highway layer: y = g * relu(T x + t) + (1 - g) * x with g = sigmoid(G x + b).

    `weight` [2 * dim, dim] is T stacked on G, `bias` is t followed by b. The original code calls
    G "carry", although it gates the transformed value.

    dim (int): Width of input and output.
    REFERENCE: Srivastava et al. 2015, "Highway networks", equation 3.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.empty(2 * dim, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(2 * dim, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        normal_(self.weight, std=self.dim**-0.5)
        with torch.no_grad():
            self.bias[: self.dim] = 0.0
            self.bias[self.dim :] = -2.0  # start by passing the input through

    def forward(self, x: Tensor) -> Tensor:
        # under autocast, only the matrix product is in half precision
        both = nn.functional.linear(x, self.weight, self.bias).to(x.dtype)
        transformed, gate = both.chunk(2, dim=1)
        return torch.lerp(x, torch.relu(transformed), torch.sigmoid(gate))
