"""What the component has learned: the inventory, the prototypes and the weights of words.

It is a shim of the component's model, so that it is saved, copied and loaded with the model: as
safetensors bytes with a digest.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from thinc.api import Optimizer
from thinc.shims.shim import Shim

from ..files import tensor_file
from .context import WordWeights
from .inventory import Inventory
from .prototypes import Prototypes

SOURCE = "The saved state of the senses"
REMEDY = "Save the pipeline again, restore a backup, or copy it again if it was copied."
TEXT, COUNTS, SUMS = "text", "counts", "sums"


class SenseMemory(Shim):
    """Holds what was learned. Loading replaces its objects and never changes them."""

    def __init__(self) -> None:
        super().__init__(None)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.inventory = Inventory()
        self.prototypes = Prototypes()
        self.word_weights = WordWeights()

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): A sealed safetensors file. The same content gives the same bytes."""
        text = {
            "inventory": self.inventory.to_dict(),
            "words": self.word_weights.counts,
            "segments": self.word_weights.n_segments,
        }
        data = json.dumps(text, ensure_ascii=False).encode("utf8", "surrogatepass")
        tensors = {
            TEXT: torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy()),
            COUNTS: torch.from_numpy(self.prototypes.counts),
            SUMS: torch.from_numpy(self.prototypes.all_sums()),
        }
        return tensor_file.to_bytes(tensors, {})

    def from_bytes(self, bytes_data: bytes) -> "SenseMemory":
        """Load what `to_bytes` returned.

        bytes_data (bytes): The bytes.
        RETURNS (SenseMemory): The shim.
        RAISES (ValueError): If the bytes are damaged.
        """
        file = tensor_file.TensorFile(bytes_data, SOURCE, [], REMEDY)
        file.check()
        try:
            if file.tensors.keys() != {TEXT, COUNTS, SUMS}:
                raise ValueError(f"it holds other tensors than {TEXT}, {COUNTS} and {SUMS}")
            data = file.tensors[TEXT].numpy().tobytes()
            content = json.loads(data.decode("utf8", "surrogatepass"))
            inventory = Inventory.from_dict(content["inventory"])
            word_weights = WordWeights.from_counts(content["words"], content["segments"])
            prototypes = Prototypes.restore(
                file.tensors[COUNTS].numpy(), file.tensors[SUMS].numpy()
            )
            if len(inventory) != len(prototypes.counts):
                raise ValueError(f"there are counts of {len(prototypes.counts)} senses")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{SOURCE} is damaged: {error}. {REMEDY}") from error
        self.inventory, self.prototypes, self.word_weights = inventory, prototypes, word_weights
        return self

    def copy(self) -> "SenseMemory":
        copied = SenseMemory()
        copied.inventory = copy.deepcopy(self.inventory)
        copied.prototypes = copy.deepcopy(self.prototypes)
        copied.word_weights = copy.deepcopy(self.word_weights)
        return copied

    def finish_update(self, optimizer: Optimizer) -> None:
        """Do nothing: there are no parameters."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Do nothing: the prototypes stay in main memory."""

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        yield
