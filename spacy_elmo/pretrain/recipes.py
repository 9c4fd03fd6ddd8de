"""How the weights are changed: the original's way, and today's.

A recipe owns its optimizers, their learning rates over time and what goes with them. Of the
model it knows which weights are matrices, and which of these hold an LSTM's four gates.
"""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from .muon import Muon
from .settings import Settings

Params = list[nn.Parameter]
Rate = float | Tensor
N_GATES = 4  # of an LSTM, their weights below each other
Above0 = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Modern(Settings):
    """AdamW, and Muon for matrices; a short warm-up, then learning rates that fall to zero in
    a line.

    Muon takes the matrices of an LSTM's gates each by itself.

    learn_rate (float): The highest learning rate of AdamW.
    matrix_rate (float): That of Muon.
    warmup (float): Share of the steps in which the rate rises to it.
    beta1, beta2 (float): AdamW's averages of the gradient and of its square.
    weight_decay (float): Decay of all weights with more than one dimension, in units of the
        learning rates; the LSTMs' biases, a row for each direction, are among them. Muon's steps
        have the same size all along: over many of them weights grow without it, until gradients
        explode.
    clip (float): Greatest norm of the gradient over all weights.
    """

    name: Literal["modern"] = "modern"
    learn_rate: Above0 = 0.008
    matrix_rate: Above0 = 0.01
    warmup: Fraction = 0.03
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    weight_decay: AtLeast0 = 0.0
    clip: Above0 = 0.5

    #: the softmax starts at the words' frequencies, so that no step is spent on learning them
    starts_at_frequencies: ClassVar[bool] = True
    #: whether the optimizers' steps on a GPU can be recorded: all that changes is in tensors
    recordable: ClassVar[bool] = True

    def optimizers(
        self, params: Params, matrices: Params, gates: Params
    ) -> list[torch.optim.Optimizer]:
        device = params[0].device
        rates: list[Rate] = [self.learn_rate, self.matrix_rate]
        if device.type == "cuda":
            rates = [torch.tensor(rate, dtype=torch.float32, device=device) for rate in rates]
        vectors = [param for param in params if param.dim() == 1]
        tables = [param for param in params if param.dim() > 1]
        kinds: list[dict[str, Any]] = [{"params": tables}, {"params": vectors, "weight_decay": 0.0}]
        adamw = torch.optim.AdamW(
            kinds,
            lr=rates[0],
            betas=(self.beta1, self.beta2),
            eps=1e-8,
            weight_decay=self.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        # torch would warn where a step is not recorded, as the first one never is
        adamw._warned_capturable_if_run_uncaptured = True
        groups = [{"params": matrices}, {"params": gates, "n_parts": N_GATES}]
        return [adamw, Muon(groups, lr=rates[1], weight_decay=self.weight_decay)]

    def rates(self, done: float) -> tuple[float, ...]:
        """RETURNS (Tuple[float, ...]): The optimizers' learning rates when a share of the
        steps is done."""
        rise = min(1.0, done / self.warmup) if self.warmup else 1.0
        height = rise * max(0.0, 1.0 - done)
        return self.learn_rate * height, self.matrix_rate * height

    def loss_factor(self, n_steps: int) -> float:
        return 1.0


class Paper(Settings):
    """The original's (Peters et al. 2018): Adagrad at a constant rate, for a million steps.

    The gradient is that of the loss times the window's steps; it is clipped, and only
    then seen by Adagrad.

    learn_rate (float): The learning rate.
    initial_accumulator (float): What Adagrad's sums of squares start at.
    clip (float): Greatest norm of the gradient over all weights.
    """

    name: Literal["paper"] = "paper"
    learn_rate: Above0 = 0.2
    initial_accumulator: AtLeast0 = 1.0
    clip: Above0 = 10.0

    starts_at_frequencies: ClassVar[bool] = False
    recordable: ClassVar[bool] = False

    def optimizers(
        self, params: Params, matrices: Params, gates: Params
    ) -> list[torch.optim.Optimizer]:
        adagrad = torch.optim.Adagrad(
            [*params, *matrices, *gates],
            lr=self.learn_rate,
            initial_accumulator_value=self.initial_accumulator,
            eps=1e-10,
        )
        return [adagrad]

    def rates(self, done: float) -> tuple[float, ...]:
        return (self.learn_rate,)

    def loss_factor(self, n_steps: int) -> float:
        return float(n_steps)


Recipe = Modern | Paper
