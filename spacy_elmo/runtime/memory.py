"""How the process deals with memory that it has freed."""

import ctypes

# glibc's names of settings (malloc.h), and what they are set to, in bytes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**30
LARGEST = 2**25  # the most that glibc allows


def keep_freed_memory() -> None:
    """Keep what a training step frees for the next one.

    This lasts until the process ends, so that only commands call it. By default, large blocks go
    back to the system at once, and each step faults in new pages one by one, which takes up to a
    tenth of a step's time. With a C library other than glibc, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST)
    mallopt(M_TRIM_THRESHOLD, KEPT)
