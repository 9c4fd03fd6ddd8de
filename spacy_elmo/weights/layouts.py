"""How the formats lay out the same weights, and the way from each to ours.

Owns the orders of the gates, the forget gate's bias, and the names that the torch
implementations (AllenNLP, ELMoForManyLangs) share. It opens no file: tensors come in
and go out.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..bilm.options import BiLMOptions

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DIRECTIONS = ("forward", "backward")


def gates_from_original(rows: Tensor, hidden: int) -> Tensor:
    """Gates from the HDF5 files' order i, g, f, o to ours i, f, o, g."""
    i, g, f, o = rows.split(hidden)
    return torch.cat([i, f, o, g])


def gates_to_original(rows: Tensor, hidden: int) -> Tensor:
    """The inverse of `gates_from_original`."""
    i, f, o, g = rows.split(hidden)
    return torch.cat([i, g, f, o])


def gates_from_torch(rows: Tensor, hidden: int) -> Tensor:
    """Gates from torch's order i, f, g, o to ours i, f, o, g."""
    i, f, g, o = rows.split(hidden)
    return torch.cat([i, f, o, g])


def bias_from_torch(bias: Tensor, hidden: int) -> Tensor:
    """As `gates_from_torch`, without the 1 that is in their forget gate's bias."""
    bias = gates_from_torch(bias, hidden)
    bias[hidden : 2 * hidden] -= 1.0
    return bias


def highway_from_torch(rows: Tensor) -> Tensor:
    """Transform and gate, one above the other; their gate keeps the input and ours the
    transformed value, so its sign changes."""
    transform, gate = rows.chunk(2)
    return torch.cat([transform, -gate])


def check_plain(name: str, tensor: Tensor, source: str) -> None:
    """Raise a ValueError unless a tensor from elsewhere is an ordinary one, with all its values."""
    found = None
    if tensor.layout != torch.strided or tensor.is_nested:
        found = f"is a tensor of the layout {tensor.layout}"
    elif tensor.is_quantized:
        found = f"is a quantized tensor ({tensor.dtype})"
    elif tensor.is_meta:
        found = "is a tensor without values"
    elif not tensor.numel():
        found = f"has no values (shape {list(tensor.shape)})"
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        found = (
            f"has shape {list(tensor.shape)}, but only {tensor.untyped_storage().nbytes():,} bytes "
            f"are stored"
        )
    if found is not None:
        raise ValueError(
            f"{source}: {name} {found}; expected a dense tensor of floating point numbers. Save "
            f"the weights as ordinary float32 tensors."
        )


