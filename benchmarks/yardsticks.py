"""Baselines for a training step.

`TorchLSTM` replaces our LSTM layers with `torch.nn.LSTM`. `matmuls_only` replays only the matrix
products of a step, which is a lower bound of its time.
"""

from collections.abc import Callable
from typing import Any

import torch
from embedders import make_lstms
from textbook import Corrections
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_elmo.lm.language_model import LanguageModel, Params
from spacy_elmo.lm.softmax import sampled_cross_entropy

MATMULS = ("mm", "addmm", "bmm", "baddbmm", "mv", "_linear_pointwise", "convolution", "linear")


class TorchLSTM(nn.Module):
    """Our language model with layers of `torch.nn.LSTM(proj_size=...)`, which does not clip.

    model (LanguageModel): The language model whose token layer and softmax are used.
    dtype (torch.dtype): Dtype of the matrix products.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.lstms = make_lstms(model.bilm.options)

    def losses(
        self,
        table: Tensor,
        places: Tensor,
        targets: Tensor,
        samples: Tensor,
        corrections: list[Corrections],
    ) -> Tensor:
        """Return the mean loss of each direction.

        table (Tensor): Vectors of the distinct words [n, P].
        places (Tensor): Row of the table for each position [D, T, B].
        targets (Tensor): Target classes [D, T * B].
        samples (Tensor): Sampled classes [S].
        corrections (List[Tuple[Tensor, Tensor]]): Log expected counts of targets and samples.
        RETURNS (Tensor): Mean losses [D].
        """
        found = []
        weight, bias = self.model.head.weight, self.model.head.bias
        half = self.dtype == torch.bfloat16
        for d, layers in enumerate(self.lstms):
            x = table.index_select(0, places[d].flatten()).view(*places[d].shape, -1)
            for index, lstm in enumerate(layers):
                with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                    output, _ = lstm(x)
                x = output.float() + x if index else output.float()
            total = sampled_cross_entropy(
                x.flatten(0, 1),
                weight,
                bias,
                targets[d],
                samples,
                corrections[d],
                self.dtype,
            )
            found.append(total / targets.shape[1])
        return torch.stack(found)


def kinds_of_lstm_weights(module: nn.Module) -> tuple[Params, Params, Params]:
    """Group the parameters of `torch.nn.LSTM`s like `LanguageModel.parameter_groups`.

    module (nn.Module): The LSTMs.
    RETURNS (Tuple[List[nn.Parameter], ...]): Biases, projections, and gate weights.
    """
    others: Params = []
    matrices: Params = []
    gates: Params = []
    for name, param in module.named_parameters():
        kind = others if param.dim() == 1 else matrices if "weight_hr" in name else gates
        kind.append(param)
    return others, matrices, gates


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if name in MATMULS:
            detached = [x.detach() if isinstance(x, Tensor) else x for x in args]
            self.calls.append((func, detached, kwargs or {}))
        return func(*args, **(kwargs or {}))


def matmuls_only(step: Callable[[], object]) -> Callable[[], None]:
    """Record the matrix products of a training step, forward and backward.

    step (Callable[[], object]): The step, which is run once.
    RETURNS (Callable[[], None]): A function that replays the matrix products on the same tensors,
        in the same order.
    """
    with _Recorder() as recorder:
        step()

    @torch.no_grad()
    def replay() -> None:
        for func, args, kwargs in recorder.calls:
            func(*args, **kwargs)

    return replay
