"""`pretrain`: a biLM from raw text, as a config says.

Owns the command. The work is in `spacy_elmo.pretrain`, imported when it is done.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from spacy.cli._util import Arg, Opt, parse_config_overrides

from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..lm.evaluate import Perplexity


@elmo_app.command(
    "pretrain", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def pretrain_cli(
    ctx: typer.Context,
    config_path: Path = Arg(
        ..., metavar="CONFIG", help="Config file, e.g. configs/pretrain_small.cfg", exists=True
    ),
    output: Path = Arg(..., metavar="OUTPUT", help="Directory for the model, log and checkpoints"),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
) -> None:
    """Train a biLM on raw text.

    Settings of the config can be overridden, e.g. --text.train "books/*.txt". If the
    command is stopped, give it again and it goes on where it was. To use several
    processes or GPUs: torchrun --nproc_per_node 2 -m spacy elmo pretrain ...
    """
    from ..runtime.memory import keep_freed_memory

    keep_freed_memory()
    overrides = parse_config_overrides(ctx.args)
    pretrain(config_path, output, overrides=overrides, gpu_id=gpu_id)


def pretrain(
    config_path: Path,
    output: Path,
    *,
    overrides: dict[str, Any] | None = None,
    gpu_id: int = -1,
    progress: bool = True,
) -> "Perplexity | None":
    """Train a biLM; see `pretrain_cli`.

    RETURNS (Optional[Perplexity]): The last look at the held-out text; None if the training
        had been finished before.
    """
    from spacy.util import load_config

    from ..pretrain.config import PretrainConfig
    from ..pretrain.loop import Pretraining, Stopped
    from ..pretrain.output import locked_output
    from ..runtime.workers import Workers

    values = load_config(config_path, overrides=overrides or {}, interpolate=True)
    config = PretrainConfig.from_dict(dict(values))
    workers = Workers.join(gpu_id)
    try:
        with locked_output(Path(output)) if workers.rank == 0 else nullcontext():
            look = Pretraining(config, Path(output), workers, progress).run()
    except Stopped as stopped:
        if workers.rank == 0:
            msg.warn(str(stopped))
        raise typer.Exit(128 + stopped.signal_number) from None
    finally:
        workers.leave()
    if workers.rank == 0 and look is None:
        msg.info(f"The training in {output} is finished; there was nothing left to do")
    elif workers.rank == 0:
        msg.good(f"Wrote {output / 'model-best'} and {output / 'model-last'}")
    return look
