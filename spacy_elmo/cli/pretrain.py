"""The command `pretrain`: train a biLM on raw text."""

from pathlib import Path

import typer
from spacy.cli._util import Arg, Opt, parse_config_overrides

from . import elmo_app
from .messages import msg


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

    Override settings of the config by their names, e.g. --text.train "books/*.txt". To
    resume after an interruption, repeat the command. To use several processes or GPUs:
    torchrun --nproc_per_node 2 -m spacy elmo pretrain ...
    """
    from spacy.util import load_config

    from ..pretrain.config import PretrainConfig
    from ..pretrain.loop import Stopped
    from ..pretrain.run import run_pretraining
    from ..runtime.memory import keep_freed_memory
    from ..runtime.workers import Workers

    keep_freed_memory()
    overrides = parse_config_overrides(ctx.args)
    values = load_config(config_path, overrides=overrides, interpolate=True)
    config = PretrainConfig.from_dict(dict(values))
    workers = Workers.join(gpu_id)
    try:
        perplexity = run_pretraining(config, output, workers)
    except Stopped as stopped:
        if workers.rank == 0:
            msg.warn(str(stopped))
        raise typer.Exit(128 + stopped.signal_number) from None
    finally:
        workers.leave()
    if workers.rank > 0:
        return
    if perplexity is None:
        msg.info(f"The training in {output} has already finished")
    else:
        msg.good(f"Wrote {output / 'model-best'} and {output / 'model-last'}")
