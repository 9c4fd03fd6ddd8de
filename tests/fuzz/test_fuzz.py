"""A damaged file either raises a documented error or is read and used. No reader crashes or hangs,
and a format with a digest never gives a different result.

    python -m tests.fuzz --mutations 20000        # all formats
    python -m tests.fuzz --case hdf5:17 --seed 0  # a case that failed
"""

import random

import pytest

from .mutations import mutate
from .run import distribute, run
from .targets import TARGETS

SEED = 0


def check(n_mutations: int) -> None:
    report = run(SEED, distribute(n_mutations, list(TARGETS)))
    assert report.n_cases == n_mutations
    assert not report.problems, f"seed {SEED}:\n" + "\n".join(report.problems)


@pytest.mark.slow
def test_a_thousand_mutations() -> None:
    check(1000)


@pytest.mark.nightly
@pytest.mark.slow
def test_twenty_thousand_mutations() -> None:
    check(20_000)


def test_mutations_are_deterministic() -> None:
    files = {"a.json": b'{"x": [1, 2, {"y": null}]}', "b.txt": b"one\ntwo\nthree\n", "c": b"\x81"}
    for number in range(300):
        first, second = (mutate(files, random.Random(f"0:x:{number}")) for _ in range(2))
        assert first == second
        assert set(first[0]) <= set(files)


@pytest.mark.parametrize("n_mutations", [1, 100, 999, 20_000])
def test_all_mutations_are_distributed(n_mutations: int) -> None:
    cases = distribute(n_mutations, list(TARGETS))
    assert sum(end - first for first, end in cases.values()) == n_mutations
    if n_mutations >= 100:
        assert all(end > first for first, end in cases.values())
