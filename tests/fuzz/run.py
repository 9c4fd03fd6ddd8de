"""Running mutations in worker processes, and collecting crashes, timeouts and wrong outcomes."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .targets import TARGETS

SECONDS_PER_CASE = 20
# time for importing the libraries and writing undamaged files
SECONDS_AT_START = 120
ROOT = Path(__file__).parent.parent.parent

Cases = dict[str, tuple[int, int]]


@dataclass
class Report:
    """The outcomes of all cases.

    problems (List[str]): The problems, each with the case that causes it.
    counts (Dict[str, Counter]): How often each outcome occurred, by target.
    """

    problems: list[str] = field(default_factory=list)
    counts: dict[str, "Counter[str]"] = field(default_factory=dict)

    def add(self, target: str, number: int, outcome: str, what: str, problem: str | None) -> None:
        self.counts.setdefault(target, Counter())[outcome] += 1
        if problem:
            self.problems.append(f"{target}:{number} ({what}): {problem}")

    @property
    def n_cases(self) -> int:
        return sum(sum(counts.values()) for counts in self.counts.values())


def distribute(n_mutations: int, names: Sequence[str]) -> Cases:
    """Distribute mutations among targets in proportion to their weights.

    n_mutations (int): Number of mutations of all targets together.
    names (Sequence[str]): Names of the targets.
    RETURNS (Cases): The cases of each target.
    """
    total = sum(TARGETS[name].weight for name in names)
    cases: Cases = {}
    done = seen = 0
    for name in names:
        seen += TARGETS[name].weight
        end = n_mutations * seen // total
        cases[name] = (0, end - done)
        done = end
    return cases


def run(seed: int, cases: Cases, report: Report | None = None) -> Report:
    """Run cases in a worker process, and in a new one after each crash or timeout.

    seed (int): Seed of the mutations.
    cases (Cases): First case and end of the cases of each target.
    report (Optional[Report]): The report to add outcomes to; a new one if None.
    RETURNS (Report): The report.
    """
    report = Report() if report is None else report
    left = {name: bounds for name, bounds in cases.items() if bounds[0] < bounds[1]}
    while left:
        _run_process(seed, left, report)
    return report


def _run_process(seed: int, left: Cases, report: Report) -> None:
    """Run cases until the process ends, and remove the cases that were run from `left`."""
    command = [sys.executable, "-X", "faulthandler", "-m", f"{__package__}.worker", str(seed)]
    process = subprocess.Popen(
        [*command, json.dumps(left)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True),
        threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    target, number = "", None
    seconds = SECONDS_AT_START
    try:
        while True:
            line = lines.get(timeout=seconds)
            if line is None:
                break
            message: dict[str, Any] = json.loads(line)
            if "target" in message:
                target, number = message["target"], message["number"]
                seconds = SECONDS_AT_START if number is None else SECONDS_PER_CASE
            else:
                assert number is not None
                report.add(target, number, **message)
                _take(left, target, number)
                number = None
                seconds = SECONDS_AT_START
        problem = "" if process.wait() == 0 and number is None else "crash"
    except queue.Empty:
        problem = f"timeout after {seconds} seconds"
    finally:
        process.kill()
        process.wait()
    for thread in threads:
        thread.join()
    if problem and number is None:
        raise RuntimeError(f"{target} cannot be run ({problem}):\n{''.join(errors)[-3000:]}")
    if number is not None:
        last = f"{problem}, exit code {process.returncode}: {''.join(errors)[:600]}"
        report.add(target, number, "crash", "see --case", last)
        _take(left, target, number)


def _take(left: Cases, target: str, number: int) -> None:
    end = left[target][1]
    if number + 1 < end:
        left[target] = (number + 1, end)
    else:
        del left[target]


def _forward(stream: Any, lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
