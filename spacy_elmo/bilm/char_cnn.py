"""Convolutions over the characters of a word, and the highway layers after them.

Owns the arithmetic from character ids to word features. It does not know where the
ids come from, nor what the features are projected to.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..runtime.devices import send
from .init_weights import normal_
from .options import BiLMOptions

# of similar length
WORDS_PER_BUCKET = 256
# a GPU gains more from few launches than from short words: as many as outputs of the widest
# filter fit
MAX_OUTPUTS_ON_GPU = 2**27
NEARLY_0 = 1e-30


class CharCNN(nn.Module):
    """Character ids to features, [n_words, C] -> [n_words, F].

    For each filter: convolve over all C positions, take the maximum over the
    positions, then the activation (Peters et al. 2018; Kim et al. 2015). Words are
    taken in buckets of similar length and positions that hold nothing but padding
    are computed once instead of up to C times, which changes no result.

    options (BiLMOptions): The sizes.
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
        """Initialise as the original training code does."""
        nn.init.uniform_(self.embedding, -1.0, 1.0)
        for weight, bias in zip(self.filters, self.biases):
            if self.activation is torch.relu:
                nn.init.uniform_(weight, -0.05, 0.05)
            else:
                normal_(weight, std=(weight.shape[1] * weight.shape[2]) ** -0.5)
            nn.init.zeros_(bias)

    def forward(self, ids: Tensor, n_used: Tensor) -> Tensor:
        """Encode words.

        ids (Tensor): Character ids, int64 [n_words, C].
        n_used (Tensor): Positions before the padding, int64 [n_words], on the CPU.
        RETURNS (Tensor): Features [n_words, F].
        """
        if not len(ids):
            return self.embedding.new_zeros(0, sum(len(bias) for bias in self.biases))
        by_length = torch.argsort(n_used, stable=True)
        order = send(by_length, ids.device)
        size = WORDS_PER_BUCKET
        if ids.is_cuda:
            of_word = ids.shape[1] * max(len(bias) for bias in self.biases)
            size = max(size, MAX_OUTPUTS_ON_GPU // of_word)
        parts: list[Tensor] = []
        for rows, used in zip(order.split(size), n_used[by_length].split(size)):
            # the longest word, and one window of padding alone, for its value takes part in
            # the maximum
            n_positions = min(ids.shape[1], int(used[-1]) + max(self.widths))
            parts.append(self._convolve(ids[rows, :n_positions]))
        unsorted = parts[0].new_empty(len(ids), parts[0].shape[1])
        features = unsorted.index_copy(0, order, torch.cat(parts))
        for highway in self.highways:
            features = highway(features)
        return features

    def _convolve(self, ids: Tensor) -> Tensor:
        n_words, n_positions = ids.shape
        dim = self.embedding.shape[1]
        chars = nn.functional.embedding(ids, self.embedding).view(n_words, n_positions * dim)
        outputs = []
        for width, weight, bias in zip(self.widths, self.filters, self.biases):
            # [n_words * (n_positions - width + 1), width * dim]: copied for one product, since
            # torch makes one for each word of windows that overlap
            windows = chars.unfold(1, width * dim, dim).reshape(-1, width * dim)
            products = windows @ weight.view(len(weight), -1).t()
            # the activation is monotonic and comes after the maximum: fewer of them
            peaks = _Peak.apply(products.view(n_words, -1, len(weight)))
            outputs.append(self.activation(peaks + bias))
        return torch.cat(outputs, dim=1)


class _Peak(torch.autograd.Function):
    """The maximum over dimension 1 of [n_words, n_positions, n].

    As torch's `amax`, positions with the same maximum share its gradient. Torch's own
    backward takes longer than the convolution: comparing and counting in whole numbers is
    slow on the CPU.
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
        # 1 where x - peak is not below 0
        one = d_peak.new_ones(()).expand_as(x)
        at_peak: Tensor = torch.ops.aten.threshold_backward(one, x - peak, -NEARLY_0)
        share = d_peak.unsqueeze(1) / at_peak.sum(dim=1, keepdim=True)
        return at_peak.mul_(share)


class Highway(nn.Module):
    """y = g * relu(T x + t) + (1 - g) * x with g = sigmoid(G x + b).

    `weight` [2 * dim, dim] holds T above G. The original calls G "carry" although
    it gates the transformed value.
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
        # under autocast the product is in half precision, the rest is not
        both = nn.functional.linear(x, self.weight, self.bias).to(x.dtype)
        transformed, gate = both.split(self.dim, dim=1)
        return torch.lerp(x, torch.relu(transformed), torch.sigmoid(gate))
