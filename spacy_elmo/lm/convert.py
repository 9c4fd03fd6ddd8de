"""Converting biLMs and language models between formats on disk."""

from collections.abc import Callable
from pathlib import Path

import torch

from ..bilm.bilm import BiLM
from ..weights import hdf5_writer, load_bilm, store
from ..weights.hdf5 import SUFFIXES
from .lm_files import NAMES, is_language_model


def convert_bilm(
    input_path: Path,
    output_path: Path,
    *,
    options_file: Path | None = None,
    vocab_file: Path | None = None,
    half: bool = False,
) -> tuple[BiLM, list[Path]]:
    """Convert a biLM to a spacy-elmo directory or to the original format. A directory also
    receives the softmax and the vocabulary if the input is a language model.

    input_path (Path): A biLM of any known format, or the name of a packaged one.
    output_path (Path): A directory to write, or a file that ends in .hdf5 or .h5 for the original
        format.
    options_file (Optional[Path]): The options of HDF5 or AllenNLP weights, if they are not next to
        the weights.
    vocab_file (Optional[Path]): The vocabulary of a model with word input, if it is not next to
        the weights.
    half (bool): Whether to store float16 instead of float32, in a directory.
    RETURNS (Tuple[BiLM, List[Path]]): The model and the files written.
    RAISES (ValueError): If `half` is given for the original format, if the input cannot be read, if
        the output contains anything but a biLM, or if its format cannot represent the model.
    """
    to_original = output_path.suffix.lower() in SUFFIXES
    if half and to_original:
        raise ValueError(
            "The original format stores float32 only. Omit --half, or give a directory as OUTPUT."
        )
    bilm = load_bilm(input_path, options_file, vocab_file)
    if to_original:
        written = [output_path, hdf5_writer.write(bilm, output_path)]
        if bilm.tokens.words is not None:
            written.append(output_path.with_name("vocab.txt"))
        return bilm, written
    # the softmax cannot be used without its vocabulary, nor the vocabulary without the softmax
    write_files = _language_model_copier(input_path) if is_language_model(input_path) else None
    store.write(
        bilm,
        output_path,
        dtype=torch.float16 if half else None,
        extras=write_files,
        extra_names=NAMES if write_files else (),
    )
    return bilm, sorted(path for path in output_path.iterdir() if path.is_file())


def _language_model_copier(folder: Path) -> Callable[[Path], None]:
    """Return a function that writes the softmax and the vocabulary to another folder. Both are read
    before the function is called, because the output can replace the input."""
    store.check(folder, *NAMES)
    contents = {name: (folder / name).read_bytes() for name in NAMES}

    def write_files(target: Path) -> None:
        for name, data in contents.items():
            (target / name).write_bytes(data)

    return write_files
