"""`convert`: a biLM from any known format to ours or to the original one."""

from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..bilm.bilm import BiLM

ORIGINAL_SUFFIXES = (".hdf5", ".h5")


@elmo_app.command("convert")
def convert_cli(
    input_path: Path = Arg(
        ..., metavar="INPUT", help="biLM of any known format, or the name of a packaged one"
    ),
    output_path: Path = Arg(
        ..., metavar="OUTPUT", help="Directory to write, or an .hdf5 file for the original format"
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, where they do not lie beside them",
    ),
    vocab_file: Path | None = Opt(
        None,
        "--vocab-file",
        help="Vocabulary of a model with word input, where it does not lie beside the weights",
    ),
    half: bool = Opt(
        False, "--half", help="Store the weights as float16, for half the size (directories only)"
    ),
) -> None:
    """Convert a biLM of any known format to a spacy-elmo directory, or to the original
    HDF5 weights and options.json, which other ELMo software reads."""
    bilm, files = convert(input_path, output_path, options_file, vocab_file, half)
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
            f"The original format has no place for the {len(bilm.mixes)} layer mixes that came "
            f"with the model; they were left out"
        )
    msg.good(f"Wrote the biLM to {output_path}")


def convert(
    input_path: Path,
    output_path: Path,
    options_file: Path | None = None,
    vocab_file: Path | None = None,
    half: bool = False,
) -> "tuple[BiLM, list[Path]]":
    """Convert a biLM; see `convert_cli`.

    RETURNS (Tuple[BiLM, List[Path]]): The model and the files written.
    """
    import torch

    from ..lm.lm_files import NAMES
    from ..weights import hdf5_writer, load_bilm, store

    output_path = Path(output_path)
    to_original = output_path.suffix.lower() in ORIGINAL_SUFFIXES
    if half and to_original:
        raise ValueError(
            "The original format holds float32 only. Leave out --half, or give a directory as "
            "OUTPUT."
        )
    bilm = load_bilm(input_path, options_file, vocab_file)
    if to_original:
        written = [output_path, hdf5_writer.write(bilm, output_path)]
        if bilm.tokens.words is not None:
            written.append(output_path.with_name("vocab.txt"))
        return bilm, written
    kept = {
        name: (Path(input_path) / name).read_bytes()
        for name in NAMES
        if (Path(input_path) / name).is_file()
    }

    def write_language_model(folder: Path) -> None:
        for name, data in kept.items():
            (folder / name).write_bytes(data)

    # a softmax is worth nothing without its words, nor these without it
    extras = None
    if len(kept) == 2:
        store.check(Path(input_path), *kept)
        extras = write_language_model
    store.write(
        bilm,
        output_path,
        dtype=torch.float16 if half else None,
        extras=extras,
        extra_names=NAMES if extras else (),
    )
    return bilm, sorted(path for path in output_path.iterdir() if path.is_file())
