"""Reading ELMo weights of AllenNLP: a `.th` state dict, alone or in a `model.tar.gz`.

The ELMo can be part of a larger model. Its sizes follow from the shapes of its tensors. Settings
that no tensor determines, such as the clipping, come from an options file. Without an options file,
the settings of the published models are used.

REFERENCE: AllenNLP, `allennlp.modules.elmo` and `allennlp.modules.elmo_lstm`, whose state dicts
    are read here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bilm.bilm import BiLM, Mix
from ..bilm.options import N_BYTE_CHARACTERS, BiLMOptions
from ..files.paths import PathLike
from .allennlp_archive import Options, is_tar, read_archive
from .build import build_bilm
from .hdf5_options import find_options, read_options, translate_options
from .layouts import StateDict, TokenNames, check_plain, read_features, read_lstms
from .torch_files import is_torch_file, load_state_dict

TOKENS, LSTMS = "_token_embedder.", "_elmo_lstm."
TABLE = TOKENS + "_char_embedding_weights"
NAMES = TokenNames(TOKENS + "char_conv_{}", TOKENS + "_highways._layers.{}", TOKENS + "_projection")
CELL = LSTMS + "forward_layer_{}"
# options that follow from the shapes of the tensors
SIZES = (
    "hidden_dim",
    "projection_dim",
    "n_layers",
    "filters",
    "char_dim",
    "n_highway",
    "token_projection",
    "state_projection",
)


def is_allennlp(path: Path) -> bool:
    """Return whether a file is a torch state dict or an archive of AllenNLP."""
    if not path.is_file():
        return False
    return path.suffix == ".th" or is_tar(path) or is_torch_file(path)


def read(path: PathLike, options_file: PathLike | None = None) -> BiLM:
    """Load the ELMo in an AllenNLP model.

    path (Union[str, Path]): The state dict, or an archive that contains it.
    options_file (Optional[Union[str, Path]]): The options of the ELMo. If None, they are searched
        in the archive and next to it.
    RETURNS (BiLM): The model, frozen, on the CPU, with the scalar mixes of the AllenNLP model.
    RAISES (ValueError): If the file is damaged, contains no ELMo or several different ones, or
        does not match the options.
    """
    path = Path(path)
    options: Options | None = None
    if is_tar(path):
        state, options = read_archive(path, with_options=options_file is None)
    else:
        state = load_state_dict(path, str(path))
    if options_file is None and options is None:
        options_file = _find_options(path)
    if options_file is not None:
        options = Options(str(options_file), read_options(Path(options_file)))
    prefixes = _prefixes(state, path)
    data = StateDict(_under(state, prefixes[0]), str(path), basis="its other tensors")
    sizes = _sizes(data, options)
    tensors = read_features(data, NAMES, sizes)
    tensors.update(read_lstms(data, LSTMS, sizes))
    # the first row is for padding, which our table does not have
    table = data.get(TABLE, N_BYTE_CHARACTERS + 1, sizes.char_dim)
    tensors["tokens.char_cnn.embedding"] = table[1:].contiguous()
    data.check_all_read()
    mixes = [mix for prefix in prefixes for mix in _mixes(state, prefix, sizes, path)]
    return build_bilm(sizes, tensors, str(path), mixes=mixes)


def _find_options(path: Path) -> Path | None:
    try:
        return find_options(path)
    except ValueError:
        return None


def _prefixes(state: dict[str, Tensor], path: Path) -> list[str]:
    """Return the name prefixes of the ELMo modules, which must all have the same weights."""
    prefixes = sorted(
        name[: -len(TABLE)] for name in state if name == TABLE or name.endswith(f".{TABLE}")
    )
    if not prefixes:
        raise ValueError(
            f"{path} holds {len(state)} tensors but no ELMo of AllenNLP: expected a tensor whose "
            f"name ends in {TABLE}. Give the weights of a model that contains ELMo."
        )
    for name, tensor in state.items():
        if name.startswith(tuple(prefix + part for prefix in prefixes for part in (TOKENS, LSTMS))):
            check_plain(name, tensor, str(path))
    first = _under(state, prefixes[0])
    for prefix in prefixes[1:]:
        other = _under(state, prefix)
        if first.keys() != other.keys() or not all(torch.equal(first[n], other[n]) for n in first):
            raise ValueError(
                f"{path} holds {len(prefixes)} ELMo modules with different weights, at "
                f"{', '.join(prefixes)}; expected one. Save the tensors under one of these names "
                f"as a separate .th file and load that."
            )
    return prefixes


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of the ELMo at a prefix, by their names without the prefix."""
    modules = (prefix + TOKENS, prefix + LSTMS)
    return {name[len(prefix) :]: state[name] for name in state if name.startswith(modules)}


def _sizes(data: StateDict, options: Options | None) -> BiLMOptions:
    """Return the sizes that follow from the shapes, and the other options of the model.

    RAISES (ValueError): If `options` gives other sizes.
    """
    cell = CELL.format(0)
    rows, dim = data.shape(f"{cell}.input_linearity.weight", 2)
    filters = []
    for i in range(_count(data, NAMES.convolution + ".weight")):
        count, _, width = data.shape(NAMES.convolution.format(i) + ".weight", 3)
        filters.append((width, count))
    found: dict[str, Any] = {
        "hidden_dim": rows // 4,
        "projection_dim": dim,
        "n_layers": _count(data, CELL + ".input_linearity.weight"),
        "filters": tuple(filters),
        "char_dim": data.shape(TABLE, 2)[1],
        "n_highway": _count(data, NAMES.highway + ".weight"),
        "token_projection": f"{NAMES.projection}.weight" in data,
        "state_projection": f"{cell}.state_projection.weight" in data,
    }
    if options is None:
        try:
            return BiLMOptions(**found)  # other options as in all published models
        except ValueError as error:
            raise ValueError(f"{data.source} does not contain a complete ELMo: {error}") from error
    names = [
        *(["CNN_proj/W_proj"] if found["token_projection"] else []),
        *(["/W_P_0"] if found["state_projection"] else []),
    ]
    given = translate_options(options.values, options.source, names)
    for name in SIZES:
        if getattr(given, name) != found[name]:
            raise ValueError(
                f"{data.source}: {name} is {found[name]} by the shapes of the weights, but "
                f"{getattr(given, name)} in {options.source}. The options belong to another model."
            )
    return given


def _count(data: StateDict, pattern: str) -> int:
    before, after = pattern.split("{}")
    return data.count(before, after)


def _mixes(
    state: dict[str, Tensor], prefix: str, options: BiLMOptions, path: Path
) -> Iterator[Mix]:
    """YIELDS (Mix): The scalar mixes of AllenNLP's `Elmo`, which are stored next to its biLM."""
    if not (prefix == LSTMS or prefix.endswith(f".{LSTMS}")):
        return
    mixes = StateDict(state, str(path), basis="a mix of its layers")
    outer = prefix[: -len(LSTMS)] + "scalar_mix_"
    for k in range(mixes.count(outer, ".gamma")):
        name = f"{outer}{k}"
        weights = [
            float(mixes.get(f"{name}.scalar_parameters.{j}", 1)) for j in range(options.n_reported)
        ]
        yield Mix(tuple(weights), float(mixes.get(f"{name}.gamma", 1)))
