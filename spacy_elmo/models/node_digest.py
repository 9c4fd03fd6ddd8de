"""SHA-256 digests of a thinc layer's attributes and parameters, saved with the layer.

thinc saves parameters without a checksum and does not check their shapes when it loads them. It
calls registered functions to save and load an attribute of a layer, and loads the layer's shims
last. The digests are therefore saved as an attribute, and a shim compares them after thinc has
loaded the attributes and parameters.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import srsly
from thinc.api import Model, Optimizer
from thinc.model import deserialize_attr, serialize_attr
from thinc.shims.shim import Shim

DIGEST = "digest"
PLACEHOLDER = b"digest"  # saved bytes of the shim, which has no data of its own


class NodeDigest:
    """Type of the attribute. It has no data: the digests are computed when the layer is saved."""


class DigestShim(Shim):
    """Compares a loaded layer with its saved digests. A layer saved without digests is not checked.

    name (str): Name of the layer in error messages.
    """

    def __init__(self, name: str) -> None:
        super().__init__(None)
        self.name = name
        self._expected: dict[str, str] | None = None
        self._params: frozenset[str] = frozenset()
        self._node: Model[Any, Any] | None = None

    def expect(self, node: Model[Any, Any], expected: dict[str, str]) -> None:
        """Set the expected digests, before the parameters of the layer are loaded.

        node (Model): The layer.
        expected (Dict[str, str]): The saved digests, see `compute_digests`.
        """
        self._node, self._expected = node, expected
        self._params = frozenset(node.param_names)

    def to_bytes(self) -> bytes:
        return PLACEHOLDER

    def from_bytes(self, data: bytes) -> "DigestShim":
        """Compare the layer with the expected digests.

        data (bytes): The saved bytes of the shim.
        RETURNS (DigestShim): The shim.
        RAISES (ValueError): If a digest differs or is missing, or if loading has added parameters
            to the layer.
        """
        node, expected = self._node, self._expected
        self._node = self._expected = None
        if node is None or expected is None or data != PLACEHOLDER:
            raise self.damaged("its digest is missing")
        if unknown := set(node.param_names) - self._params:
            raise self.damaged(f"it has the unknown parameter {min(unknown, key=str)}")
        found = compute_digests(node)
        for key, value in expected.items():
            if found.get(key) != value:
                raise self.damaged(f"{key} does not match its digest")
        return self

    def copy(self) -> "DigestShim":
        return DigestShim(self.name)

    def damaged(self, reason: str) -> ValueError:
        """RETURNS (ValueError): The error to raise if the saved layer is damaged."""
        return ValueError(
            f"The saved state of the {self.name} is damaged: {reason}. Save the pipeline again, or "
            f"restore a backup."
        )

    def finish_update(self, optimizer: Optimizer) -> None:
        """Do nothing: there are no parameters."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Do nothing: there is no module."""

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        yield


def compute_digests(node: Model[Any, Any]) -> dict[str, str]:
    """Return the digest of each attribute that thinc saves and of each parameter.

    node (Model): The layer.
    RETURNS (Dict[str, str]): SHA-256 digests under "attribute <name>" and "parameter <name>".
    """
    ops: Any = node.ops  # thinc's types leave out `to_numpy`
    found: dict[str, str] = {}
    for name, value in node.attrs.items():
        if isinstance(value, NodeDigest):
            continue
        try:
            found[f"attribute {name}"] = _hash(serialize_attr(value, value, name, node))
        except TypeError:  # thinc skips attributes that it cannot save
            continue
    for name in node.param_names:
        array = ops.to_numpy(node.get_param(name)) if node.has_param(name) else None
        data = b"" if array is None else f"{array.dtype}{array.shape}".encode() + array.tobytes()
        found[f"parameter {name}"] = _hash(data)
    return found


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@serialize_attr.register(NodeDigest)
def _to_bytes(attr: NodeDigest, value: NodeDigest, name: str, model: Model[Any, Any]) -> bytes:
    data: bytes = srsly.msgpack_dumps(compute_digests(model))
    return data


@deserialize_attr.register(NodeDigest)
def _from_bytes(attr: NodeDigest, value: bytes, name: str, model: Model[Any, Any]) -> NodeDigest:
    shim = next(shim for shim in model.shims if isinstance(shim, DigestShim))
    try:
        expected = srsly.msgpack_loads(value)
    except Exception as error:  # srsly raises errors of several types
        raise shim.damaged("its digest cannot be read") from error
    if not isinstance(expected, dict):
        raise shim.damaged("its digest cannot be read")
    shim.expect(model, expected)
    return attr