class StateDict:
    """Tensors from elsewhere by their names, with a check of each that is read.

    tensors (Dict[str, Tensor]): The tensors.
    source (str): The file they come from, for error messages.
    basis (str): What says how large they must be, for error messages.
    """

    def __init__(self, tensors: dict[str, Tensor], source: str, basis: str) -> None:
        self.source = source
        self.basis = basis
        self._tensors = tensors
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def count(self, before: str, after: str) -> int:
        """RETURNS (int): How many names have a number between these parts."""
        length = len(before) + len(after)
        return sum(
            name[len(before) : len(name) - len(after)].isdecimal()
            for name in self._tensors
            if len(name) > length and name.startswith(before) and name.endswith(after)
        )

    def shape(self, name: str, n_dims: int) -> tuple[int, ...]:
        """RETURNS (Tuple[int, ...]): The shape of a tensor that has `n_dims` dimensions."""
        shape = tuple(self._found(name).shape)
        if len(shape) != n_dims:
            raise ValueError(
                f"{self.source}: {name} has shape {list(shape)}, but it must have {n_dims} "
                f"dimensions. The file is damaged or holds another kind of model."
            )
        return shape

    def get(self, name: str, *shape: int) -> Tensor:
        """RETURNS (Tensor): A tensor of this shape, float32."""
        tensor = self._found(name)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{self.source}: {name} has shape {list(tensor.shape)}, but by {self.basis} it "
                f"must be {list(shape)}. The file is damaged or belongs to another model."
            )
        if tensor.dtype not in FLOATS:
            raise ValueError(
                f"{self.source}: {name} holds values of type {tensor.dtype}; expected floating "
                f"point numbers. The file is damaged or holds another kind of model."
            )
        self._read.add(name)
        # a copy, as the file may be mapped, and changed or removed later
        return tensor.detach().to(torch.float32, copy=True)

    def check_all_read(self, prefixes: tuple[str, ...] = ("",)) -> None:
        """Raise a ValueError if a tensor whose name starts so was not asked for."""
        names = sorted(n for n in self._tensors if n.startswith(prefixes) and n not in self._read)
        if names:
            raise ValueError(
                f"{self.source} holds {', '.join(names[:3])}, which a model of the sizes of "
                f"{self.basis} does not have. The file is damaged or belongs to another model."
            )

    def _found(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ValueError(
                f"{self.source} has no tensor {name}, which {self.basis} asks for. The file is "
                f"damaged or belongs to another model."
            )
        check_plain(name, self._tensors[name], self.source)
        return self._tensors[name]


class TokenNames(NamedTuple):
    """What an implementation calls the parts that make token vectors."""

    convolution: str
    highway: str
    projection: str


def read_features(data: StateDict, names: TokenNames, options: BiLMOptions) -> dict[str, Tensor]:
    """Convolutions, highways and projection, by our names."""
    tensors: dict[str, Tensor] = {}
    n_filters = options.n_filters
    for i, (width, count) in enumerate(options.filters):
        name = names.convolution.format(i)
        weight = data.get(f"{name}.weight", count, options.char_dim, width)
        tensors[f"tokens.char_cnn.filters.{i}"] = weight.transpose(1, 2).contiguous()
        tensors[f"tokens.char_cnn.biases.{i}"] = data.get(f"{name}.bias", count)
    for k in range(options.n_highway):
        name = names.highway.format(k)
        parts = {
            "weight": data.get(f"{name}.weight", 2 * n_filters, n_filters),
            "bias": data.get(f"{name}.bias", 2 * n_filters),
        }
        for part, rows in parts.items():
            tensors[f"tokens.char_cnn.highways.{k}.{part}"] = highway_from_torch(rows)
    if options.token_projection:
        shape = options.projection_dim, options.n_features
        tensors["tokens.projection.weight"] = data.get(f"{names.projection}.weight", *shape)
        tensors["tokens.projection.bias"] = data.get(f"{names.projection}.bias", shape[0])
    return tensors


def read_lstms(data: StateDict, prefix: str, options: BiLMOptions) -> dict[str, Tensor]:
    """The layers of both directions, by our names."""
    hidden, dim = options.hidden_dim, options.projection_dim

    def kernel(name: str) -> Tensor:
        return gates_from_torch(data.get(f"{name}.weight", 4 * hidden, dim), hidden)

    tensors: dict[str, Tensor] = {}
    for layer in range(options.n_layers):
        stacked: dict[str, list[Tensor]] = {}
        for direction in DIRECTIONS:
            cell = f"{prefix}{direction}_layer_{layer}"
            bias = data.get(f"{cell}.state_linearity.bias", 4 * hidden)
            parts = {
                "input_weight": kernel(f"{cell}.input_linearity"),
                "state_weight": kernel(f"{cell}.state_linearity"),
                "bias": bias_from_torch(bias, hidden),
            }
            if options.state_projection:
                parts["projection"] = data.get(f"{cell}.state_projection.weight", dim, hidden)
            for name, tensor in parts.items():
                stacked.setdefault(name, []).append(tensor)
        for name, pair in stacked.items():
            tensors[f"layers.{layer}.{name}"] = torch.stack(pair)
    return tensors
