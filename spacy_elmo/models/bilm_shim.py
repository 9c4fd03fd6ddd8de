"""Between thinc and the torch module: devices, bytes, updates.

Owns the biLM inside a thinc model. It differs from thinc's own shim in that the
module comes with its weights (there is none before), a copy has an id of its own in
the optimizer, and averaged parameters do reach the module.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from thinc.api import Ops, Optimizer, PyTorchShim, get_current_ops, torch2xp, xp2torch
from thinc.shims.shim import Shim

from ..bilm.bilm import BiLM
from ..bilm.languages import warn_of_language
from ..runtime.devices import check_gpu
from ..runtime.torch_scope import own_torch_settings
from ..weights import store
from .param_swap import device_of, swapped_params

DEVICE_REMEDY = (
    'Set the device to null, for example by spacy.load(path, config={"components.elmo.model.'
    'device": None}), or install a CUDA build of torch.'
)


class BiLMShim(PyTorchShim):
    """Holds a biLM, or None until weights are loaded.

    device (Optional[str]): Where the biLM runs; with None it follows the ops.
    """

    _model: BiLM | None

    def __init__(self, device: str | None = None) -> None:
        with own_torch_settings():  # thinc creates a gradient scaler
            super().__init__(None)
        self.device_name = device
        self.frozen = True  # a setting, not saved: the config decides
        self.swapped = False  # whether `use_params` has put other parameters in
        self._checked_languages: set[str] = set()

    @property
    def loaded(self) -> bool:
        return self._model is not None

    @property
    def bilm(self) -> BiLM:
        if self._model is None:
            raise ValueError(
                "The biLM has no weights yet. nlp.initialize() loads them where all components "
                "are new. It would reset the components of a trained pipeline: there call "
                'nlp.get_pipe("elmo").initialize(). Both load the weights that the config names '
                "as the loader, else the packaged model. A saved pipeline holds its own."
            )
        return self._model

    def set_bilm(self, bilm: BiLM, ops: Ops) -> None:
        """Put a biLM in, moved to where it shall run."""
        self._model = bilm.to(find_device(self.device_name, ops))
        self._checked_languages.clear()

    def check_language(self, lang: str) -> None:
        """Warn once if the biLM was not trained on a language.

        lang (str): Language of the pipeline or of its Docs.
        """
        if self._model is not None and lang not in self._checked_languages:
            self._checked_languages.add(lang)
            warn_of_language(self._model.languages, lang, "the language of the pipeline")

    def apply_frozen(self) -> None:
        """Turn gradients of the weights off or on; nothing happens if they are so already."""
        if self.bilm.tokens.frozen != self.frozen:
            self.bilm.requires_grad_(not self.frozen)
            self.bilm.zero_grad()  # no step is taken for what was left from before

    def finish_update(self, optimizer: Optimizer) -> None:
        if self._model is None:
            return
        changed = False
        # the biLM may be on another device than the rest: the optimizer decides for arrays
        ops = getattr(optimizer, "ops", None) or get_current_ops()
        for name, param in self._model.named_parameters():
            if param.grad is not None:
                arrays = (cast(Any, torch2xp(x, ops=ops)) for x in (param.data, param.grad))
                weights, _ = optimizer((self.id, name), *arrays)
                param.data.copy_(xp2torch(weights, device=param.device))
                param.grad = None
                changed = True
        if changed:
            self._model.drop_caches()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Run with other parameters, e.g. averages, keyed as in `finish_update`."""
        some = False
        try:
            with swapped_params(self._model, self.id, params) as some:
                if some:
                    self.swapped = True
                    self.bilm.drop_caches()
                yield
        finally:
            if some:
                self.swapped = False
                self.bilm.drop_caches()

    def copy(self) -> "BiLMShim":
        copied = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None and self.device_name is None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        return b"" if self._model is None else store.to_bytes(self._model)

    def from_bytes(self, bytes_data: bytes) -> "BiLMShim":
        if bytes_data:
            self.set_bilm(store.from_bytes(bytes_data), get_current_ops())
        return self


def find_device(name: str | None, ops: Ops) -> torch.device:
    """The device to run on.

    name (Optional[str]): The device that the config asks for.
    ops (Ops): The ops of the model, which decide if the config does not.
    RETURNS (torch.device): The device; an error if it is a GPU that is not there.
    """
    if name is None:
        return device_of(ops)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device = {name!r} is not a torch device: {error}.") from error
    if device.type == "cuda":
        check_gpu(device.index or 0, f"device = {name!r}", DEVICE_REMEDY)
    return device
