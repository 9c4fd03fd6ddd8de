"""One run of `pretrain`: a training whose output directory is locked while it runs."""

from contextlib import nullcontext
from pathlib import Path

from ..lm.evaluate import Perplexity
from ..runtime.workers import Workers
from .config import PretrainConfig
from .loop import Pretraining
from .output import locked_output


def run_pretraining(
    config: PretrainConfig, output: Path, workers: Workers, progress: bool = True
) -> Perplexity | None:
    """Train a biLM, or resume its training from the last checkpoint.

    config (PretrainConfig): The settings.
    output (Path): Directory for the model, the log and the checkpoints.
    workers (Workers): The processes that train together. The first one locks the directory.
    progress (bool): Whether to show progress bars.
    RETURNS (Optional[Perplexity]): The last evaluation on the held-out text; None if the training
        had already finished.
    RAISES (Stopped): If a signal stops the training, after a checkpoint is written.
    RAISES (ValueError): If another process trains in the directory, if the directory contains other
        files, or if a setting is invalid.
    """
    with locked_output(output) if workers.rank == 0 else nullcontext():
        return Pretraining(config, output, workers, progress).run()
