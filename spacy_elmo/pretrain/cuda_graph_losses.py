"""The parts of a training step that are the same each time, recorded once and played again.

A step is some thousand small operations, and to launch them one by one takes a GPU's host
longer than the GPU takes for them. What has the same shapes at each step is recorded as CUDA
graphs, which are launched as a whole: the LSTMs and the softmax forward and backward, and the
change of the weights. Only the words that are read are more or fewer each time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..bilm.layers import State
from ..lm.language_model import LanguageModel
from ..lm.sampler import Sample
from ..lstm.cuda_graphs import capture
from ..runtime.workers import Workers


def can_record(model: LanguageModel, workers: Workers) -> bool:
    """RETURNS (bool): Whether a training step can be recorded: on a GPU, by one process, with
    a softmax that is not in clusters, of which each gets more or fewer words at each step."""
    return workers.device.type == "cuda" and workers.size == 1 and not model.head.cutoffs


class RecordedLosses:
    """`LanguageModel.losses` and the gradients of their mean, for windows of one shape.

    model (LanguageModel): The model, on a GPU.
    x, targets, state, samples, active, precision, dropout: As for `LanguageModel.losses`; the
        tensors are examples.
    factor (float): What the mean loss is multiplied by.
    """

    def __init__(
        self,
        model: LanguageModel,
        x: Tensor,
        targets: Tensor,
        state: State,
        samples: list[Sample] | None,
        active: list[int],
        precision: str,
        dropout: float,
        factor: float,
    ) -> None:
        self.model, self.factor = model, factor
        self.settings = active, precision, dropout
        # a recording reads and writes the same memory each time
        self.inputs = [torch.empty_like(part) for part in _flat(x, targets, state, samples)]
        self.x, self.targets, *rest = self.inputs
        self.x.requires_grad_(True)
        self.d_x = torch.zeros_like(self.x)
        self.x.grad = self.d_x
        self.state = State(rest[0], rest[1])
        self.samples: list[Sample] | None = None
        if samples is not None:
            triples = zip(rest[2::3], rest[3::3], rest[4::3])
            self.samples = [Sample(classes, (own, other)) for classes, own, other in triples]
        # where the recording adds the gradients of the weights
        params = [*model.bilm.layers.parameters(), *model.head.parameters()]
        self.gradients = [(param, torch.zeros_like(param)) for param in params]
        self.losses, self.end = x.new_empty(0), state
        before: list[Tensor | None] = [param.grad for param in params]
        for param, gradient in self.gradients:
            param.grad = gradient
        self._fill(x, targets, state, samples)
        self.replay = capture(self._run, x.device)
        for param, there in zip(params, before):
            param.grad = there

    def __call__(
        self, x: Tensor, targets: Tensor, state: State, samples: list[Sample] | None
    ) -> tuple[Tensor, State, Tensor]:
        """Losses of a window, with the gradients of the weights added to what there is.

        RETURNS (Tuple[Tensor, State, Tensor]): The losses, the states after the last step and
            the gradient of x; the latter two are there until the next call.
        """
        self._fill(x, targets, state, samples)
        for param, gradient in self.gradients:
            if param.grad is None:
                gradient.zero_()
            elif param.grad is not gradient:
                gradient.copy_(param.grad)
            param.grad = gradient
        self.replay()
        return self.losses.clone(), self.end, self.d_x

    def _fill(self, x: Tensor, targets: Tensor, state: State, samples: list[Sample] | None) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.inputs, _flat(x, targets, state, samples)):
                mine.copy_(theirs)

    def _run(self) -> None:
        active, precision, dropout = self.settings
        self.d_x.zero_()
        losses, end = self.model.losses(
            self.x, self.targets, active, self.state, precision, dropout, self.samples
        )
        (losses.mean() * self.factor).backward()
        self.losses, self.end = losses.detach(), State(end.h.detach(), end.c.detach())


class RecordedUpdate:
    """A change of the weights by their gradients, which lie where they lay before.

    change (Callable[[], Tensor]): Makes it, and returns something to be told of it. Called
        plainly the first time, when optimizers make what they remember.
    device (torch.device): Where.
    """

    def __init__(self, change: Callable[[], Tensor], device: torch.device) -> None:
        self.change, self.device = change, device
        self.replay: Callable[[], None] | None = None
        self.called = False

    def __call__(self) -> Tensor:
        if not self.called:
            self.called = True
            return self.change()
        if self.replay is None:
            self.replay = capture(self._run, self.device, n_warmup=0)
        self.replay()
        return self.told.clone()

    def _run(self) -> None:
        self.told = self.change()


def _flat(x: Tensor, targets: Tensor, state: State, samples: list[Sample] | None) -> list[Tensor]:
    parts = [x.detach(), targets, state.h, state.c]
    for sample in samples or []:
        parts += [sample.classes, *sample.corrections]
    return parts
