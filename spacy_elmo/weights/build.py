"""From tensors that a reader found to a biLM, checked before it is used.

Owns the checks that every format shares: nothing missing, nothing of another shape,
nothing that is not a number. It does not know of files beyond the name for messages.
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
# far above any model: numbers beyond them are damage
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
    """Make a frozen biLM from its tensors.

    options (BiLMOptions): The sizes.
    tensors (Dict[str, Tensor]): Tensors by their names in the biLM's state dict; they
        are made float32. Without `start_h` and `start_c` the warm start is computed.
    source (str): Where they come from, for error messages.
    characters (Optional[LexiconCharacters]): The alphabet of a model that has one.
    words (Optional[WordLexicon]): The vocabulary of a model with word input.
    mixes (Sequence[Mix]): Layer weights that came with the model.
    verify (Optional[Callable[[], None]]): Called before values are read, when the tensors
        are known to be as large as the options say: raises an error if the file is damaged.
    RETURNS (BiLM): The model.
    """
    _check_count(options, len(tensors), source)
    check_options(options, source)
    if not all(math.isfinite(value) for mix in mixes for value in (*mix.weights, mix.gamma)):
        raise ValueError(
            f"{source}: the layer weights {list(mixes)} hold NaN or infinity; they must be finite."
        )
    try:
        with torch.device("meta"):  # shapes only: the tensors are put in place below
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


def _check_count(options: BiLMOptions, n_tensors: int, source: str) -> None:
    if options.n_layers + options.n_highway + len(options.filters) > n_tensors:
        raise ValueError(
            f"{source} holds {n_tensors} tensors, but by the options there must be more: "
            f"{options.n_layers} LSTM layers, {options.n_highway} highway layers and "
            f"{len(options.filters)} filters. The options belong to another model."
        )


def check_options(options: BiLMOptions, source: str) -> None:
    """Raise a ValueError for options that are possible by themselves, but that no file may
    have."""
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
    """The tensor where torch would put it. Products of the same numbers differ in the
    last bit with their place in memory, which for a mapped file depends on its header."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def check_shapes(
    tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], source: str
) -> None:
    """Raise a ValueError unless the tensors have the expected names, shapes and floating point
    types. Values are not read."""
    missing = sorted(set(expected) - set(tensors))
    if missing:
        raise ValueError(
            f"{source} lacks {_some(missing)}. The options say that the model has them: "
            f"the file is damaged, or the options belong to another model."
        )
    extra = sorted(set(tensors) - set(expected))
    if extra:
        raise ValueError(
            f"{source} holds {_some(extra)}, which the options do not mention. "
            f"The options belong to another model."
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(
                f"{source}: {name} has shape {list(tensors[name].shape)}, but by the options it "
                f"must be {list(shape)}. The options belong to another model."
            )
        if tensors[name].dtype not in FLOATS:
            raise ValueError(
                f"{source}: {name} holds values of type {tensors[name].dtype}; expected floating "
                f"point numbers. The file is damaged or belongs to another model."
            )


def check_finite(tensors: dict[str, Tensor], source: str) -> None:
    """Raise a ValueError if a tensor of floating point numbers holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not is_finite(tensor):
            raise ValueError(
                f"{source}: {name} holds values that are not finite (NaN or infinity). "
                f"The training broke down or the file is damaged."
            )


def is_finite(tensor: Tensor) -> bool:
    """RETURNS (bool): Whether there is neither NaN nor infinity in a tensor."""
    if tensor.element_size() == 1:  # torch does not add up such numbers
        tensor = tensor.float()
    # one pass without a copy; finite values can have an infinite sum, but hardly ever do
    return bool(torch.isfinite(tensor.sum()) or torch.isfinite(tensor).all())


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
