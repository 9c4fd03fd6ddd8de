"""Building a biLM from the tensors of a weight file, with the checks that all formats share.

No tensor may be missing, have another shape, or contain values that are not finite.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..bilm.bilm import BiLM, Mix
from ..bilm.characters import LexiconCharacters, WordLexicon
from ..bilm.options import BYTES, N_BYTE_CHARACTERS, BiLMOptions
from .layouts import FLOATS

ALIGNMENT = 64
START = ("start_h", "start_c")
# far above the values of any model: larger values mean that the file is damaged
MAX_CHARACTERS = 10_000
MAX_CLIP = 1e15


def build_bilm(
    options: BiLMOptions,
    tensors: dict[str, Tensor],
    source: str,
    characters: LexiconCharacters | None = None,
    words: WordLexicon | None = None,
    mixes: Sequence[Mix] = (),
    verify: Callable[[], None] | None = None,
) -> BiLM:
    """Build a frozen biLM from its tensors.

    options (BiLMOptions): The options of the biLM.
    tensors (Dict[str, Tensor]): Tensors by their names in the state dict of the biLM. They are
        converted to float32. If `start_h` and `start_c` are missing, the warm start state is
        computed.
    source (str): Name of the weight file for error messages.
    characters (Optional[LexiconCharacters]): The character lexicon of a model that has one.
    words (Optional[WordLexicon]): The vocabulary of a model with word input.
    mixes (Sequence[Mix]): Scalar mixes that are stored with the model.
    verify (Optional[Callable[[], None]]): Raises an error if the file is damaged. It is called
        after the shapes are checked and before any value is read.
    RETURNS (BiLM): The model, frozen, float32, on the CPU.
    RAISES (ValueError): If a tensor is missing, unexpected, of another shape, not floating point,
        or not finite, or if the options are impossible.
    """
    _check_tensor_count(options, len(tensors), source)
    check_options(options, source)
    if not all(math.isfinite(value) for mix in mixes for value in (*mix.weights, mix.gamma)):
        raise ValueError(
            f"{source}: the layer weights {list(mixes)} hold NaN or infinity; they must be finite."
        )
    try:
        with torch.device("meta"):  # no values: the tensors are assigned below
            bilm = BiLM(options, characters, words)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except (TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{source}: the options hold impossible sizes: {error}.") from error
    warm = all(name in tensors for name in START)
    expected = {
        name: tuple(value.shape)
        for name, value in bilm.state_dict().items()
        if warm or name not in START
    }
    check_shapes(tensors, expected, source)
    if verify is not None:
        verify()
    tensors = {name: _aligned(tensor.to(torch.float32)) for name, tensor in tensors.items()}
    check_finite(tensors, source)
    if not warm:
        tensors.update(
            (name, torch.zeros(getattr(bilm, name).shape, dtype=torch.float32, device="cpu"))
            for name in START
        )
    bilm.load_state_dict(tensors, assign=True)
    bilm.requires_grad_(False)
    bilm.mixes = list(mixes)
    return bilm if warm else bilm.warm_up()


def _check_tensor_count(options: BiLMOptions, n_tensors: int, source: str) -> None:
    if options.n_layers + options.n_highway + len(options.filters) > n_tensors:
        raise ValueError(
            f"{source} holds {n_tensors} tensors, but the options require more: "
            f"{options.n_layers} LSTM layers, {options.n_highway} highway layers and "
            f"{len(options.filters)} filters. The options belong to another model."
        )


def check_options(options: BiLMOptions, source: str) -> None:
    """Check that options are within the limits for weight files of all formats.

    options (BiLMOptions): The options.
    source (str): Name of the options for error messages.
    RAISES (ValueError): If a value is out of range.
    """
    over_bytes = options.filters and options.char_unit == BYTES
    if over_bytes and options.n_characters != N_BYTE_CHARACTERS:
        raise ValueError(
            f"{source}: n_characters is {options.n_characters!r}; a model over bytes must have "
            f"{N_BYTE_CHARACTERS}."
        )
    length = options.max_characters
    if not isinstance(length, int) or length > MAX_CHARACTERS:
        raise ValueError(
            f"{source}: max_characters is {length!r}; it must be a whole number up to "
            f"{MAX_CHARACTERS}. Models usually have 50."
        )
    for name in ("cell_clip", "proj_clip"):
        clip = getattr(options, name)
        if clip is not None and not clip < MAX_CLIP:
            raise ValueError(
                f"{source}: {name} is {clip!r}; it must be below {MAX_CLIP}, or none for no clip."
            )


def _aligned(tensor: Tensor) -> Tensor:
    """Return a tensor with the memory alignment of tensors that torch allocates.

    The last bit of a GEMM depends on the alignment. The alignment of a tensor in a mapped file
    depends on the length of the file's header.
    """
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def check_shapes(
    tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], source: str
) -> None:
    """Check the names, shapes and types of tensors without reading their values.

    tensors (Dict[str, Tensor]): The tensors by name.
    expected (Dict[str, Tuple[int, ...]]): The expected shapes by name.
    source (str): Name of the weight file for error messages.
    RAISES (ValueError): If a tensor is missing, unexpected, of another shape or not floating point.
    """
    missing = sorted(set(expected) - set(tensors))
    if missing:
        raise ValueError(
            f"{source} lacks {_shorten(missing)}, which the options require. The file is damaged, "
            f"or the options belong to another model."
        )
    extra = sorted(set(tensors) - set(expected))
    if extra:
        raise ValueError(
            f"{source} holds {_shorten(extra)}, which the options do not mention. The options "
            f"belong to another model."
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(
                f"{source}: {name} has shape {list(tensors[name].shape)}; the options require "
                f"{list(shape)}. The options belong to another model."
            )
        if tensors[name].dtype not in FLOATS:
            raise ValueError(
                f"{source}: {name} holds values of type {tensors[name].dtype}; expected floating "
                f"point numbers. The file is damaged or belongs to another model."
            )


def check_finite(tensors: dict[str, Tensor], source: str) -> None:
    """Check that all floating point values are finite.

    tensors (Dict[str, Tensor]): The tensors by name.
    source (str): Name of the weight file for error messages.
    RAISES (ValueError): If a value is NaN or infinite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not is_finite(tensor):
            raise ValueError(
                f"{source}: {name} holds values that are not finite (NaN or infinity). "
                f"The training has diverged or the file is damaged."
            )


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor contains neither NaN nor infinity."""
    if tensor.element_size() == 1:  # torch does not sum such types
        tensor = tensor.float()
    # one pass without a copy; the second check is needed when the sum of finite values overflows
    return bool(torch.isfinite(tensor.sum()) or torch.isfinite(tensor).all())


def _shorten(names: Sequence[str]) -> str:
    """Return the first names of a list, and the number of other names."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
