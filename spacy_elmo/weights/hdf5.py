"""Reading the original format: HDF5 weights of bilm-tf with an options.json.

All variants that the training code of bilm-tf can write are read. `RNN_0` is the forward direction,
`RNN_1` the backward direction.

REFERENCE: bilm-tf (Peters et al. 2018), `bilm.model` and `bilm.training`, for the names and
    layouts of the datasets.
"""

import json
import mmap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from ..bilm.bilm import BiLM
from ..bilm.characters import WordLexicon
from ..bilm.options import N_BYTE_CHARACTERS, BiLMOptions
from ..files.digest import KEY, SEAL, check_seal
from ..files.paths import PathLike
from .build import build_bilm
from .hdf5_datasets import DAMAGED, Datasets
from .hdf5_options import (
    SPECIAL_WORDS,
    find_options,
    read_languages,
    read_lexicon,
    read_options,
    translate_options,
)
from .layouts import gates_from_original

# models with one layer have no MultiRNNCell level; models with one direction have the root "rnn"
CELLS = ("{root}/MultiRNNCell/Cell{layer}/LSTMCell", "{root}/LSTMCell")
ROOTS = {True: ("RNN_0/RNN", "RNN_1/RNN"), False: ("rnn",)}
WORDS = "embedding"
KERNEL, BIAS, PROJECTION = ("W_0", "kernel"), ("B", "bias"), ("W_P_0", "projection/kernel")
SUFFIXES = (".hdf5", ".h5")
# the attribute in which `hdf5_writer` stores the options, the vocabulary and the digest
CONFIG = "spacy_elmo_config"
# the digest is in the first bytes of a file, because it is written first
SEAL_BYTES = 1 << 20
EDITED = (
    "Copy the file again, or export the model again. If you changed it on purpose, copy its "
    "datasets to a new file."
)


def is_hdf5(path: Path) -> bool:
    """Return whether a path is an HDF5 file."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def is_named_hdf5(path: Path) -> bool:
    """Return whether a path has the suffix of an HDF5 file and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def holds_bilm(path: Path) -> bool:
    """Return whether a file has groups with the names of the LSTMs of a biLM."""
    if not is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            names = (root.split("/")[0] for roots in ROOTS.values() for root in roots)
            return any(_has(file, name) for name in names)
    except DAMAGED:
        return False


def reads_words(path: Path) -> bool:
    """Return whether the biLM in a file reads word ids instead of characters."""
    with h5py.File(path, "r") as file:
        return _has(file, WORDS)


def _has(file: h5py.File, name: str) -> bool:
    """Return whether a file contains a group or dataset itself, not a link to it."""
    return isinstance(file.get(name, getlink=True), h5py.HardLink)


def find_weights(folder: Path) -> Path:
    """Find the weight file in a directory.

    folder (Path): The directory.
    RETURNS (Path): `model.hdf5`, or the only HDF5 file.
    RAISES (ValueError): If there is no HDF5 file, or several and none is named `model.hdf5`.
    """
    found = sorted(path for path in folder.iterdir() if is_named_hdf5(path))
    if (folder / "model.hdf5") in found:
        return folder / "model.hdf5"
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{folder} must hold one .hdf5 or .h5 weight file, or one named model.hdf5; found: "
            f"{names}."
        )
    return found[0]


def read(
    path: PathLike,
    options_file: PathLike | None = None,
    vocab_file: PathLike | None = None,
) -> BiLM:
    """Load weights in the original format.

    path (Union[str, Path]): The HDF5 file.
    options_file (Optional[Union[str, Path]]): The options; if None, the options in the file or
        next to it are used.
    vocab_file (Optional[Union[str, Path]]): The vocabulary of a model with word input; if None, the
        vocabulary in the file or next to it is used.
    RETURNS (BiLM): The model, frozen, on the CPU.
    RAISES (ValueError): If the file is damaged, its options or vocabulary are missing, or they do
        not match the weights.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            datasets = Datasets(file, path)
            config = _own_config(file, path)
            options, raw, source = _find_options(path, options_file, config, datasets.names)
            _check_digest(path, config)
            tensors = _read_tensors(datasets, options)
    except DAMAGED as error:
        raise ValueError(f"{path} is not a complete HDF5 file: {error}. Copy it again.") from error
    if datasets.unread:
        raise ValueError(
            f"{path} holds {', '.join(datasets.unread[:3])}, which {source} does not mention. "
            f"The options belong to another model."
        )
    words = None
    if options.word_dim:
        if config is not None and vocab_file is None:
            words = WordLexicon(config["words"], *SPECIAL_WORDS)
        else:
            words = read_lexicon(path, vocab_file, options)
    bilm = build_bilm(options, tensors, str(path), words=words)
    bilm.languages = read_languages(raw, source)
    return bilm


def _own_config(file: h5py.File, path: Path) -> dict[str, Any] | None:
    """Return the options and vocabulary that `hdf5_writer` stores in a file; None if other software
    wrote the file."""
    text = file.attrs.get(CONFIG)
    if text is None:
        return None
    try:
        config = json.loads(text)
        if not {"options", "words", KEY} <= config.keys():
            raise ValueError("it is incomplete")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged attribute {CONFIG}: {error}. {EDITED}") from error
    found: dict[str, Any] = config
    return found


def _check_digest(path: Path, config: dict[str, Any] | None) -> None:
    """Raise a ValueError if a sealed file has changed since it was written."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if config is not None or SEAL.search(data, 0, SEAL_BYTES):
            check_seal(data, str(path), SEAL_BYTES, EDITED)


