"""The command `embed`: write the vectors of text files and DocBins to one file."""

from enum import Enum
from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


class Layers(str, Enum):
    all = "all"
    top = "top"
    average = "average"


class StartState(str, Enum):
    warm = "warm"
    zero = "zero"


class Precision(str, Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


@elmo_app.command("embed")
def embed_cli(
    inputs: list[Path] = Arg(
        ...,
        metavar="INPUT...",
        help="Text files or .spacy files, which may be compressed (.gz, .zst), directories of such "
        "files, or patterns such as 'books/**/*.txt'",
    ),
    output: Path = Arg(
        ...,
        metavar="OUTPUT",
        help="File to write, .hdf5 or .npz. Writing it needs twice its size on disk",
    ),
    model: str = Opt(
        "en_small",
        "--model",
        "-m",
        help="biLM in any supported format, or the name of a packaged biLM",
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, if they are not next to the weights",
    ),
    lang: str = Opt("en", "--lang", "-l", help="Language of the tokenizer for running text"),
    tokenized: bool = Opt(
        False,
        "--tokenized",
        "-t",
        help="Each line of a text file is a whitespace-tokenized sentence, which may be empty",
    ),
    layers: Layers = Opt(
        Layers.all, "--layers", help="All layers, the top layer, or the average of the layers"
    ),
    start_state: StartState = Opt(
        StartState.warm,
        "--start-state",
        help="LSTM state at the start of each sentence: the constant of the biLM, or zeros",
    ),
    precision: Precision = Opt(
        Precision.float32,
        "--precision",
        help="Precision of the matrix products; int8 only on a CPU",
    ),
    batch_tokens: int = Opt(
        8192, "--batch-tokens", min=1, help="Maximum number of tokens in a batch"
    ),
    part_tokens: int = Opt(
        200_000,
        "--part-tokens",
        min=1,
        help="Number of tokens after which the finished vectors are saved, to resume from them",
    ),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    force: bool = Opt(False, "--force", "-F", help="Replace OUTPUT if it exists"),
) -> None:
    """Embed text and write one dataset per sentence, named "0", "1", ... as in bilm-tf:
    float32 (layers, tokens, width), or (tokens, width) for a single layer. Line k of
    OUTPUT.tokens.txt contains the tokens of dataset k.

    Running text is tokenized and split into sentences at punctuation. Each Doc of a .spacy
    file is one dataset, with zeros for whitespace tokens. To resume after an interruption,
    repeat the command.
    """
    from ..embed.run import EmbedSettings, embed_files

    settings = EmbedSettings(
        model=model,
        options_file=options_file,
        lang=lang,
        tokenized=tokenized,
        layers=layers.value,
        start_state=start_state.value,
        precision=precision.value,
        batch_tokens=batch_tokens,
        shard_tokens=part_tokens,
        gpu_id=gpu_id,
    )
    n_datasets, n_tokens = embed_files(inputs, output, settings, force=force, log=msg.info)
    msg.good(f"Wrote {n_datasets} datasets with {n_tokens} tokens to {output}")
