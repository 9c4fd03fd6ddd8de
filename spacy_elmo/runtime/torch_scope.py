"""Context managers that make PyTorch independent of the settings of the calling program.

A program may set a default device, open an autocast context or disable gradients. Our tensors
have an explicit dtype and device; the context managers are for functions of PyTorch and
safetensors that accept neither. They change settings of the current thread only. The default
dtype is a setting of the process, which they do not change.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch

from .fork_guard import use_one_thread_after_fork

CPU = torch.device("cpu")
DEVICE_TYPES = ("cpu", "cuda")
EXACT = 1e-5  # relative error: below it for float32 GEMMs, above it in reduced precision


@contextmanager
def own_torch_settings() -> Iterator[None]:
    """Create tensors on the CPU by default and disable autocast until the context ends.

    Also usable as a decorator. In a forked process, PyTorch is limited to one thread first.
    """
    use_one_thread_after_fork()
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device_type in DEVICE_TYPES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


@contextmanager
def gradients_enabled(enabled: bool = True) -> Iterator[None]:
    """Enable or disable gradients until the context ends.

    enabled (bool): Whether to enable gradients, also within `torch.inference_mode`.
    """
    with ExitStack() as stack:
        if enabled and torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(enabled))
        yield


@contextmanager
def own_training_settings() -> Iterator[None]:
    """Apply `own_torch_settings` and enable gradients until the context ends.

    Use this for code that creates weights or computes gradients. Tensors that are created in the
    context can be trained, even within `torch.inference_mode`. Run the backward pass in such a
    context as well as the forward pass. Also usable as a decorator.
    """
    with own_torch_settings(), gradients_enabled():
        yield


@contextmanager
def own_random_state(device: torch.device = CPU) -> Iterator[None]:
    """Restore the state of PyTorch's random number generators when the context ends.

    device (torch.device): A GPU whose generator is restored in addition to the CPU's.
    """
    gpus = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(devices=gpus):
        yield


def seed_random(seed: int, device: torch.device) -> None:
    """Seed the default random number generator of one device only.

    seed (int): The seed.
    device (torch.device): The CPU or a GPU.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def warn_of_reduced_float32(device: torch.device) -> None:
    """Warn once if PyTorch is set to multiply float32 matrices in reduced precision.

    device (torch.device): Device of the matrix products.
    """
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    _warn_of_reduced_float32(device.type, backend.matmul.fp32_precision)


@cache
def _warn_of_reduced_float32(device_type: str, setting: str) -> None:
    if setting in ("none", "ieee") or _is_exact(device_type):
        return
    warnings.warn(
        f"torch is set to multiply float32 matrices in {setting} on the {device_type.upper()}, so "
        f"that ELMo's vectors are less exact than float32: differences of about 0.01 occur. For "
        f'exact vectors call torch.set_float32_matmul_precision("highest").',
        stacklevel=2,
    )


def _is_exact(device_type: str) -> bool:
    """RETURNS (bool): Whether float32 GEMMs are exact with this setting on this processor."""
    generator = torch.Generator("cpu").manual_seed(0)
    x, y = torch.rand(2, 256, 256, generator=generator, dtype=torch.float32, device="cpu")
    expected = x.double() @ y.double()
    found = (x.to(device_type) @ y.to(device_type)).double().cpu()
    return bool(torch.allclose(found, expected, rtol=EXACT))
