"""A shim for a torch module whose sizes are known only when the component is initialized.

The module is saved as safetensors bytes. Their header contains a digest and the arguments from
which the module is rebuilt.
"""

import json
from collections.abc import Callable
from typing import Any

import torch
from thinc.api import Ops, get_current_ops

from ..files import tensor_file
from ..runtime.torch_scope import own_random_state, own_training_settings
from .torch_shim import Module, TorchShim

# key of the build arguments in the metadata of the saved tensors
BUILD_ARGS = "made_of"
# bound on each saved size, so that damaged bytes cannot allocate all memory
MAX_SIZE = 100_000
REMEDY = "Save the pipeline again, restore a backup, or copy it again if it was copied."


class ModuleShim(TorchShim[Module]):
    """Holds a torch module, or None until it is built or loaded.

    name (str): Name of the module in error messages.
    build (Callable[..., Module]): Builds the module with random weights. Its keyword arguments
        are the sizes and names that the config does not hold: integers and lists of strings.
    """

    def __init__(self, name: str, build: Callable[..., Module]) -> None:
        super().__init__()
        self.name, self.build = name, build
        self.build_args: dict[str, Any] = {}

    def not_loaded_message(self) -> str:
        return (
            f"The {self.name} has no weights yet. Call nlp.initialize() with examples, or "
            f"load a trained pipeline."
        )

    def build_module(self, ops: Ops, **build_args: Any) -> None:
        """Replace the module by a new one with random weights.

        ops (Ops): Ops of the model, which determine the device.
        **build_args: Keyword arguments of `build`.
        """
        with own_training_settings():
            module = self.build(**build_args)
        self.set_module(module, ops)
        self.build_args = build_args

    def to_bytes(self) -> bytes:
        if self._model is None:
            return b""
        tensors = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self._model.state_dict().items()
        }
        return tensor_file.to_bytes(tensors, {BUILD_ARGS: json.dumps(self.build_args)})

    def from_bytes(self, bytes_data: bytes) -> "ModuleShim[Module]":
        """Load the module from the bytes that `to_bytes` returned; empty bytes change nothing.

        bytes_data (bytes): The bytes.
        RETURNS (ModuleShim): The shim.
        RAISES (ValueError): If the bytes are damaged, or do not fit the sizes in the config.
        """
        if not bytes_data:
            return self
        source = f"The saved state of the {self.name}"
        file = tensor_file.TensorFile(bytes_data, source, [BUILD_ARGS], REMEDY)
        file.check()
        build_args = _read_build_args(file.metadata, source)
        try:
            with own_training_settings(), own_random_state():
                module = self.build(**build_args)
                module.load_state_dict(file.tensors)
        except (RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"The saved weights of the {self.name} do not fit the sizes in the config: "
                f"{error}. Set the sizes that it was trained with."
            ) from error
        _check_finite(module, source)
        self.set_module(module, get_current_ops())
        self.build_args = build_args
        return self


def _read_build_args(metadata: dict[str, str], source: str) -> dict[str, Any]:
    """Return the saved keyword arguments of `build`: integers and lists of strings.

    metadata (Dict[str, str]): Metadata of the saved tensors.
    source (str): Name of the data that is read, for error messages.
    RETURNS (Dict[str, Any]): The arguments.
    RAISES (ValueError): If they are missing, or of other types or sizes.
    """
    try:
        build_args = json.loads(metadata[BUILD_ARGS])
        if not isinstance(build_args, dict):
            found = type(build_args).__name__
            raise ValueError(f"{BUILD_ARGS} holds a {found}; expected an object")
        for name, value in build_args.items():
            is_size = type(value) is int and 0 <= value <= MAX_SIZE
            is_names = isinstance(value, list) and all(isinstance(item, str) for item in value)
            if not is_size and not is_names:
                raise ValueError(f"{name} is {value!r:.80}")
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} does not state its sizes: {error}. {REMEDY}") from error
    return build_args


def _check_finite(module: torch.nn.Module, source: str) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{source} has values in {name} that are not finite. {REMEDY}")