def _find_options(
    path: Path,
    options_file: PathLike | None,
    config: dict[str, Any] | None,
    names: list[str],
) -> tuple[BiLMOptions, dict[str, Any], str]:
    """Return the options of a weight file, their original form, and the name of their source.

    The given file takes precedence over the weight file itself, and the weight file over the file
    next to it.
    """
    if config is None or options_file is not None:
        options_file = Path(options_file) if options_file is not None else find_options(path)
        raw = read_options(options_file)
        return translate_options(raw, str(options_file), names), raw, str(options_file)
    source, raw = f"the attribute {CONFIG}", config["options"]
    options = translate_options(raw, source, names)
    try:
        neighbor = find_options(path)
    except ValueError:
        return options, raw, source
    try:
        same = translate_options(read_options(neighbor), str(neighbor), names) == options
    except ValueError:
        same = False
    if not same:
        warnings.warn(
            f"{neighbor} differs from the options in {path}, which are used. Export the model "
            f"again, or give {neighbor.name} as options_file to use it.",
            stacklevel=2,
        )
    return options, raw, source


def _read_tensors(data: Datasets, options: BiLMOptions) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    n_features, dim = options.n_features, options.projection_dim
    if options.filters:
        tensors["tokens.char_cnn.embedding"] = _char_table(data, options)
        for i, (width, count) in enumerate(options.filters):
            kernel = data.get((f"CNN/W_cnn_{i}",), 1, width, options.char_dim, count)
            # [1, width, dim, count] to [count, width, dim]
            tensors[f"tokens.char_cnn.filters.{i}"] = kernel[0].permute(2, 0, 1).contiguous()
            tensors[f"tokens.char_cnn.biases.{i}"] = data.get((f"CNN/b_cnn_{i}",), count)
        for k in range(options.n_highway):
            weights, biases = [], []
            for gate in ("transform", "carry"):
                weight = data.get((f"CNN_high_{k}/W_{gate}",), n_features, n_features)
                weights.append(weight.t())
                biases.append(data.get((f"CNN_high_{k}/b_{gate}",), n_features))
            tensors[f"tokens.char_cnn.highways.{k}.weight"] = torch.cat(weights)
            tensors[f"tokens.char_cnn.highways.{k}.bias"] = torch.cat(biases)
    if options.word_dim:
        tensors["tokens.word_embedding"] = data.get((WORDS,), options.n_words, dim)
    if options.token_projection:
        weight = data.get(("CNN_proj/W_proj",), n_features, dim)
        tensors["tokens.projection.weight"] = weight.t().contiguous()
        tensors["tokens.projection.bias"] = data.get(("CNN_proj/b_proj",), dim)
    for layer in range(options.n_layers):
        stacked: dict[str, list[Tensor]] = {}
        for root in ROOTS[options.bidirectional]:
            for name, tensor in _read_cell(data, options, root, layer):
                stacked.setdefault(f"layers.{layer}.{name}", []).append(tensor)
        tensors.update((name, torch.stack(pair)) for name, pair in stacked.items())
    return tensors


def _char_table(data: Datasets, options: BiLMOptions) -> Tensor:
    """Return the character table without the row of zeros that some tools add before it."""
    shape = data.shape("char_embed")
    if shape == (N_BYTE_CHARACTERS + 1, options.char_dim):
        table = data.get(("char_embed",), *shape)
        if not table[0].any():
            return table[1:].contiguous()
    return data.get(("char_embed",), N_BYTE_CHARACTERS, options.char_dim)


def _read_cell(
    data: Datasets, options: BiLMOptions, root: str, layer: int
) -> Iterator[tuple[str, Tensor]]:
    """YIELDS (Tuple[str, Tensor]): The name of each tensor of an LSTM in our layout, and the tensor
    of one direction."""
    hidden, dim = options.hidden_dim, options.projection_dim
    cells = [
        cell.format(root=root, layer=layer) for cell in CELLS[: 2 if options.n_layers == 1 else 1]
    ]

    def names(variants: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{cell}/{name}" for cell in cells for name in variants)

    kernel = gates_from_original(data.get(names(KERNEL), 2 * dim, 4 * hidden).t())
    yield "input_weight", kernel[:, :dim].contiguous()
    yield "state_weight", kernel[:, dim:].contiguous()
    yield "bias", gates_from_original(data.get(names(BIAS), 4 * hidden))
    if options.state_projection:
        yield "projection", data.get(names(PROJECTION), hidden, dim).t().contiguous()
