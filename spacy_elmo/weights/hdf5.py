"""The original format, HDF5 weights with an options.json: reading it.

Owns the dataset names and the layouts of bilm-tf, in every variant that its training
code can produce. Names that start with `RNN_0` are the forward direction.
"""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import h5py
import numpy as np
import torch
from torch import Tensor

from ..bilm.model import BiLM
from ..bilm.options import N_BYTE_CHARACTERS, BiLMOptions
from .atomic import PathLike
from .build import build_bilm
from .hdf5_options import find_options, options_of, read_languages, read_lexicon, read_options
from .layouts import gates_from_original

# One-layer models have no MultiRNNCell level, one-directional ones the first root.
CELLS = ("{root}/MultiRNNCell/Cell{layer}/LSTMCell", "{root}/LSTMCell")
ROOTS = {True: ("RNN_0/RNN", "RNN_1/RNN"), False: ("rnn",)}
WORDS = "embedding"
KERNEL, BIAS, PROJECTION = ("W_0", "kernel"), ("B", "bias"), ("W_P_0", "projection/kernel")
# what h5py raises for a file that is not whole
DAMAGED = (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeDecodeError)


def is_hdf5(path: Path) -> bool:
    """RETURNS (bool): Whether a file is HDF5."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def holds_bilm(path: Path) -> bool:
    """RETURNS (bool): Whether a file has the groups of a biLM's LSTMs, by their names."""
    if not is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return any(root.split("/")[0] in file for roots in ROOTS.values() for root in roots)
    except DAMAGED:
        return False


def reads_words(path: Path) -> bool:
    """RETURNS (bool): Whether the biLM in a file reads word ids, for which it has a vocabulary."""
    with h5py.File(path, "r") as file:
        return WORDS in file


def find_weights(folder: Path) -> Path:
    """RETURNS (Path): The weight file of a directory, `model.hdf5` if there are more."""
    found = sorted(folder.glob("*.hdf5"))
    if (folder / "model.hdf5") in found:
        return folder / "model.hdf5"
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{folder} must hold one .hdf5 weight file, or one named model.hdf5; found: {names}."
        )
    return found[0]


def read(
    path: PathLike,
    options_file: Optional[PathLike] = None,
    vocab_file: Optional[PathLike] = None,
) -> BiLM:
    """Load original weights.

    path (Union[str, Path]): The HDF5 file.
    options_file (Optional[Union[str, Path]]): Its options; looked for beside it if None.
    vocab_file (Optional[Union[str, Path]]): The vocabulary of a model with word
        input; looked for beside it if None.
    RETURNS (BiLM): The model, frozen, on the CPU.
    """
    path = Path(path)
    options_file = Path(options_file) if options_file is not None else find_options(path)
    raw = read_options(options_file)
    try:
        with h5py.File(path, "r") as file:
            datasets = _Datasets(file, path)
            options = options_of(raw, str(options_file), datasets.names)
            tensors = _read_tensors(datasets, options)
            unread = [name for name in datasets.names if name not in datasets.read]
    except DAMAGED as error:
        raise ValueError(f"{path} is not a whole HDF5 file: {error}. Copy it again.") from error
    if unread:
        raise ValueError(
            f"{path} holds {', '.join(unread[:3])}, which {options_file} does not mention. "
            f"The options belong to another model."
        )
    words = None
    if options.word_dim:
        words = read_lexicon(path, vocab_file, options)
    bilm = build_bilm(options, tensors, str(path), words=words)
    bilm.languages = read_languages(raw, str(options_file))
    return bilm


class _Datasets:
    """The datasets of a file by name, with a shape check on reading."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.path = path
        self.file = file
        self.names: List[str] = []
        self.read: List[str] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                self.names.append(name)

        file.visititems(visit)

    def get(self, names: Tuple[str, ...], *shape: int) -> Tensor:
        """The first dataset of these names, float32, or an error for its absence."""
        name = next((name for name in names if name in self.names), None)
        if name is None:
            raise ValueError(
                f"{self.path} has no dataset {names[0]}. It is damaged, not a biLM, or the "
                f"options belong to another model."
            )
        found = self.file[name].shape
        if found != shape:
            raise ValueError(
                f"{self.path}: {name} has shape {list(found)}, but by the options it must be "
                f"{list(shape)}. The options belong to another model."
            )
        values = self.file[name][...]
        if values.dtype.kind != "f":
            raise ValueError(
                f"{self.path}: {name} holds values of type {values.dtype}; expected floating point "
                f"numbers. The file is damaged or holds something else."
            )
        self.read.append(name)
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _read_tensors(data: _Datasets, options: BiLMOptions) -> Dict[str, Tensor]:
    tensors: Dict[str, Tensor] = {}
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
            for part in ("transform", "carry"):
                weight = data.get((f"CNN_high_{k}/W_{part}",), n_features, n_features)
                weights.append(weight.t())
                biases.append(data.get((f"CNN_high_{k}/b_{part}",), n_features))
            tensors[f"tokens.char_cnn.highways.{k}.weight"] = torch.cat(weights)
            tensors[f"tokens.char_cnn.highways.{k}.bias"] = torch.cat(biases)
    if options.word_dim:
        tensors["tokens.word_embedding"] = data.get((WORDS,), options.n_words, dim)
    if options.token_projection:
        weight = data.get(("CNN_proj/W_proj",), n_features, dim)
        tensors["tokens.projection.weight"] = weight.t().contiguous()
        tensors["tokens.projection.bias"] = data.get(("CNN_proj/b_proj",), dim)
    for layer in range(options.n_layers):
        stacked: Dict[str, List[Tensor]] = {}
        for root in ROOTS[options.bidirectional]:
            for name, tensor in _read_cell(data, options, root, layer):
                stacked.setdefault(f"layers.{layer}.{name}", []).append(tensor)
        tensors.update((name, torch.stack(parts)) for name, parts in stacked.items())
    return tensors


def _char_table(data: _Datasets, options: BiLMOptions) -> Tensor:
    """The character table without the zero row that some tools put before it."""
    shape = data.file["char_embed"].shape if "char_embed" in data.names else ()
    if shape == (N_BYTE_CHARACTERS + 1, options.char_dim):
        table = data.get(("char_embed",), *shape)
        if not table[0].any():
            return table[1:].contiguous()
    return data.get(("char_embed",), N_BYTE_CHARACTERS, options.char_dim)


def _read_cell(
    data: _Datasets, options: BiLMOptions, root: str, layer: int
) -> Iterator[Tuple[str, Tensor]]:
    hidden, dim = options.hidden_dim, options.projection_dim
    cells = [
        cell.format(root=root, layer=layer) for cell in CELLS[: 2 if options.n_layers == 1 else 1]
    ]

    def names(variants: Tuple[str, ...]) -> Tuple[str, ...]:
        return tuple(f"{cell}/{name}" for cell in cells for name in variants)

    kernel = gates_from_original(data.get(names(KERNEL), 2 * dim, 4 * hidden).t(), hidden)
    yield "input_weight", kernel[:, :dim].contiguous()
    yield "state_weight", kernel[:, dim:].contiguous()
    yield "bias", gates_from_original(data.get(names(BIAS), 4 * hidden), hidden)
    if options.state_projection:
        yield "projection", data.get(names(PROJECTION), hidden, dim).t().contiguous()
