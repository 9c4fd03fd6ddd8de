"""A torch module inside a thinc model that is made when its sizes are known.

Owns the module's bytes (safetensors, with what rebuilds it and a digest) and how parameters
reach it.
It differs from thinc's own shim in that there is no module before, and that averaged
parameters do reach it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from thinc.api import Ops, Optimizer, PyTorchShim, get_current_ops

from ..files import tensor_file
from ..runtime.torch_scope import own_random_state, own_training_settings
from .param_swap import device_of, swapped_params

# the key in the metadata of what rebuilds the module
MADE_OF = "made_of"
# no argument is larger
MAX_SIZE = 100_000
REMEDY = "Save the pipeline again, restore a backup, or copy it again if it was copied."

Module = TypeVar("Module", bound=torch.nn.Module)


class ModuleShim(PyTorchShim, Generic[Module]):
    """Holds a module, or None until it is made or loaded.

    name (str): What errors call it.
    make (Callable[..., Module]): Makes it with random weights; its keyword arguments are
        what the config does not say, and can be written as JSON.
    """

    _model: Module | None

    def __init__(self, name: str, make: Callable[..., Module]) -> None:
        with own_training_settings():  # thinc creates a gradient scaler
            super().__init__(None)
        self.name, self.make = name, make
        self.made_of: dict[str, Any] = {}

    @property
    def module(self) -> Module:
        if self._model is None:
            raise ValueError(
                f"The {self.name} has no weights yet. Call nlp.initialize() with examples, or "
                f"load a trained pipeline."
            )
        return self._model

    def set_new(self, ops: Ops, **made_of: Any) -> None:
        """Make the module.

        ops (Ops): Of the model, which tell where it shall run.
        **made_of: Arguments of `make`.
        """
        with own_training_settings():
            module = self.make(**made_of)
        self._set(module, ops, made_of)

    def _set(self, module: Module, ops: Ops, made_of: dict[str, Any]) -> None:
        self._model = module.to(device_of(ops))
        self.made_of = made_of

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @own_training_settings()
    def finish_update(self, optimizer: Optimizer) -> None:
        if self._model is None:
            return
        super().finish_update(optimizer)
        # not zero, by which the optimizer's momentum would move weights in a batch of which
        # nothing is learned
        self._model.zero_grad(set_to_none=True)

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Run with other parameters, e.g. averages, under the keys of `finish_update`."""
        with swapped_params(self._model, self.id, params):
            yield

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        if self._model is None:
            return b""
        tensors = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self._model.state_dict().items()
        }
        return tensor_file.to_bytes(tensors, {MADE_OF: json.dumps(self.made_of)})

    def from_bytes(self, bytes_data: bytes) -> "ModuleShim[Module]":
        """Load what `to_bytes` made; without a module nothing happens.

        RAISES (ValueError): If the bytes are damaged, or do not fit the config.
        """
        if not bytes_data:
            return self
        source = f"What was saved of the {self.name}"
        file = tensor_file.TensorFile(bytes_data, source, [MADE_OF], REMEDY)
        file.check()
        made_of = _made_of(file.metadata, source)
        try:
            with own_training_settings(), own_random_state():
                module = self.make(**made_of)
                module.load_state_dict(file.tensors)
        except (RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"The saved weights of the {self.name} do not fit the sizes in the config: "
                f"{error}. Give it the sizes that it was trained with."
            ) from error
        _check_finite(module, source)
        self._set(module, get_current_ops(), made_of)
        return self


def _made_of(metadata: dict[str, str], source: str) -> dict[str, Any]:
    """Arguments of `make`: numbers, and lists of strings."""
    try:
        made_of = json.loads(metadata[MADE_OF])
        if not isinstance(made_of, dict):
            raise ValueError(f"{MADE_OF} holds a {type(made_of).__name__}; expected an object")
        for name, value in made_of.items():
            is_size = type(value) is int and 0 <= value <= MAX_SIZE
            is_names = isinstance(value, list) and all(isinstance(one, str) for one in value)
            if not is_size and not is_names:
                raise ValueError(f"{name} is {value!r:.80}")
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} says nothing of its sizes: {error}. {REMEDY}") from error
    return made_of


def _check_finite(module: torch.nn.Module, source: str) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{source} has values in {name} that are not finite. {REMEDY}")
