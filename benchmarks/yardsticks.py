"""Other ways to take a training step, to compare ours with.

`Textbook` is the step as the formulas read, under autograd, with or without a table of the
distinct words. `TorchLSTM` is ours with torch's own LSTM in it. `matrix_products` is what is
left of a step when there is nothing but its matrix products.
"""

from typing import Any, Callable, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_elmo.bilm.softmax import sampled_cross_entropy
from spacy_elmo.pretrain.model import LanguageModel, Weights

Corrections = Tuple[Tensor, Tensor]
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "_linear_pointwise", "convolution", "linear")


class Textbook:
    """With the weights of a language model: the CNN over every token at all positions of
    characters, one direction after the other, a Python loop over the steps with all
    products inside, and the sampled softmax as one large matrix of logits.

    model (LanguageModel): The weights, which get the gradients.
    dtype (torch.dtype): Type of the matrix products, by autocast.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype

    def losses(
        self,
        words: Tensor,
        targets: Tensor,
        samples: Tensor,
        corrections: List[Corrections],
        table: Optional[Tensor] = None,
    ) -> Tensor:
        """words: characters [D, T, B, C], or places in the table [D, T, B] if there is one;
        targets [D, T * B], samples [S], table [n, P]; RETURNS mean losses [D]."""
        found = []
        half = self.dtype == torch.bfloat16
        with torch.autocast(words.device.type, torch.bfloat16, enabled=half):
            for d, (rows, follows) in enumerate(zip(words, targets)):
                x = self._embed(rows) if table is None else nn.functional.embedding(rows, table)
                top = self._layers(x, d)
                found.append(self._softmax(top.flatten(0, 1), follows, samples, corrections[d]))
        return torch.stack(found)

    def _embed(self, chars: Tensor) -> Tensor:
        tokens = self.model.bilm.tokens
        cnn = tokens.char_cnn
        assert cnn is not None and tokens.projection is not None
        # [N, E, C]
        x = nn.functional.embedding(chars.flatten(0, 1), cnn.embedding).transpose(1, 2)
        peaks = [
            cnn.activation(nn.functional.conv1d(x, weight.transpose(1, 2), bias).amax(dim=2))
            for weight, bias in zip(cnn.filters, cnn.biases)
        ]
        features = torch.cat(peaks, dim=1)
        for highway in cnn.highways:
            features = highway(features)
        return tokens.projection(features).view(*chars.shape[:2], -1)

    def _layers(self, x: Tensor, d: int) -> Tensor:
        n_rows = x.shape[1]
        for index, layer in enumerate(self.model.bilm.layers):
            h = x.new_zeros(n_rows, x.shape[2])
            c = x.new_zeros(n_rows, layer.hidden_dim)
            outputs = []
            for x_t in x:
                sums = x_t @ layer.input_weight[d].t() + h @ layer.state_weight[d].t()
                i, f, o, g = (sums + layer.bias[d]).chunk(4, dim=1)
                c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
                c = c.clamp(-layer.bounds.cell, layer.bounds.cell)
                h = (torch.sigmoid(o) * torch.tanh(c)) @ layer.projection[d].t()
                h = h.clamp(-layer.bounds.output, layer.bounds.output)
                outputs.append(h)
            output = torch.stack(outputs)
            x = output + x if index else output
        return x

    def _softmax(self, h: Tensor, targets: Tensor, samples: Tensor, log_q: Corrections) -> Tensor:
        weight, bias = self.model.head.weight, self.model.head.bias
        own = (h * weight[targets]).sum(dim=1) + bias[targets] - log_q[0]
        others = h @ weight[samples].t() + bias[samples] - log_q[1]
        others = others.masked_fill(samples == targets[:, None], -1e4)
        logits = torch.cat([own[:, None], others], dim=1).float()
        return nn.functional.cross_entropy(logits, torch.zeros_like(targets))


class TorchLSTM(nn.Module):
    """`torch.nn.LSTM(proj_size=...)` for the layers, and ours for all else. It cannot clip.

    model (LanguageModel): The words' vectors and the softmax.
    dtype (torch.dtype): Type of the matrix products.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype) -> None:
        super().__init__()
        options = model.bilm.options
        dim, hidden = options.projection_dim, options.hidden_dim
        self.model, self.dtype = model, dtype
        self.lstms = nn.ModuleList(
            nn.ModuleList(nn.LSTM(dim, hidden, proj_size=dim) for _ in range(options.n_layers))
            for _ in range(options.n_directions)
        )

    def losses(
        self,
        table: Tensor,
        places: Tensor,
        targets: Tensor,
        samples: Tensor,
        corrections: List[Corrections],
    ) -> Tensor:
        """Vectors of words [n, P], which each position reads [D, T, B], targets [D, T * B],
        samples [S]; RETURNS mean losses [D]."""
        found = []
        weight, bias = self.model.head.weight, self.model.head.bias
        half = self.dtype == torch.bfloat16
        for d, layers in enumerate(self.lstms):
            x = table.index_select(0, places[d].flatten()).view(*places[d].shape, -1)
            for index, lstm in enumerate(layers):
                with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                    output, _ = lstm(x)
                x = output.float() + x if index else output.float()
            rest = samples, corrections[d], self.dtype
            total = sampled_cross_entropy(x.flatten(0, 1), weight, bias, targets[d], *rest)
            found.append(total / targets.shape[1])
        return torch.stack(found)


def kinds_of_lstm_weights(module: nn.Module) -> Tuple[Weights, Weights, Weights]:
    """RETURNS (Tuple[List[nn.Parameter], ...]): Weights of torch's LSTMs as
    `LanguageModel.kinds_of_weights` has them: biases, projections, and those of the gates."""
    others: Weights = []
    matrices: Weights = []
    gates: Weights = []
    for name, param in module.named_parameters():
        kind = others if param.dim() == 1 else matrices if "weight_hr" in name else gates
        kind.append(param)
    return others, matrices, gates


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: List[Tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if name in PRODUCTS:
            detached = [x.detach() if isinstance(x, Tensor) else x for x in args]
            self.calls.append((func, detached, kwargs or {}))
        return func(*args, **(kwargs or {}))


def matrix_products(step: Callable[[], object]) -> Callable[[], None]:
    """RETURNS (Callable[[], None]): The matrix products that a step makes, forward and
    backward, of the same shapes and in their order, and nothing else."""
    with _Recorder() as recorder:
        step()

    @torch.no_grad()
    def replay() -> None:
        for func, args, kwargs in recorder.calls:
            func(*args, **kwargs)

    return replay
