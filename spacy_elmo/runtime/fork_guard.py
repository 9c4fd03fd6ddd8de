"""torch after a fork, as with `nlp.pipe(n_process=2)`. Knows nothing of what is run."""

import os

import torch

_process = os.getpid()


def run_alone_after_fork() -> None:
    """Use one thread in a forked process: torch's threads do not survive a fork, and waiting
    for them would never end. To be called before any work in torch."""
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
