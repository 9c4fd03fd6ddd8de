"""The training loop: steps, evaluations, checkpoints, the log and the stopping criteria."""

import math
import signal
import sys
import time
from pathlib import Path

import torch

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
from .precision import matmul_precision
from .signals import handle_stop_signals
from .start import make_model
from .step_monitor import StepMonitor
from .trainer import Trainer

LOG_EVERY = 50
# steps between two synchronizations in which processes on several GPUs agree on whether to stop
SYNC_EVERY = 10


class Stopped(Exception):
    """A signal stopped the training after it wrote a checkpoint.

    message (str): What happened and how to resume.
    signal_number (int): The signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Pretraining:
    """A training in its output directory.

    config (PretrainConfig): The settings.
    output (Path): The directory. If it holds a checkpoint of a training with the same settings,
        that training is resumed.
    workers (Workers): The processes that train together. The first one writes the files.
    progress (bool): Whether to show progress bars.
    RAISES (ValueError): If the directory contains other files or a damaged checkpoint, if the text
        or the vocabulary has changed, or if a setting is invalid.
    """

    @own_training_settings()
    def __init__(
        self, config: PretrainConfig, output: Path, workers: Workers, progress: bool = True
    ) -> None:
        self.config, self.output, self.workers = config, output, workers
        self.first = workers.rank == 0
        self.progress = progress and self.first
        self.seconds_before = 0.0
        self.best, self.evals_since_best = math.inf, 0
        self.signal: int | None = None
        self.over = False
        check_output(output, config)
        self.corpus = self._open_corpus(config.text.train)
        self.heldout = self._open_corpus(config.text.heldout)
        self.trainer = Trainer(config, make_model(config, self.corpus), self.corpus, workers)
        self.monitor = StepMonitor(self.trainer, workers)
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
        """Train until the training ends or is stopped.

        RETURNS (Perplexity | None): The last evaluation on the held-out text; None if the training
            had already finished.
        RAISES (Stopped): If a signal stops the training.
        RAISES (ValueError): If a loss or gradient is not finite, or the loss explodes.
        """
        trainer = self.trainer
        self.started = time.perf_counter()
        self.monitor.restart_clock()
        evaluation: Perplexity | None = None
        with (
            handle_stop_signals(self._handle_signal),
            matmul_precision(self.config.training.precision, self.workers.device),
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
                bar.write(f"Resuming from step {trainer.step:,} of {trainer.n_steps:,}")
            while not self.over:
                self._set_time_fraction()
                self.monitor.add(trainer.train_step())
                bar.total = self._expected_steps()
                bar.update()
                evaluation = self._after_step(bar) or evaluation
            bar.total = trainer.step  # the time limit or the patience may have ended the training
            bar.refresh()
        if self.log is not None:
            self.log.close()
        self.workers.wait()
        return evaluation

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including the runs before the last resume."""
        return self.seconds_before + seconds_since(self.started)

    def _after_step(self, bar: ProgressBar) -> Perplexity | None:
        """Log, evaluate, write a checkpoint or stop, as due after this step."""
        trainer, training = self.trainer, self.config.training
        evaluation: Perplexity | None = None
        self.over = trainer.step >= trainer.n_steps or trainer.time_fraction >= 1
        evaluates = self.over or trainer.step % training.eval_every == 0
        every = training.checkpoint_every
        saves = evaluates or bool(every and trainer.step % every == 0)
        if saves or trainer.step % LOG_EVERY == 0:
            bar.set_postfix_str(self._log_steps(), refresh=False)
        if evaluates:
            evaluation = self._evaluate()
            if self.first:
                bar.write(self._describe(evaluation))
                if self.over and trainer.step < trainer.n_steps:
                    bar.write(f"Stopping at the time limit, after step {trainer.step:,}")
            self.over = self.over or self._is_complete()
        if self.over and self.first:
            # before the last checkpoint, which marks the training as finished
            trainer.model.save(self.output / LAST)
        if saves:
            self._checkpoint()
        if not self.over:
            self._stop_if_asked()
        return evaluation

    def _log_steps(self) -> str:
        """Log the steps since the last row, and return a summary for the progress bar."""
        summary = self.monitor.summarize(
            f"The last good checkpoint: {self.last_checkpoint or 'none'}. Use a lower learn_rate "
            f"or clip, and a new directory. To start from the best weights so far, set [init] path "
            f"to {self.output / BEST} if it exists. With bfloat16, try float32."
        )
        if self.log is not None:
            self.log.add(
                step=self.trainer.step,
                seconds=round(self.seconds, 2),
                loss=summary.loss,
                norm=summary.norm,
                rate=float(self.trainer.optimizers[0].param_groups[0]["lr"]),
                words_per_second=round(summary.words_per_second, 1),
            )
        return f"loss {summary.loss:.3f}, {summary.words_per_second:,.0f} words/s"

    def _evaluate(self) -> Perplexity:
        """Evaluate on the held-out text, and save the model if it is the best so far."""
        found = evaluate(self.trainer.model, self.heldout, self.workers, self.trainer.precision)
        if self.log is not None:
            self.log.add(
                step=self.trainer.step,
                seconds=round(self.seconds, 2),
                words=self.trainer.step * self.trainer.positions_per_step,
                forward=found.forward,
                backward=found.backward,
                geometric=found.geometric,
                arithmetic=found.arithmetic,
            )
            plot(self.log.rows, self.output / CURVES)
        self.evals_since_best += 1
        if found.geometric < self.best:
            self.best, self.evals_since_best = found.geometric, 0
            if self.first:
                self.trainer.model.save(self.output / BEST)
        self.monitor.restart_clock()
        return found

    def _describe(self, evaluation: Perplexity) -> str:
        return (
            f"step {self.trainer.step:>8,}  {self.seconds / 60:6.1f} min  held-out perplexity: "
            f"forward {evaluation.forward:.2f}, backward {evaluation.backward:.2f}"
        )

    def _checkpoint(self) -> None:
        """Write a checkpoint. Each process must call it, because each has some of the rows."""
        tensors, info = self.trainer.save()
        info |= {
            "seconds": self.seconds,
            "best": self.best if math.isfinite(self.best) else None,
            "evals_since_best": self.evals_since_best,
            "over": self.over,
            "fingerprints": self._fingerprints(),
        }
        if self.first:
            self.last_checkpoint = checkpoint.write(self.output, self.trainer.step, tensors, info)
        self.workers.wait()

    def _restore(self, path: Path) -> None:
        """Resume from a checkpoint."""
        tensors, info = checkpoint.read(path)
        for name, key in self._fingerprints().items():
            if info["fingerprints"][name] != key:
                raise ValueError(
                    f"The training in {self.output} was started with another {name}, or with other "
                    f"rules of tokenization. Give the same files to resume it, or a new directory."
                )
        self.trainer.restore(tensors, info)
        self.seconds_before, self.best = info["seconds"], info["best"] or math.inf
        # the name of the key in checkpoints of earlier versions
        old_key = "looks_since_best"
        self.evals_since_best = info[old_key if old_key in info else "evals_since_best"]
        if limit := self.config.training.max_minutes * 60:
            self.trainer.time_fraction = self.seconds_before / limit
        # a training that was ended by its time limit resumes if the limit is raised
        self.over = info["over"] and (self._is_complete() or self.trainer.time_fraction >= 1)

    def _fingerprints(self) -> dict[str, str]:
        """Return the fingerprints of the data that must not change when a training resumes."""
        return {
            "training text": self.corpus.key,
            "held-out text": self.heldout.key,
            "vocabulary": self.trainer.model.vocab.key,
        }

    def _open_corpus(self, files: list[str]) -> Corpus:
        """Open a corpus. If it is not in the cache, the first process tokenizes the text, and the
        others wait."""
        text = self.config.text
        settings = TextSettings(text.lang, text.tokenized, text.text_key, text.document)
        if not self.first:
            self.workers.wait()
        corpus = open_corpus(
            files, settings, text.cache, progress=self.progress, outputs=[self.output]
        )
        if self.first:
            self.workers.wait()
        return corpus

    def _is_complete(self) -> bool:
        """Return whether the epochs or the patience are used up, regardless of the time limit."""
        patience = self.config.training.patience
        impatient = bool(patience) and self.evals_since_best >= patience
        return impatient or self.trainer.step >= self.trainer.n_steps

    def _expected_steps(self) -> int | None:
        """Return the step at which the training is expected to end; None if it is not yet known."""
        limit, step = self.config.training.max_minutes * 60, self.trainer.step
        if limit and not step:
            return None
        return expected_steps(step, self.trainer.n_steps, self.seconds / limit if limit else 0.0)

    def _set_time_fraction(self) -> None:
        """Set the fraction of the time limit that is used up, in the trainers of all processes."""
        limit = self.config.training.max_minutes * 60
        if limit and not self._skips_sync():
            fraction = self.seconds / limit if self.first else 0.0
            shared = torch.tensor(fraction, dtype=torch.float64, device="cpu")
            self.trainer.time_fraction = float(self.workers.sum(shared))

    def _handle_signal(self, number: int) -> None:
        if self.first and self.signal is None:
            message = "\nStopping after this step and writing a checkpoint ..."
            print(message, file=sys.stderr, flush=True)
        self.signal = number

    def _stop_if_asked(self) -> None:
        """Write a checkpoint and raise `Stopped` if any process received a signal."""
        if self._skips_sync() or not self.workers.any(self.signal is not None):
            return
        if self.monitor.results:
            self._log_steps()
        self._checkpoint()
        raise Stopped(
            f"Stopped at step {self.trainer.step} with the checkpoint {self.last_checkpoint}. "
            f"Run the same command again to resume.",
            self.signal or signal.SIGTERM,
        )

    def _skips_sync(self) -> bool:
        """Return whether the processes do not synchronize in this step."""
        on_gpus = self.workers.size > 1 and self.workers.device.type == "cuda"
        return on_gpus and self.trainer.step % SYNC_EVERY > 0
