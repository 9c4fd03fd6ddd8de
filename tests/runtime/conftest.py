"""The corpus fixture of tests/pretrain."""

from ..pretrain.conftest import folder  # noqa: F401
