"""A torch module inside a thinc model that is made when its sizes are known.

Owns the module's bytes (safetensors, with what rebuilds it) and how parameters reach it.
It differs from thinc's own shim in that there is no module before, and that averaged
parameters do reach it.
"""

import json
from contextlib import contextmanager
from typing import Any, Callable, Dict, Generic, Iterator, Optional, TypeVar

import safetensors.torch
import torch
from thinc.api import Ops, Optimizer, PyTorchShim, get_current_ops

from ..swapped import device_of, swapped_params
from ..torch_scope import own_random_state, own_torch_settings

Module = TypeVar("Module", bound=torch.nn.Module)


class ModuleShim(PyTorchShim, Generic[Module]):
    """Holds a module, or None until it is made or loaded.

    name (str): What errors call it.
    make (Callable[..., Module]): Makes it with random weights; its keyword arguments are
        what the config does not say, and can be written as JSON.
    """

    _model: Optional[Module]

    def __init__(self, name: str, make: Callable[..., Module]) -> None:
        super().__init__(None)
        self.name, self.make = name, make
        self._made_of: Dict[str, Any] = {}

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
        with own_torch_settings():
            module = self.make(**made_of)
        self._set(module, ops, made_of)

    def _set(self, module: Module, ops: Ops, made_of: Dict[str, Any]) -> None:
        self._model = module.to(device_of(ops))
        self._made_of = made_of

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def finish_update(self, optimizer: Optimizer) -> None:
        if self._model is None:
            return
        super().finish_update(optimizer)
        # not zero, by which the optimizer's momentum would move weights in a batch of which
        # nothing is learned
        self._model.zero_grad(set_to_none=True)

    @contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
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
        return safetensors.torch.save(tensors, {"made_of": json.dumps(self._made_of)})

    def from_bytes(self, bytes_data: bytes) -> "ModuleShim[Module]":
        if bytes_data:
            try:
                made_of = json.loads(_metadata(bytes_data)["made_of"])
                with own_torch_settings(), own_random_state():
                    module = self.make(**made_of)
                    module.load_state_dict(safetensors.torch.load(bytes_data))
            except (RuntimeError, KeyError, TypeError) as error:
                raise ValueError(
                    f"The saved weights of the {self.name} do not fit the sizes in the config: "
                    f"{error}. Give it the sizes that it was trained with."
                ) from error
            self._set(module, get_current_ops(), made_of)
        return self


def _metadata(data: bytes) -> Dict[str, str]:
    """safetensors reads metadata from files only: 8 bytes with the length of a JSON header."""
    length = int.from_bytes(data[:8], "little")
    metadata: Dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
