"""One run of `embed`: from text files to a file of vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.about import __version__ as spacy_version

from .. import __version__
from ..bilm.languages import warn_of_language
from ..files.finding import find_files
from ..files.progress import ProgressBar
from ..runtime.devices import device_of_gpu_id
from ..weights import load_bilm
from ..weights.checksum import weights_checksum
from .inputs import SUFFIXES, Inputs, Position
from .outputs import WRITERS, tokens_path, write_outputs
from .shards import Shards, only_run, read_settings, remove_if_done
from .vectors import ALL, Encoder

SHARD_TOKENS = 200_000
BATCH_TOKENS = 8192


@dataclass(frozen=True)
class EmbedSettings:
    """How to embed text.

    model (str): A biLM of any known format, or the name of a packaged one.
    options_file (Optional[Path]): The options of HDF5 or AllenNLP weights, if they are not next to
        the weights.
    lang (str): Language of the tokenizer, and of the vocabulary for .spacy files.
    tokenized (bool): Whether each line of a text file is a whitespace-tokenized sentence.
    layers (str): "all", "top" or "average".
    start_state (str): State at the start of each segment, "warm" or "zero".
    precision (str): "float32", "bfloat16" or "int8".
    batch_tokens (int): Maximum number of tokens in a batch.
    shard_tokens (int): A shard is stored on disk when it has at least this number of tokens.
    gpu_id (int): Number of the GPU, -1 for the CPU.
    """

    model: str = "en_small"
    options_file: Path | None = None
    lang: str = "en"
    tokenized: bool = False
    layers: str = ALL
    start_state: str = "warm"
    precision: str = "float32"
    batch_tokens: int = BATCH_TOKENS
    shard_tokens: int = SHARD_TOKENS
    gpu_id: int = -1


def embed_files(
    inputs: Sequence[Path],
    output: Path,
    settings: EmbedSettings = EmbedSettings(),  # noqa: B008
    *,
    force: bool = False,
    progress: bool = True,
    log: Callable[[str], object] = print,
) -> tuple[int, int]:
    """Embed text files and .spacy files, or resume a run that was stopped.

    inputs (Sequence[Path]): Files, directories or patterns; see `find_files`.
    output (Path): The file of vectors to write, .hdf5 or .npz. The tokens are written next to it.
    settings (EmbedSettings): How to embed.
    force (bool): Whether to replace an existing output.
    progress (bool): Whether to show progress bars.
    log (Callable[[str], object]): Called with messages for the user.
    RETURNS (Tuple[int, int]): Number of datasets and of tokens written.
    RAISES (ValueError): If an input or the biLM cannot be read, the output exists, or the run to
        resume had other settings.
    """
    output = Path(output)
    if output.suffix.lower() not in WRITERS:
        raise ValueError(f"{output} must end in {' or '.join(WRITERS)}.")
    folder = output.with_name(f"{output.name}.parts")
    written = (output, tokens_path(output), folder)
    for path in written:
        path.exists()  # raises an OSError if a name is too long, before anything is embedded
    for path in (output, tokens_path(output)):
        if path.is_dir():
            raise ValueError(f"{path} is a directory. Remove it, or give another OUTPUT.")
    files = find_files(inputs, SUFFIXES, outputs=written)
    with only_run(folder, output):
        remove_if_done(folder)
        if output.exists() and not force and read_settings(folder) is None:
            raise ValueError(f"{output} exists; give --force to replace it.")
        shards = Shards(folder)
        found = Inputs(files, settings.lang, settings.tokenized, shards.next)
        encoder = _load_encoder(settings)
        shards.begin(_fingerprint(found, encoder, settings))
        _write_shards(shards, found, encoder, settings.shard_tokens, progress, log)
        _write_outputs(shards, output, encoder, progress)
        counts = shards.n_datasets, shards.n_tokens
        shards.remove()
    return counts


def _load_encoder(settings: EmbedSettings) -> Encoder:
    device = device_of_gpu_id(settings.gpu_id, "--gpu-id", "Use --gpu-id -1 for the CPU.")
    bilm = load_bilm(settings.model, settings.options_file).to(device)
    if not settings.tokenized:
        warn_of_language(bilm.languages, settings.lang, "--lang")
    return Encoder(
        bilm,
        layers=settings.layers,
        start_state=settings.start_state,
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
    )


def _fingerprint(inputs: Inputs, encoder: Encoder, settings: EmbedSettings) -> dict[str, Any]:
    """Return everything that the bytes of the output depend on."""
    bilm = encoder.bilm
    return {
        "inputs": inputs.fingerprint(),
        "model": [weights_checksum(bilm), bilm.options.to_dict()],
        "device": bilm.device.type,
        "lang": settings.lang,
        "tokenized": settings.tokenized,
        "layers": settings.layers,
        "start_state": settings.start_state,
        "precision": settings.precision,
        "batch_tokens": settings.batch_tokens,
        "part_tokens": settings.shard_tokens,
        "versions": [__version__, spacy_version],
    }


def _write_shards(
    shards: Shards,
    inputs: Inputs,
    encoder: Encoder,
    shard_tokens: int,
    progress: bool,
    log: Callable[[str], object],
) -> None:
    done = inputs.bytes_before(shards.next)
    if done:
        log(f"Resuming after {shards.n_tokens} tokens, which an earlier run has embedded")
    n_tokens = 0
    with ProgressBar(
        total=sum(inputs.sizes),
        initial=done,
        unit="B",
        unit_scale=True,
        desc="Embedding text",
        disable=not progress,
    ) as bar:

        def report(n_new: int, position: Position) -> None:
            nonlocal n_tokens
            n_tokens += n_new
            bar.update(inputs.bytes_before(position) - bar.n)
            elapsed = bar.format_dict["elapsed"]
            rate = f"{n_tokens / elapsed:,.0f}" if elapsed else "?"
            bar.set_postfix_str(f"{n_tokens:,} tokens, {rate} tokens/s", refresh=False)

        shards.write(inputs, encoder, shard_tokens, report)
        bar.complete()  # the inputs can end with bytes that contain no words


def _write_outputs(shards: Shards, output: Path, encoder: Encoder, progress: bool) -> None:
    with ProgressBar(
        total=shards.n_tokens,
        unit=" tokens",
        unit_scale=True,
        desc="Writing vectors",
        disable=not progress,
    ) as bar:
        write_outputs(
            shards,
            output,
            n_layers=encoder.n_layers,
            width=encoder.width,
            drop_layer_axis=encoder.layers != ALL,
            report=bar.update,
        )
