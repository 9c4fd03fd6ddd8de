"""Training recipes: optimizers with their learning rate schedules, clipping and loss scale."""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..lm.language_model import Params
from .muon import Muon
from .settings import Fraction, Settings

Rate = float | Tensor
N_GATES = 4  # of an LSTM; their matrices are concatenated along the rows
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Modern(Settings):
    """Train matrices with Muon and all other weights with AdamW, with a short warm-up and linear
    decay of the learning rates to zero.

    Muon treats the matrix of each LSTM gate separately.

    learn_rate (float): The peak learning rate of AdamW.
    matrix_rate (float): The peak learning rate of Muon.
    warmup (float): The fraction of the steps in which the learning rates rise to the peak.
    beta1, beta2 (float): Decay rates of AdamW's averages of the gradient and of its square.
    weight_decay (float): Decoupled weight decay, in units of the learning rates. It applies to all
        weights with more than one dimension, including the biases of the LSTMs, which have a row
        for each direction. Muon's updates do not shrink as the weights grow. Without decay, the
        weights of a long training can grow until gradients explode.
    clip (float): Maximum norm of the gradient over all weights.
    REFERENCE: Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon).
    """

    name: Literal["modern"] = "modern"
    learn_rate: Positive = 0.008
    matrix_rate: Positive = 0.01
    warmup: Fraction = 0.03
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    weight_decay: NonNegative = 0.0
    clip: Positive = 0.5

    #: whether the bias of a new softmax is initialized from the word frequencies
    init_from_frequencies: ClassVar[bool] = True
    #: whether the update can be captured as a CUDA graph, for which all changing values are tensors
    capturable: ClassVar[bool] = True

    def optimizers(
        self, params: Params, matrices: Params, gates: Params
    ) -> list[torch.optim.Optimizer]:
        """Create the optimizers for the groups of `LanguageModel.parameter_groups`.

        params (list[Parameter]): Vectors and embeddings.
        matrices (list[Parameter]): Matrices between layers.
        gates (list[Parameter]): The matrices of the LSTM gates.
        RETURNS (list[Optimizer]): The optimizers, in the order of `rates`.
        """
        device = params[0].device
        rates: list[Rate] = [self.learn_rate, self.matrix_rate]
        if device.type == "cuda":
            rates = [torch.tensor(rate, dtype=torch.float32, device=device) for rate in rates]
        vectors = [param for param in params if param.dim() == 1]
        tables = [param for param in params if param.dim() > 1]
        groups: list[dict[str, Any]] = [
            {"params": tables},
            {"params": vectors, "weight_decay": 0.0},
        ]
        adamw = torch.optim.AdamW(
            groups,
            lr=rates[0],
            betas=(self.beta1, self.beta2),
            eps=1e-8,
            weight_decay=self.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        # disable torch's warning about steps that are not captured: the first step never is
        adamw._warned_capturable_if_run_uncaptured = True
        groups = [{"params": matrices}, {"params": gates, "n_matrices": N_GATES}]
        return [adamw, Muon(groups, lr=rates[1], weight_decay=self.weight_decay)]

    def rates(self, done: float) -> tuple[float, ...]:
        """Return the learning rate of each optimizer.

        done (float): The completed fraction of the training, 0 to 1.
        RETURNS (tuple[float, ...]): The learning rates, in the order of `optimizers`.
        """
        rise = min(1.0, done / self.warmup) if self.warmup else 1.0
        height = rise * max(0.0, 1.0 - done)
        return self.learn_rate * height, self.matrix_rate * height

    def loss_factor(self, n_steps: int) -> float:
        """Return the factor by which the mean loss of a window is multiplied.

        n_steps (int): Steps of a window.
        RETURNS (float): The factor.
        """
        return 1.0


class Paper(Settings):
    """Train as the original implementation does: Adagrad at a constant learning rate.

    The mean loss is multiplied by the number of steps of a window. The gradient is clipped before
    Adagrad accumulates its square.

    learn_rate (float): The learning rate.
    initial_accumulator (float): Initial value of Adagrad's sums of squares.
    clip (float): Maximum norm of the gradient over all weights.
    REFERENCE: Peters et al. 2018 and its training code; Duchi et al. 2011 (Adagrad).
    """

    name: Literal["paper"] = "paper"
    learn_rate: Positive = 0.2
    initial_accumulator: NonNegative = 1.0
    clip: Positive = 10.0

    init_from_frequencies: ClassVar[bool] = False
    capturable: ClassVar[bool] = False

    def optimizers(
        self, params: Params, matrices: Params, gates: Params
    ) -> list[torch.optim.Optimizer]:
        """As `Modern.optimizers`."""
        adagrad = torch.optim.Adagrad(
            [*params, *matrices, *gates],
            lr=self.learn_rate,
            initial_accumulator_value=self.initial_accumulator,
            eps=1e-10,
        )
        return [adagrad]

    def rates(self, done: float) -> tuple[float, ...]:
        """As `Modern.rates`."""
        return (self.learn_rate,)

    def loss_factor(self, n_steps: int) -> float:
        """As `Modern.loss_factor`."""
        return float(n_steps)


Recipe = Modern | Paper
