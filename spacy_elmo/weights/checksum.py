"""A checksum of a biLM's weights, the same in whatever format they are kept.

The warm start states are left out: they follow from the weights, and the original
format has no place for them.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bilm.bilm import BiLM


def weights_checksum(bilm: "BiLM") -> str:
    """RETURNS (str): sha256 over the names and bytes of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(bilm.named_parameters()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
