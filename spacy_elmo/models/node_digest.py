"""A digest of a thinc layer's attributes and parameters, saved with the layer.

thinc writes parameters without a checksum and reads them without checking their shapes. It
passes a layer to whatever writes and reads its attributes, and reads its shims last: so the digest
is an attribute, and a shim compares it once everything else has been read.
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
WRITTEN = b"digest"  # what the shim saves, for thinc to read something


class NodeDigest:
    """The type of the attribute; it holds nothing."""


class DigestShim(Shim):
    """Compares what was read with the digest. Layers that were saved without one are not checked.

    name (str): What errors call the layer.
    """

    def __init__(self, name: str) -> None:
        super().__init__(None)
        self.name = name
        self._expected: dict[str, str] | None = None
        self._params: frozenset[str] = frozenset()
        self._node: Model | None = None

    def expect(self, node: Model, expected: dict[str, str]) -> None:
        """Take the digests of a layer whose parameters have not been read yet."""
        self._node, self._expected = node, expected
        self._params = frozenset(node.param_names)

    def to_bytes(self) -> bytes:
        return WRITTEN

    def from_bytes(self, data: bytes) -> "DigestShim":
        node, expected = self._node, self._expected
        self._node = self._expected = None
        if node is None or expected is None or data != WRITTEN:
            raise self.damaged("its digest is missing")
        if others := set(node.param_names) - self._params:
            raise self.damaged(f"it has the unknown parameter {min(others, key=str)}")
        found = digests(node)
        for key, value in expected.items():
            if found.get(key) != value:
                raise self.damaged(f"{key} is not as it was written")
        return self

    def copy(self) -> "DigestShim":
        return DigestShim(self.name)

    def damaged(self, what: str) -> ValueError:
        return ValueError(
            f"What was saved of the {self.name} is damaged: {what}. Save the pipeline again, or "
            f"restore a backup."
        )

    def finish_update(self, optimizer: Optimizer) -> None:
        """There is nothing to train."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """There is nothing to move."""

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        yield


def digests(node: Model) -> dict[str, str]:
    """RETURNS (Dict[str, str]): A digest of each attribute that thinc saves and of each
    parameter, under their names."""
    found: dict[str, str] = {}
    for name, value in node.attrs.items():
        if isinstance(value, NodeDigest):
            continue
        try:
            found[f"attribute {name}"] = _hash(serialize_attr(value, value, name, node))
        except TypeError:  # thinc leaves out what it cannot save
            continue
    for name in node.param_names:
        value = node.ops.to_numpy(node.get_param(name)) if node.has_param(name) else None
        data = b"" if value is None else f"{value.dtype}{value.shape}".encode() + value.tobytes()
        found[f"parameter {name}"] = _hash(data)
    return found


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@serialize_attr.register(NodeDigest)
def _to_bytes(attr: NodeDigest, value: NodeDigest, name: str, model: Model) -> bytes:
    data: bytes = srsly.msgpack_dumps(digests(model))
    return data


@deserialize_attr.register(NodeDigest)
def _from_bytes(attr: NodeDigest, value: bytes, name: str, model: Model) -> NodeDigest:
    shim = next(shim for shim in model.shims if isinstance(shim, DigestShim))
    try:
        expected = srsly.msgpack_loads(value)
    except Exception as error:  # srsly has several kinds
        raise shim.damaged("its digest cannot be read") from error
    if not isinstance(expected, dict):
        raise shim.damaged("its digest cannot be read")
    shim.expect(model, expected)
    return attr
