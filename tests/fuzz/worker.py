"""A process that damages files, reads them, and prints the outcome of each case.

Before each case, the process prints a line of JSON that names the case, so that the parent process
can assign a crash or a timeout to it. After the case, it prints a line with the outcome.
"""

import contextlib
import faulthandler
import json
import logging
import os
import random
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy_elmo.corpus.corpus_cache import NoText

from .mutations import Files, mutate
from .target import Result, Target
from .targets import TARGETS

# limit of the address space, so that a reader that allocates too much raises an error
MAX_BYTES = 16 << 30
Stamped = tuple[bytes, int]


class Sandbox:
    """The undamaged files of a target, and the folder in which they are damaged.

    target (Target): The target.
    folder (Path): The folder, which is the same for all cases.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        folder.mkdir()
        target.make(folder)
        self.files: dict[str, Stamped] = {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        names = {
            str(path.relative_to(folder))
            for pattern in target.files
            for path in folder.glob(pattern)
            if path.is_file()
        }
        self.damaged = {name: self.files[name][0] for name in sorted(names)}
        assert self.damaged, f"{target.name} has no files to damage"
        self.expected = self.read({})

    def read(self, changes: Files) -> Result:
        """Read the files with some of them changed."""
        shutil.rmtree(self.folder)
        for name, (data, stamp) in self.files.items():
            changed = changes.get(name, data)
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if changed is not None:
                path.write_bytes(changed)
                os.utime(path, ns=(stamp, stamp))
        return self.target.read(self.folder)

    def run(self, seed: int, number: int) -> dict[str, Any]:
        """Run a case.

        seed (int): Seed of the mutations.
        number (int): Number of the case.
        RETURNS (Dict[str, Any]): The mutation, its outcome, and the problem, if any.
        """
        draw = random.Random(f"{seed}:{self.target.name}:{number}")
        changes, what = mutate(self.damaged, draw)
        outcome, problem = "accepted", None
        try:
            result = self.read(changes)
        except Exception as error:
            outcome, problem = "refused", _problem(error, self.target)
        else:
            other = [name for name in self.expected if result.get(name) != self.expected[name]]
            outcome = "changed" if other else outcome
            if other and self.target.has_digest and set(other) & set(result):
                problem = f"accepted, and changes {', '.join(sorted(other))}"
        return {"what": what, "outcome": outcome, "problem": problem}


def _problem(error: Exception, target: Target) -> str | None:
    """RETURNS (Optional[str]): The problem with an error; None if the error is allowed."""
    text = str(error).strip()
    kind = type(error).__name__
    if isinstance(error, AssertionError):
        return text
    if isinstance(error, target.foreign):
        return None
    if type(error) not in (ValueError, NoText) and not isinstance(error, OSError):
        return f"{kind}: {text[:200]}"
    if not isinstance(error, OSError) and (len(text.split()) < 4 or text[-1] not in ".?)"):
        return f"{kind} whose message is not a sentence: {text[:200]}"
    return None


def main(seed: int, cases: dict[str, tuple[int, int]]) -> None:
    """Run cases.

    seed (int): Seed of all mutations, together with the target's name and the case's number.
    cases (Dict[str, Tuple[int, int]]): First case and end of the cases of each target.
    """
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        for name, (first, end) in cases.items():
            print(json.dumps({"target": name, "number": None}), flush=True)
            with _quiet():
                sandbox = Sandbox(TARGETS[name], Path(temporary) / name)
            for number in range(first, end):
                print(json.dumps({"target": name, "number": number}), flush=True)
                with _quiet():
                    found = sandbox.run(seed, number)
                print(json.dumps(found), flush=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        yield


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
