"""`embed`: vectors of text files and DocBins, written to one file.

Owns the command, what its settings mean, and its progress bars. Reading, running,
keeping what is done and writing are modules of their own, imported when it runs.
"""

import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..embed.inputs import Inputs, Position
    from ..embed.parts import Parts
    from ..embed.vectors import Encoder

PART_TOKENS = 200_000


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
        help="Text files, .spacy files, either with .gz or .zst behind it, directories with such "
        "files, or patterns such as 'books/**/*.txt'",
    ),
    output: Path = Arg(
        ...,
        metavar="OUTPUT",
        help="File to write, .hdf5 or .npz; room for it is needed twice until it is finished",
    ),
    model: str = Opt(
        "en_small", "--model", "-m", help="biLM of any known format, or the name of a packaged one"
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, where they do not lie beside them",
    ),
    lang: str = Opt("en", "--lang", "-l", help="Language whose tokenizer cuts running text"),
    tokenized: bool = Opt(
        False,
        "--tokenized",
        "-t",
        help="Text files hold a whitespace-tokenized sentence per line, which may be empty",
    ),
    layers: Layers = Opt(Layers.all, "--layers", help="All layers, the top one, or their average"),
    start_state: StartState = Opt(
        StartState.warm, "--start-state", help="State at the start of each sentence"
    ),
    precision: Precision = Opt(
        Precision.float32,
        "--precision",
        help="Precision of the matrix products; int8 on a CPU alone",
    ),
    batch_tokens: int = Opt(8192, "--batch-tokens", min=1, help="Tokens run at once"),
    part_tokens: int = Opt(
        PART_TOKENS,
        "--part-tokens",
        min=1,
        help="Tokens after which the work done is kept for a run that goes on from it",
    ),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    force: bool = Opt(False, "--force", "-F", help="Replace OUTPUT if it is there"),
) -> None:
    """Embed text and write a dataset per sentence, named "0", "1", ... as bilm-tf
    does: float32 (layers, tokens, width), or (tokens, width) for one layer. The
    tokens of dataset k are line k of OUTPUT.tokens.txt.

    Running text is tokenized and cut into sentences by punctuation. Each Doc of a .spacy
    file is one dataset, with zeros for whitespace tokens. If the command is stopped,
    give it again and it goes on where it was.
    """
    # oneDNN keeps a primitive for each of the last 1024 shapes of a product; batches hardly
    # ever have the same shapes, and these take hundreds of megabytes
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    n_datasets, n_tokens = embed(
        inputs,
        output,
        model=model,
        options_file=options_file,
        lang=lang,
        tokenized=tokenized,
        layers=layers.value,
        start_state=start_state.value,
        precision=precision.value,
        batch_tokens=batch_tokens,
        part_tokens=part_tokens,
        gpu_id=gpu_id,
        force=force,
    )
    msg.good(f"Wrote {n_datasets} datasets with {n_tokens} tokens to {output}")


def embed(
    inputs: Sequence[Path],
    output: Path,
    *,
    model: str = "en_small",
    options_file: Path | None = None,
    lang: str = "en",
    tokenized: bool = False,
    layers: str = "all",
    start_state: str = "warm",
    precision: str = "float32",
    batch_tokens: int = 8192,
    part_tokens: int = PART_TOKENS,
    gpu_id: int = -1,
    force: bool = False,
    progress: bool = True,
) -> "tuple[int, int]":
    """Embed files; see `embed_cli`.

    RETURNS (Tuple[int, int]): Datasets and tokens written.
    """
    from ..bilm.languages import warn_of_language
    from ..embed.inputs import SUFFIXES, Inputs
    from ..embed.outputs import WRITERS, tokens_path
    from ..embed.parts import Parts, only_run, read_settings, remove_done
    from ..embed.vectors import Encoder
    from ..files.finding import find_files
    from ..runtime.devices import device_of_gpu_id
    from ..weights import load_bilm

    output = Path(output)
    if output.suffix.lower() not in WRITERS:
        raise ValueError(f"{output} must end in {' or '.join(WRITERS)}.")
    folder = output.with_name(f"{output.name}.parts")
    written = (output, tokens_path(output), folder)
    for path in written:
        path.exists()  # an error if a name is too long, before anything is embedded
    files = find_files(inputs, SUFFIXES, outputs=written)
    with only_run(folder, output):
        remove_done(folder)
        if output.exists() and not force and read_settings(folder) is None:
            raise ValueError(f"{output} is there already; give --force to replace it.")
        parts = Parts(folder)
        found = Inputs(files, lang, tokenized, parts.next)
        device = device_of_gpu_id(gpu_id, "--gpu-id", "Use --gpu-id -1 for the CPU.")
        bilm = load_bilm(model, options_file).to(device)
        if not tokenized:
            warn_of_language(bilm.languages, lang, "--lang")
        encoder = Encoder(bilm, layers, start_state, precision, batch_tokens)
        parts.begin(_settings(found, encoder, lang, part_tokens))
        _write_parts(parts, found, encoder, part_tokens, progress)
        _write_outputs(parts, output, encoder, progress)
        counts = parts.n_datasets, parts.n_tokens
        parts.remove()
    return counts


def _settings(inputs: "Inputs", encoder: "Encoder", lang: str, part_tokens: int) -> dict[str, Any]:
    """All that the bytes of the output depend on."""
    import spacy

    from .. import __version__
    from ..weights.checksum import weights_checksum

    bilm = encoder.bilm
    return {
        "inputs": inputs.fingerprint(),
        "model": [weights_checksum(bilm), bilm.options.to_dict()],
        "device": bilm.device.type,
        "lang": lang,
        "tokenized": inputs.tokenized,
        "layers": encoder.layers,
        "start_state": encoder.start_state,
        "precision": encoder.precision,
        "batch_tokens": encoder.batch_tokens,
        "part_tokens": part_tokens,
        "versions": [__version__, spacy.__version__],
    }


def _write_parts(
    parts: "Parts", inputs: "Inputs", encoder: "Encoder", part_tokens: int, progress: bool
) -> None:
    from ..files.progress import ProgressBar

    done = inputs.bytes_before(parts.next)
    if done:
        msg.info(f"Going on after {parts.n_tokens} tokens, which an earlier run has embedded")
    n_tokens = 0
    with ProgressBar(
        total=sum(inputs.sizes),
        initial=done,
        unit="B",
        unit_scale=True,
        desc="Embedding",
        disable=not progress,
    ) as bar:

        def report(n_new: int, position: "Position") -> None:
            nonlocal n_tokens
            n_tokens += n_new
            bar.update(inputs.bytes_before(position) - bar.n)
            elapsed = bar.format_dict["elapsed"]
            rate = f"{n_tokens / elapsed:,.0f}" if elapsed else "?"
            bar.set_postfix_str(f"{n_tokens:,} tokens, {rate} tokens/s", refresh=False)

        parts.write(inputs, encoder, part_tokens, report)
        bar.complete()  # files may end with what holds no words


def _write_outputs(parts: "Parts", output: Path, encoder: "Encoder", progress: bool) -> None:
    from ..embed.outputs import write_outputs
    from ..embed.vectors import ALL
    from ..files.progress import ProgressBar

    with ProgressBar(
        total=parts.n_tokens, unit=" tokens", unit_scale=True, desc="Writing", disable=not progress
    ) as bar:
        write_outputs(
            parts,
            output,
            n_layers=encoder.n_layers,
            width=encoder.width,
            drop_layer_axis=encoder.layers != ALL,
            report=bar.update,
        )
