"""Training steps, from windows of text to updates of the weights, and the state to resume from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..bilm.layers import State
from ..corpus.corpus import Corpus
from ..lm.language_model import LanguageModel
from ..lm.sampler import LogUniformSampler, Sample
from ..lm.word_codes import codes_to_ids
from ..runtime.devices import send
from ..runtime.torch_scope import seed_random
from ..runtime.workers import Workers
from . import checkpoint
from .config import PretrainConfig
from .cuda_graph_losses import GraphedLosses, GraphedUpdate, WindowTensors, can_capture
from .draws import DRAW_DROPOUT, DRAW_RESET, DRAW_SAMPLES, draw_generator
from .precision import model_precision
from .windows import Window, make_windows


class StepResult(NamedTuple):
    """The result of a training step.

    losses (Tensor): Mean loss of each direction over the rows of this process [n_directions].
    norm (Tensor): Norm of the gradient before clipping, a scalar.
    """

    losses: Tensor
    norm: Tensor


class Trainer:
    """Train a language model on a corpus, step by step.

    Randomness is stateless (see `draws`): apart from dropout, a step is the same for any number of
    processes.

    config (PretrainConfig): The settings.
    model (LanguageModel): The model, which is moved to the device of the workers.
    corpus (Corpus): The training text.
    workers (Workers): The processes that share the rows.
    RAISES (ValueError): If the processes cannot share the rows evenly.
    """

    def __init__(
        self, config: PretrainConfig, model: LanguageModel, corpus: Corpus, workers: Workers
    ) -> None:
        batches, options = config.batches, model.bilm.options
        if batches.n_rows % workers.size:
            raise ValueError(
                f"[batches] n_rows is {batches.n_rows}, which {workers.size} processes cannot "
                f"share evenly. Set it to a multiple of {workers.size}."
            )
        self.config, self.workers, self.step = config, workers, 0
        # the fraction of the time limit that is used up, for the learning rates; set by the loop
        self.time_fraction = 0.0
        self.precision = model_precision(config.training.precision)
        self.model = model.to(workers.device).requires_grad_(True)
        self.params = list(self.model.parameters())
        self.optimizers = config.recipe.optimizers(*model.parameter_groups())
        # averages the gradients over the processes
        self.parallel: nn.Module = self.model
        if workers.size > 1:
            self.parallel = DistributedDataParallel(
                self.model, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        self.uses_graphs = can_capture(self.model, workers)
        self.graphed_losses: GraphedLosses | None = None
        self.update_weights: Callable[[], Tensor] = self.apply_gradient
        self._drop_graphs()
        self.n_rows = batches.n_rows // workers.size
        self.rows = slice(workers.rank * self.n_rows, (workers.rank + 1) * self.n_rows)
        self.active = [self.n_rows] * batches.n_steps
        self.state = model.bilm.zero_state(self.n_rows)
        self.windows = [
            make_windows(config, corpus, reverse)
            for reverse in (False, True)[: options.n_directions]
        ]
        self.positions_per_step = batches.n_rows * batches.n_steps * batches.accumulate
        n_positions = config.training.epochs * corpus.n_positions
        self.n_steps = max(1, round(n_positions / self.positions_per_step))
        self.ids = codes_to_ids(model.vocab, corpus.words)
        self.spelling = model.bilm.tokens.spell(corpus.words)
        self.sampler: LogUniformSampler | None = None
        n_samples = config.softmax.n_samples
        if config.softmax.kind == "sampled" and n_samples <= len(model.vocab) // 2:
            self.sampler = LogUniformSampler(len(model.vocab), n_samples)

    def train_step(self) -> StepResult:
        """Read the next windows and update the weights.

        RETURNS (StepResult): The losses and the norm of the gradient.
        """
        accumulate = self.config.batches.accumulate
        losses: list[Tensor] = []
        for index in range(accumulate):
            windows = [windows.next() for windows in self.windows]
            # gradients are averaged over the processes once, with the last window
            last = index == accumulate - 1
            losses.append(self.add_gradient(windows, index, synchronize=last))
        return StepResult(torch.stack(losses).mean(dim=0), self.update())

    def add_gradient(
        self, windows: list[Window], index: int = 0, synchronize: bool = True
    ) -> Tensor:
        """Accumulate the gradient of one window of each direction.

        windows (list[Window]): The window of each direction, with the rows of all processes.
        index (int): Index of the window within the step.
        synchronize (bool): Whether to average the gradients over the processes.
        RETURNS (Tensor): Mean loss of each direction [n_directions].
        """
        read = np.stack([codes[:, self.rows].reshape(-1) for codes, _ in windows])
        follows = np.stack([codes[:, self.rows].reshape(-1) for _, codes in windows])
        self._reset_states(index)
        self._seed_dropout(index)
        device = self.workers.device
        distinct, inverse = np.unique(read, return_inverse=True)
        places = send(torch.from_numpy(inverse.reshape(read.shape)), device)
        targets = send(torch.from_numpy(self.ids[follows]), device)
        samples = self._samples(targets, index)
        if self.uses_graphs:
            x = self.model.look_up(
                self.model.embed(self.spelling[distinct], self.precision), places
            )
            return self._add_graphed(WindowTensors(x, targets, self.state, samples), index)
        if isinstance(self.parallel, DistributedDataParallel):
            self.parallel.require_backward_grad_sync = synchronize
        losses, state = self.parallel(
            self.spelling[distinct],
            places,
            targets,
            self.active,
            state=self.state,
            precision=self.precision,
            dropout=self.config.training.dropout,
            samples=samples,
        )
        torch.autograd.backward(losses.mean() * self._loss_factor())
        self.state = State(state.h.detach(), state.c.detach())
        detached: Tensor = losses.detach()
        return detached

    def update(self) -> Tensor:
        """Clip the accumulated gradient and update the weights.

        RETURNS (Tensor): Norm of the gradient before clipping, a scalar.
        """
        done = max((self.step + 0.5) / self.n_steps, self.time_fraction)
        for optimizer, rate in zip(self.optimizers, self.config.recipe.rates(done)):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        norm = self.update_weights()
        if self.uses_graphs:
            # a replay does not change the version counters of tensors, so changes are not detected
            self.model.bilm.drop_caches()
        self.step += 1
        return norm

    def save(self) -> checkpoint.Content:
        """Return the state to resume from, gathered from all processes. Each process must call it.

        RETURNS (checkpoint.Content): Tensors by name, and JSON-serializable values.
        """
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors.update(checkpoint.optimizer_tensors(self.optimizers))
        # [n_layers, n_directions, n_rows of all processes, P or H]
        for name, value in vars(self.state).items():
            tensors[f"state.{name}"] = self.workers.gather(value.transpose(0, 2), 0).transpose(0, 2)
        orders = [windows.order.state() for windows in self.windows]
        return tensors, {"step": self.step, "windows": orders}

    def restore(self, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
        """Restore the state that `save` returned. The number of processes may differ.

        tensors (dict[str, Tensor]): Tensors by name.
        info (dict[str, Any]): The other values.
        """
        self._drop_graphs()
        self.model.load_state_dict(checkpoint.subset(tensors, "model."))
        checkpoint.restore_optimizers(self.optimizers, tensors)
        state = checkpoint.subset(tensors, "state.")
        h = state["h"][:, :, self.rows].to(self.workers.device)
        c = state["c"][:, :, self.rows].to(self.workers.device)
        self.state = State(h.contiguous(), c.contiguous())
        self.step = info["step"]
        for windows, order in zip(self.windows, info["windows"]):
            windows.order.restore(order)

    def apply_gradient(self) -> Tensor:
        """Clip the gradient, update the weights, and clear the gradient.

        RETURNS (Tensor): Norm of the gradient before clipping, a scalar.
        """
        gradients = [param.grad for param in self.params if param.grad is not None]
        norm: Tensor = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.config.recipe.clip / norm.clamp(min=self.config.recipe.clip)
        for gradient in gradients:
            gradient.mul_(scale)
        for optimizer in self.optimizers:
            optimizer.step()
            # a graph requires the gradients to stay in the same memory
            optimizer.zero_grad(set_to_none=not self.uses_graphs)
        return norm

    def _add_graphed(self, window: WindowTensors, index: int) -> Tensor:
        """Accumulate the gradient of a window, with LSTMs and softmax replayed from a graph."""
        if self.graphed_losses is None:
            self.graphed_losses = GraphedLosses(
                self.model,
                window,
                self.active,
                precision=self.precision,
                dropout=self.config.training.dropout,
                factor=self._loss_factor(),
            )
            self._seed_dropout(index)  # the warm-up calls of the capture have drawn numbers
        losses, self.state, d_x = self.graphed_losses(window)
        torch.autograd.backward(window.x, d_x)
        return losses

    def _drop_graphs(self) -> None:
        """Drop the CUDA graphs. New ones are captured in the next step, for its tensors."""
        self.graphed_losses, self.update_weights = None, self.apply_gradient
        if self.uses_graphs and self.config.recipe.capturable:
            self.update_weights = GraphedUpdate(self.apply_gradient, self.workers.device)

    def _loss_factor(self) -> float:
        batches = self.config.batches
        return self.config.recipe.loss_factor(batches.n_steps) / batches.accumulate

    def _generator(self, purpose: int, *where: int) -> np.random.Generator:
        return draw_generator(self.config.training.seed, purpose, self.step, *where)

    def _seed_dropout(self, index: int) -> None:
        if self.config.training.dropout:
            seed = int(self._generator(DRAW_DROPOUT, index).integers(2**62)) + self.workers.rank
            seed_random(seed, self.workers.device)

    def _reset_states(self, index: int) -> None:
        """Set the states of some rows to zero. They are drawn from the rows of all processes."""
        batches = self.config.batches
        if not batches.reset:
            return
        shape = (len(self.windows), batches.n_rows)
        carried = self._generator(DRAW_RESET, index).random(shape) >= batches.reset
        mask = send(torch.from_numpy(carried[None, :, self.rows, None]), self.workers.device)
        self.state = State(self.state.h * mask, self.state.c * mask)

    def _samples(self, targets: Tensor, index: int) -> list[Sample] | None:
        if self.sampler is None:
            return None
        return [
            self.sampler.sample(self._generator(DRAW_SAMPLES, index, direction), classes)
            for direction, classes in enumerate(targets)
        ]
