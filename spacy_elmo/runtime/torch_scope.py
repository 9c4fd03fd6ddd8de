"""Scopes in which torch works independently of what the program around has set in it.

Other libraries set a default device, open an autocast context or turn gradients off. Tensors with
an explicit dtype and device need no scope; it serves code of torch and safetensors that takes
neither. All settings that a scope changes belong to the current thread. The default dtype belongs
to the process, so that every dtype is explicit.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch

from .fork_guard import run_alone_after_fork

CPU = torch.device("cpu")
DEVICE_TYPES = ("cpu", "cuda")
EXACT = 1e-5  # relative error that float32 products stay below, and reduced ones do not


@contextmanager
def own_torch_settings() -> Iterator[None]:
    """Create new tensors on the CPU unless a device is given, and compute in the given dtypes,
    until the block ends. Also usable as a decorator.

    In a forked process, torch is limited to one thread first.
    """
    run_alone_after_fork()
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device_type in DEVICE_TYPES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


@contextmanager
def gradients_enabled(enabled: bool = True) -> Iterator[None]:
    """Record operations for a backward pass, or do not, until the block ends.

    enabled (bool): Whether to record them, also within `torch.inference_mode`.
    """
    with ExitStack() as stack:
        if enabled and torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(enabled))
        yield


@contextmanager
def own_training_settings() -> Iterator[None]:
    """As `own_torch_settings`, for code that creates weights or computes gradients: gradients are
    enabled, and tensors that are created within `torch.inference_mode` can be trained. A backward
    pass needs the scope as its forward pass does. Also usable as a decorator.
    """
    with own_torch_settings(), gradients_enabled():
        yield


@contextmanager
def own_random_state(device: torch.device = CPU) -> Iterator[None]:
    """Restore the state of torch's random numbers when the block ends.

    device (torch.device): A GPU whose state is restored as well as the CPU's.
    """
    gpus = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(devices=gpus):
        yield


def seed_random(seed: int, device: torch.device) -> None:
    """Seed the default generator of one device, and leave those of the others.

    seed (int): The seed.
    device (torch.device): The CPU or a GPU.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:
        torch.random.default_generator.manual_seed(seed)


def warn_of_reduced_float32(device: torch.device) -> None:
    """Warn once if torch is set to multiply float32 matrices in a lower precision.

    device (torch.device): Where the products are computed.
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
    """Whether float32 products are exact here, which the processor decides together with the
    setting."""
    generator = torch.Generator("cpu").manual_seed(0)
    x, y = torch.rand(2, 256, 256, generator=generator, dtype=torch.float32, device="cpu")
    expected = x.double() @ y.double()
    found = (x.to(device_type) @ y.to(device_type)).double().cpu()
    return bool(torch.allclose(found, expected, rtol=EXACT))
