"""The head inside a thinc model.

Owns its bytes (safetensors, with the sizes that rebuild it) and how parameters reach it.
It differs from thinc's own shim in that the head is made when sizes are known, and that
averaged parameters do reach it.
"""

import json
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

import safetensors
import safetensors.torch
import torch
from thinc.api import CupyOps, Ops, PyTorchShim, get_current_ops, xp2torch

from .head import CorefHead, Sizes, make_head


class HeadShim(PyTorchShim):
    """Holds a head, or None until it is initialized or loaded.

    sizes (Sizes): What the config says.
    """

    _model: Optional[CorefHead]

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(None)
        self.sizes = sizes

    @property
    def head(self) -> CorefHead:
        if self._model is None:
            raise ValueError(
                "The coref component has no weights yet. Call nlp.initialize() with examples, or "
                "load a trained pipeline."
            )
        return self._model

    def set_head(self, head: CorefHead, ops: Ops) -> None:
        """Put a head in, moved to where it shall run."""
        device = f"cuda:{ops.device_id}" if isinstance(ops, CupyOps) else "cpu"
        self._model = head.to(device)

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device

    @contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Run with other parameters, e.g. averages, under the keys of `finish_update`."""
        backup: Dict[str, torch.Tensor] = {}
        if self._model is not None:
            for name, param in self._model.named_parameters():
                if (self.id, name) in params:
                    backup[name] = param.data
                    param.data = xp2torch(params[(self.id, name)], device=param.device)
        try:
            yield
        finally:
            for name, param in self.head.named_parameters() if backup else ():
                if name in backup:
                    param.data = backup[name]

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
        made_of = {"width": self._model.width, "genres": self._model.genres}
        return safetensors.torch.save(tensors, {"head": json.dumps(made_of)})

    def from_bytes(self, bytes_data: bytes) -> "HeadShim":
        if bytes_data:
            tensors = safetensors.torch.load(bytes_data)
            made_of = json.loads(_metadata(bytes_data)["head"])
            head = make_head(made_of["width"], self.sizes, made_of["genres"])
            try:
                head.load_state_dict(tensors)
            except RuntimeError as error:
                raise ValueError(
                    f"The saved weights of coref do not fit the sizes in the config: {error}. Give "
                    f"[components.coref.model] the sizes that it was trained with."
                ) from error
            self.set_head(head, get_current_ops())
        return self


def _metadata(data: bytes) -> Dict[str, str]:
    """safetensors reads metadata from files only: 8 bytes with the length of a JSON header."""
    length = int.from_bytes(data[:8], "little")
    metadata: Dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
