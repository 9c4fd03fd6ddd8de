"""The command `convert`: write a biLM as a directory or in the original format."""

from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


@elmo_app.command("convert")
def convert_cli(
    input_path: Path = Arg(
        ..., metavar="INPUT", help="biLM in any supported format, or the name of a packaged biLM"
    ),
    output_path: Path = Arg(
        ..., metavar="OUTPUT", help="Directory to write, or an .hdf5 file for the original format"
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, if they are not next to the weights",
    ),
    vocab_file: Path | None = Opt(
        None,
        "--vocab-file",
        help="Vocabulary of a model with word input, if it is not next to the weights",
    ),
    half: bool = Opt(
        False, "--half", help="Store the weights as float16, at half the size (directories only)"
    ),
) -> None:
    """Convert a biLM in any supported format to a spacy-elmo directory, or to the original
    HDF5 weights and options.json, which other ELMo software reads."""
    from ..lm.convert import convert_bilm

    bilm, files = convert_bilm(
        input_path, output_path, options_file=options_file, vocab_file=vocab_file, half=half
    )
    options = bilm.options
    rows = [
        ("Layers", f"{options.n_reported} of width {options.width}"),
        ("Cell, projection", f"{options.hidden_dim}, {options.projection_dim}"),
        ("Parameters", f"{bilm.n_parameters:,}"),
        *((str(path), f"{path.stat().st_size:,} bytes") for path in files),
    ]
    msg.table(rows)
    if bilm.mixes and output_path.is_file():
        msg.warn(
            f"The original format cannot store the {len(bilm.mixes)} layer mixes of the model; "
            f"they were left out"
        )
    msg.good(f"Wrote the biLM to {output_path}")
