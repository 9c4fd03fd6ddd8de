"""How many threads a command uses for its arithmetic.

    python threads.py 1 spacy elmo pretrain ...        (for python -m spacy elmo pretrain ...)

The matrices of a small biLM are too small to be worth sharing, and on a busy machine threads that
wait for each other take many times as long as a single one.
"""

import os
import runpy
import sys

# how torch, numpy's BLAS and others are told how many cores they have
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment(n_threads: int) -> dict[str, str]:
    """RETURNS (Dict[str, str]): The environment of a process with so many threads."""
    return {**os.environ, **dict.fromkeys(VARIABLES, str(n_threads))}


if __name__ == "__main__":
    os.environ.update(environment(int(sys.argv[1])))
    # in this process, which then gets the signals itself
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
