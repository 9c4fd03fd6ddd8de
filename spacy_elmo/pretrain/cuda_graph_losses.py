"""CUDA graphs of a training step: losses with their gradients, and the update of the weights.

A step consists of thousands of small kernels. The host takes longer to launch them than the GPU
takes to run them. Computations with the same shapes in each step are therefore captured once and
replayed with one launch: the forward and backward pass of the LSTMs and of the softmax, and the
update of the weights. The token embedder is not captured, because the number of distinct words
varies.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..bilm.layers import State
from ..lm.language_model import LanguageModel
from ..lm.sampler import Sample
from ..lstm.cuda_graphs import capture
from ..runtime.workers import Workers


def can_capture(model: LanguageModel, workers: Workers) -> bool:
    """Return whether training steps can be captured.

    Capturing requires a GPU and a single process. A model with an adaptive softmax cannot be
    captured, because the number of words in each of its clusters varies from step to step.

    model (LanguageModel): The model.
    workers (Workers): The processes that train together.
    RETURNS (bool): Whether training steps can be captured.
    """
    return workers.device.type == "cuda" and workers.size == 1 and not model.head.cutoffs


class WindowTensors(NamedTuple):
    """The tensors from which the losses of a window are computed.

    x (Tensor): Token vectors of the words read, float32 [n_directions, R, P].
    targets (Tensor): Classes to predict, int64 [n_directions, R].
    state (State): States of the rows before the first step.
    samples (list[Sample] | None): Samples of each direction, for the sampled softmax.
    """

    x: Tensor
    targets: Tensor
    state: State
    samples: list[Sample] | None

    def flatten(self) -> list[Tensor]:
        """Return all tensors, in a fixed order."""
        tensors = [self.x.detach(), self.targets, self.state.h, self.state.c]
        for sample in self.samples or []:
            tensors += [sample.classes, *sample.corrections]
        return tensors

    def empty_copy(self) -> "WindowTensors":
        """Return new tensors of the same shapes."""
        state = State(torch.empty_like(self.state.h), torch.empty_like(self.state.c))
        samples: list[Sample] | None = None
        if self.samples is not None:
            samples = [_empty_sample(sample) for sample in self.samples]
        return WindowTensors(
            x=torch.empty_like(self.x.detach()),
            targets=torch.empty_like(self.targets),
            state=state,
            samples=samples,
        )


class GraphedLosses:
    """`LanguageModel.losses` and the gradients of their mean, captured for windows of one shape.

    model (LanguageModel): The model, on a GPU.
    window (WindowTensors): An example window.
    active (list[int]): Active rows at each step.
    precision (str): As for `LanguageModel.losses`.
    dropout (float): As for `LanguageModel.losses`.
    factor (float): Factor by which the mean loss is multiplied.
    """

    def __init__(
        self,
        model: LanguageModel,
        window: WindowTensors,
        active: list[int],
        *,
        precision: str,
        dropout: float,
        factor: float,
    ) -> None:
        self.model, self.active = model, active
        self.precision, self.dropout, self.factor = precision, dropout, factor
        # a graph reads and writes the same memory in each replay
        self.window = window.empty_copy()
        self.window.x.requires_grad_(True)
        self.d_x = torch.zeros_like(window.x)
        self.window.x.grad = self.d_x
        params = [*model.bilm.layers.parameters(), *model.head.parameters()]
        self.gradients = [(param, torch.zeros_like(param)) for param in params]
        self.losses, self.end = window.x.new_empty(0), window.state
        before: list[Tensor | None] = [param.grad for param in params]
        for param, gradient in self.gradients:
            param.grad = gradient
        self._copy_in(window)
        self.replay = capture(self._run, window.x.device)
        for param, grad in zip(params, before):
            param.grad = grad

    def __call__(self, window: WindowTensors) -> tuple[Tensor, State, Tensor]:
        """Compute the losses of a window, and accumulate the gradients of the weights.

        window (WindowTensors): The window, of the captured shapes.
        RETURNS (tuple[Tensor, State, Tensor]): The loss of each direction, the states after the
            last step, and the gradient of `x`. The states and the gradient are overwritten by the
            next call.
        """
        self._copy_in(window)
        for param, gradient in self.gradients:
            if param.grad is None:
                gradient.zero_()
            elif param.grad is not gradient:
                gradient.copy_(param.grad)
            param.grad = gradient
        self.replay()
        return self.losses.clone(), self.end, self.d_x

    def _copy_in(self, window: WindowTensors) -> None:
        with torch.no_grad():
            for static, new in zip(self.window.flatten(), window.flatten()):
                static.copy_(new)

    def _run(self) -> None:
        self.d_x.zero_()
        losses, end = self.model.losses(
            self.window.x,
            self.window.targets,
            self.active,
            self.window.state,
            precision=self.precision,
            dropout=self.dropout,
            samples=self.window.samples,
        )
        torch.autograd.backward(losses.mean() * self.factor)
        self.losses, self.end = losses.detach(), State(end.h.detach(), end.c.detach())


class GraphedUpdate:
    """A captured update of the weights. The gradients must stay in the same memory.

    update (Callable[[], Tensor]): Updates the weights and returns a tensor. The first call is not
        captured, because optimizers create their state in it.
    device (torch.device): The GPU.
    """

    def __init__(self, update: Callable[[], Tensor], device: torch.device) -> None:
        self.update, self.device = update, device
        self.replay: Callable[[], None] | None = None
        self.called = False

    def __call__(self) -> Tensor:
        """Update the weights.

        RETURNS (Tensor): The tensor that `update` returned.
        """
        if not self.called:
            self.called = True
            return self.update()
        if self.replay is None:
            self.replay = capture(self._run, self.device, n_warmup=0)
        self.replay()
        return self.result.clone()

    def _run(self) -> None:
        self.result = self.update()


def _empty_sample(sample: Sample) -> Sample:
    targets, classes = sample.corrections
    corrections = torch.empty_like(targets), torch.empty_like(classes)
    return Sample(torch.empty_like(sample.classes), corrections)
