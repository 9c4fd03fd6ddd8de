"""One step of pretraining after the other, and the state to go on from.

Owns the weights, the optimizers, the rows' states and the windows that are read next.
How long it goes on, what is watched and what is written is the loop's business.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..bilm.layers import State
from ..bilm.token_embedder import Spelling
from ..corpus.corpus import Corpus
from ..lm.language_model import LanguageModel, codes_to_ids
from ..lm.sampler import LogUniformSampler, Sample
from ..lm.windows import InDocuments, Order, Shuffled, Window, Windows
from ..runtime.devices import send
from ..runtime.torch_scope import seed_random
from ..runtime.workers import Workers
from . import checkpoint
from .config import PretrainConfig
from .cuda_graph_losses import RecordedLosses, RecordedUpdate, can_record

# what is drawn at a step depends on the seed, the step, and one of these
DRAW_ORDER, DRAW_RESET, DRAW_SAMPLES, DRAW_DROPOUT = range(4)


class StepResult(NamedTuple):
    """losses (Tensor): Mean loss of each direction [n_directions], of this process's rows.
    norm (Tensor): Norm of the gradient before clipping, a scalar."""

    losses: Tensor
    norm: Tensor


class Trainer:
    """Trains a language model on a corpus.

    Nothing random has a state: what is drawn at a step follows from the seed and the
    step's number, and is the same however many processes share the rows (but for dropout).

    config (PretrainConfig): The settings.
    model (LanguageModel): The model; it is moved to the workers' device.
    corpus (Corpus): The training text.
    workers (Workers): The processes that share the rows.
    """

    def __init__(
        self, config: PretrainConfig, model: LanguageModel, corpus: Corpus, workers: Workers
    ) -> None:
        batches, options = config.batches, model.bilm.options
        if batches.n_rows % workers.size:
            raise ValueError(
                f"[batches] n_rows is {batches.n_rows}, which {workers.size} processes cannot "
                f"share evenly. Take a multiple of {workers.size}."
            )
        self.config, self.workers, self.step = config, workers, 0
        # of the time that there is, for the learning rates: the loop's to set
        self.share_of_time = 0.0
        self.precision = model_precision(config.training.precision)
        self.model = model.to(workers.device).requires_grad_(True)
        self.params = list(self.model.parameters())
        self.optimizers = config.recipe.optimizers(*model.kinds_of_weights())
        # the gradients of all processes are averaged where they are made
        self.parallel: nn.Module = self.model
        if workers.size > 1:
            self.parallel = DistributedDataParallel(
                self.model, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        self.records = can_record(self.model, workers)
        self._forget_recordings()
        self.n_rows = batches.n_rows // workers.size
        self.rows = slice(workers.rank * self.n_rows, (workers.rank + 1) * self.n_rows)
        self.state = model.bilm.zero_state(self.n_rows)
        self.windows = [
            make_windows(config, corpus, reverse)
            for reverse in (False, True)[: options.n_directions]
        ]
        per_step = batches.n_rows * batches.n_steps * batches.accumulate
        self.positions_per_step = per_step
        self.n_steps = max(1, round(config.training.epochs * corpus.n_positions / per_step))
        self.ids = codes_to_ids(model.vocab, corpus.words)
        self.spelling = model.bilm.tokens.spell(corpus.words)
        self.sampler: LogUniformSampler | None = None
        n_samples = config.softmax.n_samples
        if config.softmax.kind == "sampled" and n_samples <= len(model.vocab) // 2:
            self.sampler = LogUniformSampler(len(model.vocab), n_samples)

    def _forget_recordings(self) -> None:
        """They are made at the first step, of the memory that is in use then."""
        self.recorded: RecordedLosses | None = None
        self.change: Callable[[], Tensor] = self._change
        if self.records and self.config.recipe.recordable:
            self.change = RecordedUpdate(self._change, self.workers.device)

    def train_step(self) -> StepResult:
        """Read the next windows and change the weights once."""
        batches = self.config.batches
        losses: list[Tensor] = []
        for n in range(batches.accumulate):
            windows = [windows.next() for windows in self.windows]
            # averaging once, with the last window, is enough
            last = n == batches.accumulate - 1
            losses.append(self.add_gradient(windows, n, synchronize=last))
        return StepResult(torch.stack(losses).mean(dim=0), self.update())

    def add_gradient(
        self, windows: list[Window], index: int = 0, synchronize: bool = True
    ) -> Tensor:
        """Add the gradient of a window of each direction to what is there.

        windows (List[Window]): The codes read and following of each direction, of all
            processes' rows.
        index (int): Which of the windows of a step this is.
        synchronize (bool): Whether to average the gradients over the processes.
        RETURNS (Tensor): Mean loss of each direction [n_directions].
        """
        batches, training = self.config.batches, self.config.training
        device = self.workers.device
        read, follows = (
            np.stack([part[:, self.rows].reshape(-1) for part in parts]) for parts in zip(*windows)
        )
        distinct, inverse = np.unique(read, return_inverse=True)
        self._reset_states(index)
        self._seed_dropout(index)
        if isinstance(self.parallel, DistributedDataParallel):
            self.parallel.require_backward_grad_sync = synchronize
        places = send(torch.from_numpy(inverse.reshape(read.shape)), device)
        targets = send(torch.from_numpy(self.ids[follows]), device)
        samples = self._samples(targets, index)
        factor = self.config.recipe.loss_factor(batches.n_steps) / batches.accumulate
        if self.records:
            spelled = self.spelling[distinct], places
            losses, self.state = self._add_recorded(*spelled, targets, samples, factor, index)
            return losses
        losses, state = self.parallel(
            self.spelling[distinct],
            places,
            targets,
            [self.n_rows] * batches.n_steps,
            self.state,
            precision=self.precision,
            dropout=training.dropout,
            samples=samples,
        )
        (losses.mean() * factor).backward()
        self.state = State(state.h.detach(), state.c.detach())
        detached: Tensor = losses.detach()
        return detached

    def _add_recorded(
        self,
        spelling: Spelling,
        places: Tensor,
        targets: Tensor,
        samples: list[Sample] | None,
        factor: float,
        index: int,
    ) -> tuple[Tensor, State]:
        """As the plain way of `add_gradient`, the LSTMs and the softmax from a recording."""
        batches, training = self.config.batches, self.config.training
        x = self.model.look_up(self.model.embed(spelling, self.precision), places)
        if self.recorded is None:
            active = [self.n_rows] * batches.n_steps
            settings = (active, self.precision, training.dropout, factor)
            self.recorded = RecordedLosses(self.model, x, targets, self.state, samples, *settings)
            self._seed_dropout(index)  # again, after the rehearsals
        losses, state, d_x = self.recorded(x, targets, self.state, samples)
        x.backward(d_x)
        return losses, state

    def update(self) -> Tensor:
        """Clip the gradient and change the weights by it.

        RETURNS (Tensor): Norm of the gradient before clipping, a scalar.
        """
        done = max((self.step + 0.5) / self.n_steps, self.share_of_time)
        rates = self.config.recipe.rates(done)
        for optimizer, rate in zip(self.optimizers, rates):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        norm = self.change()
        if self.records:
            # torch does not count what a recording changes
            self.model.bilm.drop_caches()
        self.step += 1
        return norm

    def _change(self) -> Tensor:
        gradients = [param.grad for param in self.params if param.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.config.recipe.clip / norm.clamp(min=self.config.recipe.clip)
        for gradient in gradients:
            gradient.mul_(scale)
        for optimizer in self.optimizers:
            optimizer.step()
            # a recording finds the gradients where they were
            optimizer.zero_grad(set_to_none=not self.records)
        return norm

    def _seed(self, draw: int, index: int, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.config.training.seed, draw, self.step, index, *more])

    def _seed_dropout(self, index: int) -> None:
        if self.config.training.dropout:
            seed = int(self._seed(DRAW_DROPOUT, index).integers(2**62)) + self.workers.rank
            seed_random(seed, self.workers.device)

    def _reset_states(self, index: int) -> None:
        """Let some rows start anew. Which ones is drawn for the rows of all processes."""
        batches = self.config.batches
        if not batches.reset:
            return
        shape = (len(self.windows), batches.n_rows)
        kept = self._seed(DRAW_RESET, index).random(shape) >= batches.reset
        mask = send(torch.from_numpy(kept[None, :, self.rows, None]), self.workers.device)
        self.state = State(self.state.h * mask, self.state.c * mask)

    def _samples(self, targets: Tensor, index: int) -> list[Sample] | None:
        if self.sampler is None:
            return None
        return [
            self.sampler.sample(self._seed(DRAW_SAMPLES, index, direction), follows)
            for direction, follows in enumerate(targets)
        ]

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is needed to go on, from all processes; each of them must call it.

        RETURNS (Tuple[Dict[str, Tensor], Dict[str, Any]]): Tensors, and what JSON can hold.
        """
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors.update(checkpoint.optimizer_tensors(self.optimizers))
        # [n_layers, n_directions, n_rows of all processes, P or H]
        for name, value in vars(self.state).items():
            tensors[f"state.{name}"] = self.workers.gather(value.transpose(0, 2), 0).transpose(0, 2)
        windows = [windows.order.state() for windows in self.windows]
        return tensors, {"step": self.step, "windows": windows}

    def restore(self, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
        """Go on from what `save` returned, also with another number of processes."""
        self._forget_recordings()
        self.model.load_state_dict(checkpoint.subset(tensors, "model."))
        checkpoint.restore_optimizers(self.optimizers, tensors)
        state = checkpoint.subset(tensors, "state.")
        h, c = (state[name][:, :, self.rows].to(self.workers.device) for name in ("h", "c"))
        self.state = State(h.contiguous(), c.contiguous())
        self.step = info["step"]
        for windows, at in zip(self.windows, info["windows"]):
            windows.order.restore(at)


def model_precision(precision: str) -> str:
    """RETURNS (str): The precision that the model is given, which has no "tf32".

    precision (str): "float32", "tf32" or "bfloat16".
    """
    return "float32" if precision == "tf32" else precision


@contextmanager
def matmul_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Set how torch multiplies float32 matrices in this process until the block ends.

    precision (str): "float32", "tf32" or "bfloat16".
    device (torch.device): Where the model is.
    """
    # tf32 is good enough for what bfloat16 leaves in float32
    tf32 = precision == "tf32" or (precision == "bfloat16" and device.type == "cuda")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def make_windows(config: PretrainConfig, corpus: Corpus, reverse: bool) -> Windows:
    """RETURNS (Windows): The windows of one direction, over the rows of all processes."""
    batches = config.batches
    seed = (config.training.seed, DRAW_ORDER, int(reverse))
    order: Order
    if batches.order == "shuffled":
        order = Shuffled(corpus, batches.n_rows, seed)
    else:
        order = InDocuments(corpus, batches.n_rows, reverse, seed)
    return Windows(corpus, order, batches.n_steps, reverse)
