"""A checksum of the weights of a biLM, which does not depend on the format they are stored in.

The warm start states are not included: they are computed from the weights, and the original format
does not contain them.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bilm.bilm import BiLM


def weights_checksum(bilm: "BiLM") -> str:
    """Compute a checksum of the weights.

    bilm (BiLM): The model.
    RETURNS (str): The SHA-256 of the names and bytes of all weights, sorted by name, in hexadecimal
        digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(bilm.named_parameters()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
