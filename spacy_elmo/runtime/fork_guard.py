"""Running PyTorch in a forked process, e.g. in `nlp.pipe(n_process=2)`."""

import os

import torch

_process = os.getpid()


def use_one_thread_after_fork() -> None:
    """Limit PyTorch to one thread in a forked process. Call this before any work in PyTorch.

    PyTorch's threads do not survive a fork, and waiting for them would deadlock.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
