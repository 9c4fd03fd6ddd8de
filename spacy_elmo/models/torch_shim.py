"""The base class of the shims that hold a torch module within a thinc model.

It differs from its base class, thinc's `PyTorchShim`, in three ways: the module is set when its
weights are created or loaded, a copy has its own id in the optimizer, and `use_params` applies
averaged parameters to the module.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import torch
from thinc.api import CupyOps, Ops, Optimizer, PyTorchShim, get_current_ops, torch2xp, xp2torch
from thinc.shims.shim import Shim

from ..runtime.devices import check_gpu
from ..runtime.torch_scope import own_training_settings

DEVICE_REMEDY = (
    'Set the device to null, for example by spacy.load(path, config={"components.elmo.model.'
    'device": None}), or install a CUDA build of torch.'
)

Module = TypeVar("Module", bound=torch.nn.Module)
Self = TypeVar("Self", bound="TorchShim[Any]")


class TorchShim(PyTorchShim, Generic[Module]):
    """Holds a torch module, or None until its weights are created or loaded.

    Loading replaces the module and never writes to its tensors, so that `rollback_on_error` can
    restore the previous module.

    device_name (Optional[str]): Device of the module, e.g. "cuda:0". None: the device of the ops.
    """

    _model: Module | None

    def __init__(self, device_name: str | None = None) -> None:
        with own_training_settings():  # thinc creates a gradient scaler, which is not used
            super().__init__(None)
        self.device_name = device_name
        self.swapped = False  # whether `use_params` has replaced parameters

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether there is a module."""
        return self._model is not None

    @property
    def module(self) -> Module:
        """RETURNS (Module): The module.
        RAISES (ValueError): If its weights were neither created nor loaded.
        """
        if self._model is None:
            raise ValueError(self.not_loaded_message())
        return self._model

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): The device of the module's parameters."""
        return next(self.module.parameters()).device

    def set_module(self, module: Module, ops: Ops) -> None:
        """Move a module to the device, and replace the current module by it.

        module (Module): The new module.
        ops (Ops): Ops of the model, which determine the device unless `device_name` does.
        RAISES (ValueError): If `device_name` names a device that is not available.
        """
        self._model = module.to(find_device(self.device_name, ops))

    def not_loaded_message(self) -> str:
        """RETURNS (str): The error message of `module` if there is no module."""
        raise NotImplementedError

    def weights_changed(self) -> None:
        """Drop derived weights and cached outputs. Called whenever the shim changes the weights."""

    @own_training_settings()
    def finish_update(self, optimizer: Optimizer) -> None:
        """Step with the gradients of the module's parameters, and remove the gradients.

        Parameters without a gradient stay as they are: with a gradient of zero, the optimizer's
        momentum would change them.

        optimizer (Optimizer): The optimizer; its keys are the shim's id and the parameter's name.
        """
        if self._model is None:
            return
        changed = False
        # the module may be on another device than the pipeline: the optimizer's ops decide
        ops = getattr(optimizer, "ops", None) or get_current_ops()
        for name, param in self._model.named_parameters():
            if param.grad is not None:
                weights, gradient = (
                    cast(Any, torch2xp(tensor, ops=ops)) for tensor in (param.data, param.grad)
                )
                updated, _ = optimizer((self.id, name), weights, gradient)
                param.data.copy_(xp2torch(updated, device=param.device))
                param.grad = None
                changed = True
        if changed:
            self.weights_changed()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Replace parameters of the module until the context ends, e.g. by their averages.

        params (Dict[Tuple[int, str], FloatsXd]): New values under the keys of `finish_update`.
            Keys of other shims are ignored.
        """
        named = {} if self._model is None else dict(self._model.named_parameters())
        named = {name: param for name, param in named.items() if (self.id, name) in params}
        if not named:
            yield
            return
        previous = {name: param.data for name, param in named.items()}
        try:
            for name, param in named.items():
                param.data = xp2torch(params[(self.id, name)], device=param.device)
            self.swapped = True
            self.weights_changed()
            yield
        finally:
            for name, data in previous.items():
                named[name].data = data
            self.swapped = False
            self.weights_changed()

    @own_training_settings()
    def copy(self: Self) -> Self:
        """RETURNS (TorchShim): A copy with its own module and its own id."""
        copied = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module with its thinc model, unless `device_name` determines its device."""
        if self._model is not None and self.device_name is None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The serialized module; empty if there is none."""
        raise NotImplementedError

    def from_bytes(self: Self, bytes_data: bytes) -> Self:
        """Load the module from the bytes that `to_bytes` returned; empty bytes change nothing.

        bytes_data (bytes): The bytes.
        RETURNS (TorchShim): The shim.
        """
        raise NotImplementedError


def find_device(name: str | None, ops: Ops) -> torch.device:
    """Return the device on which a module runs.

    name (Optional[str]): The device that the config names, or None.
    ops (Ops): Ops of the model, which determine the device if the config does not.
    RETURNS (torch.device): The device.
    RAISES (ValueError): If torch does not know the device, or finds no such GPU.
    """
    if name is None:
        return torch.device(f"cuda:{ops.device_id}" if isinstance(ops, CupyOps) else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device = {name!r} is not a torch device: {error}.") from error
    if device.type == "cuda":
        check_gpu(device.index or 0, f"device = {name!r}", DEVICE_REMEDY)
    return device
