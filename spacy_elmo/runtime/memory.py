"""Settings of the memory allocator."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from glibc's malloc.h
TRIM_BYTES = 2**30
MMAP_BYTES = 2**25  # the maximum that glibc allows


def keep_freed_memory() -> None:
    """Keep the memory that a training step frees for the next step.

    By default, glibc returns large allocations to the system at once, and the page faults of new
    ones take up to a tenth of a step's time. The setting lasts until the process ends, so only
    commands call this function. It has no effect with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
