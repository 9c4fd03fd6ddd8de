"""Run a Python module with a given number of threads for matrix multiplication.

    python threads.py 1 spacy elmo pretrain ...

This runs `python -m spacy elmo pretrain ...` with one thread. The matrices of a small biLM are too
small for several threads. On a busy machine, several threads wait for each other and take many
times as long as a single thread.
"""

import os
import runpy
import sys

# the number of threads of torch and of BLAS libraries
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment(n_threads: int) -> dict[str, str]:
    """Return the environment variables of a process with the given number of threads."""
    return {**os.environ, **dict.fromkeys(VARIABLES, str(n_threads))}


if __name__ == "__main__":
    os.environ.update(environment(int(sys.argv[1])))
    # the module runs in this process, so that it receives signals directly
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
