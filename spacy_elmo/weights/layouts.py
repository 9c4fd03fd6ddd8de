"""Converting weights from the layouts of the original implementations to ours.

The implementations differ in the order of the LSTM gates, in the bias of the forget gate and in the
sign of the highway gate. AllenNLP and ELMoForManyLangs share their layout and most names.

REFERENCE: bilm-tf (Peters et al. 2018) for the original layout; AllenNLP,
    `allennlp.modules.lstm_cell_with_projection` and `allennlp.modules.highway`, for the layout of
    the torch implementations, which ELMoForManyLangs (Che et al. 2018) has adopted.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..bilm.options import BiLMOptions

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DIRECTIONS = ("forward", "backward")


def gates_from_original(rows: Tensor) -> Tensor:
    """Reorder gates from the original order i, g, f, o to ours, i, f, o, g.

    rows (Tensor): A weight or bias of all gates, [4 * hidden_dim, ...].
    RETURNS (Tensor): The reordered rows, of the same shape.
    """
    i, g, f, o = rows.chunk(4)
    return torch.cat([i, f, o, g])


def gates_to_original(rows: Tensor) -> Tensor:
    """Reorder gates from our order i, f, o, g to the original order i, g, f, o.

    rows (Tensor): A weight or bias of all gates, [4 * hidden_dim, ...].
    RETURNS (Tensor): The reordered rows, of the same shape.
    """
    i, f, o, g = rows.chunk(4)
    return torch.cat([i, g, f, o])


def gates_from_torch(rows: Tensor) -> Tensor:
    """Reorder gates from the torch order i, f, g, o to ours, i, f, o, g.

    rows (Tensor): A weight or bias of all gates, [4 * hidden_dim, ...].
    RETURNS (Tensor): The reordered rows, of the same shape.
    """
    i, f, g, o = rows.chunk(4)
    return torch.cat([i, f, o, g])


def bias_from_torch(bias: Tensor) -> Tensor:
    """Reorder the gates of a bias, and subtract the forget bias of 1, which our LSTM adds itself.

    bias (Tensor): The bias of all gates, [4 * hidden_dim].
    RETURNS (Tensor): The bias in our layout, of the same shape.
    """
    i, f, o, g = gates_from_torch(bias).chunk(4)
    return torch.cat([i, f - 1.0, o, g])


def highway_from_torch(rows: Tensor) -> Tensor:
    """Convert a weight or bias of a highway layer.

    In the torch implementations, the gate multiplies the input. In ours, it multiplies the
    transformed value, so the sign of its rows changes.

    rows (Tensor): The rows of the transform, followed by the rows of the gate.
    RETURNS (Tensor): The rows in our layout, of the same shape.
    """
    transform, gate = rows.chunk(2)
    return torch.cat([transform, -gate])


def check_plain(name: str, tensor: Tensor, source: str) -> None:
    """Check that a tensor is dense and that all its values are stored.

    name (str): Name of the tensor for the error message.
    tensor (Tensor): The tensor.
    source (str): Name of the file for the error message.
    RAISES (ValueError): If the tensor is sparse, nested, quantized, empty, without values, or
        larger than its storage.
    """
    found = None
    if tensor.layout != torch.strided or tensor.is_nested:
        found = f"is a tensor of layout {tensor.layout}"
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
            f"the weights as dense float32 tensors."
        )


class StateDict:
    """A state dict whose tensors are checked when they are read.

    tensors (Dict[str, Tensor]): The tensors by name.
    source (str): Name of the file for error messages.
    basis (str): What determines the expected shapes, for error messages.
    """

    def __init__(self, tensors: dict[str, Tensor], source: str, basis: str) -> None:
        self.source = source
        self.basis = basis
        self._tensors = tensors
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def count(self, before: str, after: str) -> int:
        """Return how many names consist of `before`, a number and `after`."""
        length = len(before) + len(after)
        return sum(
            name[len(before) : len(name) - len(after)].isdecimal()
            for name in self._tensors
            if len(name) > length and name.startswith(before) and name.endswith(after)
        )

    def shape(self, name: str, n_dims: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        name (str): Name of the tensor.
        n_dims (int): The expected number of dimensions.
        RETURNS (Tuple[int, ...]): The shape.
        RAISES (ValueError): If there is no such tensor, or it has another number of dimensions.
        """
        shape = tuple(self._found(name).shape)
        if len(shape) != n_dims:
            raise ValueError(
                f"{self.source}: {name} has shape {list(shape)}; expected {n_dims} dimensions. The "
                f"file is damaged or holds another kind of model."
            )
        return shape

    def get(self, name: str, *shape: int) -> Tensor:
        """Return a tensor.

        name (str): Name of the tensor.
        shape (int): The expected shape.
        RETURNS (Tensor): A copy of the tensor, float32.
        RAISES (ValueError): If there is no such tensor, or it has another shape or type.
        """
        tensor = self._found(name)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{self.source}: {name} has shape {list(tensor.shape)}; expected {list(shape)}, "
                f"according to {self.basis}. The file is damaged or belongs to another model."
            )
        if tensor.dtype not in FLOATS:
            raise ValueError(
                f"{self.source}: {name} holds values of type {tensor.dtype}; expected floating "
                f"point numbers. The file is damaged or holds another kind of model."
            )
        self._read.add(name)
        # a copy, because a memory-mapped file can be changed or removed later
        return tensor.detach().to(torch.float32, copy=True)

    def check_all_read(self, prefixes: tuple[str, ...] = ("",)) -> None:
        """Check that all tensors have been read.

        prefixes (Tuple[str, ...]): Only tensors whose names start with one of these are checked.
        RAISES (ValueError): If one of these tensors has not been returned by `get`.
        """
        names = sorted(n for n in self._tensors if n.startswith(prefixes) and n not in self._read)
        if names:
            raise ValueError(
                f"{self.source} holds {', '.join(names[:3])}, which a model with the sizes of "
                f"{self.basis} does not have. The file is damaged or belongs to another model."
            )

    def _found(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ValueError(
                f"{self.source} has no tensor {name}, which is required by {self.basis}. The file "
                f"is damaged or belongs to another model."
            )
        check_plain(name, self._tensors[name], self.source)
        return self._tensors[name]


class TokenNames(NamedTuple):
    """Names of the modules that compute token vectors, with "{}" in place of the index."""

    convolution: str
    highway: str
    projection: str


def read_features(data: StateDict, names: TokenNames, options: BiLMOptions) -> dict[str, Tensor]:
    """Read the convolutions, the highway layers and the projection.

    data (StateDict): The state dict.
    names (TokenNames): Names of the modules.
    options (BiLMOptions): The options of the model.
    RETURNS (Dict[str, Tensor]): The tensors by their names in our state dict.
    RAISES (ValueError): If a tensor is missing, or has another shape or type.
    """
    tensors: dict[str, Tensor] = {}
    n_filters = options.n_filters
    for i, (width, count) in enumerate(options.filters):
        name = names.convolution.format(i)
        weight = data.get(f"{name}.weight", count, options.char_dim, width)
        tensors[f"tokens.char_cnn.filters.{i}"] = weight.transpose(1, 2).contiguous()
        tensors[f"tokens.char_cnn.biases.{i}"] = data.get(f"{name}.bias", count)
    for k in range(options.n_highway):
        name = names.highway.format(k)
        weight = data.get(f"{name}.weight", 2 * n_filters, n_filters)
        bias = data.get(f"{name}.bias", 2 * n_filters)
        tensors[f"tokens.char_cnn.highways.{k}.weight"] = highway_from_torch(weight)
        tensors[f"tokens.char_cnn.highways.{k}.bias"] = highway_from_torch(bias)
    if options.token_projection:
        shape = options.projection_dim, options.n_features
        tensors["tokens.projection.weight"] = data.get(f"{names.projection}.weight", *shape)
        tensors["tokens.projection.bias"] = data.get(f"{names.projection}.bias", shape[0])
    return tensors


def read_lstms(data: StateDict, prefix: str, options: BiLMOptions) -> dict[str, Tensor]:
    """Read the LSTM layers of both directions.

    data (StateDict): The state dict.
    prefix (str): Prefix of the names of the LSTMs.
    options (BiLMOptions): The options of the model.
    RETURNS (Dict[str, Tensor]): The tensors by their names in our state dict.
    RAISES (ValueError): If a tensor is missing, or has another shape or type.
    """
    hidden, dim = options.hidden_dim, options.projection_dim

    def kernel(name: str) -> Tensor:
        return gates_from_torch(data.get(f"{name}.weight", 4 * hidden, dim))

    tensors: dict[str, Tensor] = {}
    for layer in range(options.n_layers):
        stacked: dict[str, list[Tensor]] = {}
        for direction in DIRECTIONS:
            cell = f"{prefix}{direction}_layer_{layer}"
            bias = data.get(f"{cell}.state_linearity.bias", 4 * hidden)
            weights = {
                "input_weight": kernel(f"{cell}.input_linearity"),
                "state_weight": kernel(f"{cell}.state_linearity"),
                "bias": bias_from_torch(bias),
            }
            if options.state_projection:
                weights["projection"] = data.get(f"{cell}.state_projection.weight", dim, hidden)
            for name, tensor in weights.items():
                stacked.setdefault(name, []).append(tensor)
        for name, pair in stacked.items():
            tensors[f"layers.{layer}.{name}"] = torch.stack(pair)
    return tensors
