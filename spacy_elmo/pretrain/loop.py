"""A whole pretraining: from a config to a directory with the model and its log.

Owns what happens when: looks at the held-out text, checkpoints, the end, and being
stopped. A single step is the trainer's business.
"""

import math
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from ..corpus.corpus import Corpus
from ..corpus.corpus_cache import open_corpus
from ..corpus.overlap import warn_of_overlap
from ..corpus.readers import TextSettings
from ..files.progress import ProgressBar, expected_steps, seconds_since
from ..lm.evaluate import Perplexity, evaluate
from ..runtime.torch_scope import own_random_state, own_training_settings
from ..runtime.workers import Workers
from . import checkpoint
from .config import PretrainConfig
from .log import CURVES, Log, plot
from .output import BEST, LAST, check_output, write_config
from .signals import noted_signals
from .start import make_model
from .trainer import StepResult, Trainer, matmul_precision

LOG_EVERY = 50
# steps between the questions whether to stop, which processes on GPUs must ask together
ASK_EVERY = 10
# a loss so many times that of a guess among all words has exploded
EXPLODED = 2.0


class Stopped(Exception):
    """A signal asked the training to stop; a checkpoint has been written."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Pretraining:
    """One training in its directory.

    config (PretrainConfig): The settings.
    output (Path): The directory. If there is a checkpoint of the same config in it, the
        training goes on from there.
    workers (Workers): The processes that train together; the first one writes.
    progress (bool): Whether to show progress bars.
    """

    @own_training_settings()
    def __init__(
        self, config: PretrainConfig, output: Path, workers: Workers, progress: bool = True
    ) -> None:
        self.config, self.output, self.workers = config, output, workers
        self.first = workers.rank == 0
        self.progress = progress and self.first
        self.seconds_before = 0.0
        self.best, self.looks_since_best = math.inf, 0
        self.pending: list[StepResult] = []
        self.signal: int | None = None
        self.over = False
        check_output(output, config)
        self.corpus = self._open(config.text.train)
        self.heldout = self._open(config.text.heldout)
        self.trainer = Trainer(config, make_model(config, self.corpus), self.corpus, workers)
        self.last_checkpoint = checkpoint.latest(output)
        if self.last_checkpoint is not None:
            self._restore(self.last_checkpoint)
        if not workers.agree(self.trainer.step):
            raise ValueError(
                f"The processes found different checkpoints in {output}. Give a directory that all "
                f"machines share."
            )
        self.log: Log | None = None
        if self.first and not self.trainer.step:
            warn_of_overlap(self.corpus, self.heldout)
        if self.first:
            write_config(output, config)
            self.log = Log(output, self.trainer.step, config.training.tensorboard)

    @own_training_settings()
    def run(self) -> Perplexity | None:
        """Train to the end.

        RETURNS (Optional[Perplexity]): The last look at the held-out text; None if the
            training had been finished before.
        """
        trainer, training = self.trainer, self.config.training
        self.started = self.logged = time.perf_counter()
        look: Perplexity | None = None
        with (
            noted_signals(self._note),
            matmul_precision(training.precision, self.workers.device),
            own_random_state(self.workers.device),
            ProgressBar(
                total=self._expected_steps(),
                initial=trainer.step,
                unit="step",
                desc="Pretraining",
                disable=not self.progress,
            ) as bar,
        ):
            if self.first and trainer.step and not self.over:
                bar.write(f"Going on from step {trainer.step:,} of {trainer.n_steps:,}")
            while not self.over:
                self._share_time()
                self.pending.append(trainer.train_step())
                bar.total = self._expected_steps()
                bar.update()
                self.over = trainer.step >= trainer.n_steps or trainer.share_of_time >= 1
                looks = self.over or trainer.step % training.eval_every == 0
                keeps = training.checkpoint_every and trainer.step % training.checkpoint_every == 0
                if looks or keeps or trainer.step % LOG_EVERY == 0:
                    bar.set_postfix_str(self._log_steps(), refresh=False)
                if looks:
                    look = self._look()
                    if self.first:
                        bar.write(self._describe(look))
                        if self.over and trainer.step < trainer.n_steps:
                            bar.write(f"The time is over, at step {trainer.step:,}")
                    self.over = self.over or self._is_complete()
                if self.over and self.first:
                    # before the last checkpoint, which says that nothing is left to do
                    trainer.model.save(self.output / LAST)
                if looks or keeps:
                    self._checkpoint()
                if not self.over:
                    self._stop_if_asked()
            bar.total = trainer.step  # also where the time or the patience ended first
            bar.refresh()
        if self.log is not None:
            self.log.close()
        self.workers.wait()
        return look

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those of the runs that this one goes on from included."""
        return self.seconds_before + seconds_since(self.started)

    def _expected_steps(self) -> int | None:
        """RETURNS (Optional[int]): The step at which the training is expected to end; None while
        that cannot be said."""
        limit, step = self.config.training.max_minutes * 60, self.trainer.step
        if limit and not step:
            return None
        return expected_steps(step, self.trainer.n_steps, self.seconds / limit if limit else 0.0)

    def _open(self, files: list[str]) -> Corpus:
        """Tokenize the text if that has not been done; the first process does it for all."""
        text = self.config.text
        settings = TextSettings(text.lang, text.tokenized, text.text_key)
        if not self.first:
            self.workers.wait()
        corpus = open_corpus(
            files, settings, text.cache, progress=self.progress, outputs=[self.output]
        )
        if self.first:
            self.workers.wait()
        return corpus

    def _restore(self, path: Path) -> None:
        tensors, info = checkpoint.read(path)
        for name, key in self._fingerprints().items():
            if info["fingerprints"][name] != key:
                raise ValueError(
                    f"The training in {self.output} was begun with another {name}, or with one "
                    f"that was cut into other words. Give the same files to go on, or a new "
                    f"directory."
                )
        self.trainer.restore(tensors, info)
        self.seconds_before = info["seconds"]
        self.best, self.looks_since_best = info["best"] or math.inf, info["looks_since_best"]
        if limit := self.config.training.max_minutes * 60:
            self.trainer.share_of_time = self.seconds_before / limit
        # a training that its time has ended goes on where it is given more
        self.over = info["over"] and (self._is_complete() or self.trainer.share_of_time >= 1)

    def _fingerprints(self) -> dict[str, str]:
        """Of what a training must be gone on with."""
        return {
            "training text": self.corpus.key,
            "held-out text": self.heldout.key,
            "vocabulary": self.trainer.model.vocab.key,
        }

    def _checkpoint(self) -> None:
        """Write a checkpoint. All processes take part, for each has a part of the rows."""
        tensors, info = self.trainer.save()
        best = self.best if math.isfinite(self.best) else None
        info.update(seconds=self.seconds, best=best, looks_since_best=self.looks_since_best)
        info.update(over=self.over, fingerprints=self._fingerprints())
        if self.first:
            self.last_checkpoint = checkpoint.write(self.output, self.trainer.step, tensors, info)
        self.workers.wait()

    def _log_steps(self) -> str:
        """Log the steps since the last time, and raise an error if they went wrong."""
        results, self.pending = self.pending, []
        losses = torch.stack([result.losses for result in results])
        means = self.workers.sum(losses.double()).cpu() / self.workers.size
        norms = torch.stack([result.norm for result in results]).cpu()
        first = self.trainer.step - len(results) + 1
        self._check(means.mean(dim=1), norms, first)
        # a clock may be too coarse for a single step
        seconds = max(seconds_since(self.logged), 1e-9)
        speed = len(results) * self.trainer.positions_per_step / seconds
        self.logged = time.perf_counter()
        loss, norm = float(means.mean()), float(norms.mean())
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.log is not None:
            self.log.add(
                step=self.trainer.step,
                seconds=round(self.seconds, 2),
                loss=loss,
                norm=norm,
                rate=rate,
                words_per_second=round(speed, 1),
            )
        return f"loss {loss:.3f}, {speed:,.0f} words/s"

    def _check(self, losses: Tensor, norms: Tensor, first: int) -> None:
        """Raise an error at the first step whose loss or gradient went wrong."""
        limit = EXPLODED * math.log(len(self.trainer.model.vocab))
        for step, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist()), start=first):
            if math.isfinite(loss) and loss > limit:
                wrong = f"loss of step {step} exploded: {loss:.4g}"
            elif not math.isfinite(loss):
                wrong = f"loss of step {step} is not a number: {loss:.4g}"
            elif not math.isfinite(norm):
                wrong = f"gradient of step {step} is not a number"
            else:
                continue
            raise ValueError(
                f"The {wrong}. The last good checkpoint: {self.last_checkpoint or 'none'}. "
                f"Take a lower learn_rate or clip in a new directory, where [init] path can be "
                f"{self.output / BEST} if there is one; with bfloat16, try float32."
            )

    def _look(self) -> Perplexity:
        """Look at the held-out text and keep the best model."""
        look = evaluate(self.trainer.model, self.heldout, self.workers, self.trainer.precision)
        if self.log is not None:
            self.log.add(
                step=self.trainer.step,
                seconds=round(self.seconds, 2),
                words=self.trainer.step * self.trainer.positions_per_step,
                forward=look.forward,
                backward=look.backward,
                geometric=look.geometric,
                arithmetic=look.arithmetic,
            )
            plot(self.log.rows, self.output / CURVES)
        self.looks_since_best += 1
        if look.geometric < self.best:
            self.best, self.looks_since_best = look.geometric, 0
            if self.first:
                self.trainer.model.save(self.output / BEST)
        self.logged = time.perf_counter()
        return look

    def _describe(self, look: Perplexity) -> str:
        return (
            f"step {self.trainer.step:>8,}  {self.seconds / 60:6.1f} min  held-out perplexity: "
            f"forward {look.forward:.2f}, backward {look.backward:.2f}"
        )

    def _is_complete(self) -> bool:
        """RETURNS (bool): Whether there is nothing to do, however much time there is."""
        patience = self.config.training.patience
        no_longer_better = bool(patience) and self.looks_since_best >= patience
        return no_longer_better or self.trainer.step >= self.trainer.n_steps

    def _share_time(self) -> None:
        """Tell the trainers of all processes how much of the time is used up."""
        limit = self.config.training.max_minutes * 60
        if limit and not self._asks_later():
            share = self.seconds / limit if self.first else 0.0
            used = torch.tensor(share, dtype=torch.float64, device="cpu")
            self.trainer.share_of_time = float(self.workers.sum(used))

    def _asks_later(self) -> bool:
        on_gpus = self.workers.size > 1 and self.workers.device.type == "cuda"
        return on_gpus and self.trainer.step % ASK_EVERY > 0

    def _note(self, number: int) -> None:
        if self.first and self.signal is None:
            print("\nStopping after this step, with a checkpoint ...", file=sys.stderr, flush=True)
        self.signal = number

    def _stop_if_asked(self) -> None:
        if self._asks_later():
            return
        if self.workers.any(self.signal is not None):
            if self.pending:
                self._log_steps()
            self._checkpoint()
            raise Stopped(
                f"Stopped at step {self.trainer.step} with the checkpoint {self.last_checkpoint}. "
                f"Give the same command again to go on.",
                self.signal or signal.SIGTERM,
            )
