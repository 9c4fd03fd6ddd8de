"""The text of tests/pretrain."""

from ..pretrain.conftest import folder  # noqa: F401
