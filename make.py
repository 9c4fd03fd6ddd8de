"""Common tasks. They require only Python 3.10 or later.

python3 make.py demo      install the package and compare two senses of a word
python3 make.py project   install the package and run the project on generated stories
python3 make.py test      install the package with its development tools and run the tests
python3 make.py check     run the linters, the type checker and the import checks
python3 make.py docs      build the documentation into site/
python3 make.py clean     delete the environments, the caches of the tools, build/ and site/

Further arguments of `test` are passed to pytest: python3 make.py test -k listener
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEMO, DEV = ROOT / ".venv", ROOT / ".venv-test"
BIN = "Scripts" if os.name == "nt" else "bin"
# the pinned versions need Python 3.11
PINS = ["-c", "constraints.txt"] if sys.version_info >= (3, 11) else []
CLEANED = (".venv", ".venv-test", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build", "site")


def demo() -> None:
    run(install(DEMO, "plots"), "examples/senses.py")


def project() -> None:
    python = install(DEMO, "plots")
    # the scripts of the project are run with the Python of the environment
    os.environ["PATH"] = f"{DEMO / BIN}{os.pathsep}{os.environ['PATH']}"
    run(python, "-m", "spacy", "project", "run", "all", "project")


def test(*args: str) -> None:
    run(install(DEV, "dev"), "-m", "pytest", "-n", "auto", *args)


def check() -> None:
    python = install(DEV, "dev")
    run(python, "-m", "ruff", "check", ".")
    run(python, "-m", "ruff", "format", "--check", ".")
    run(python, "-m", "mypy")
    run(python.with_name("lint-imports"))


def docs() -> None:
    run(install(DEV, "dev"), "-m", "mkdocs", "build", "--strict")


def clean() -> None:
    for name in CLEANED:
        shutil.rmtree(ROOT / name, ignore_errors=True)


TASKS = {task.__name__: task for task in (demo, project, test, check, docs, clean)}


def install(environment: Path, extra: str) -> Path:
    """Create an environment and install the package in it, unless it is already installed.

    environment (Path): Directory of the environment.
    extra (str): The extra of setup.cfg to install.
    RETURNS (Path): The Python of the environment.
    """
    python = environment / BIN / "python"
    done = environment / "installed"
    inputs = (ROOT / "setup.cfg", ROOT / "constraints.txt")
    if done.is_file() and all(done.stat().st_mtime > path.stat().st_mtime for path in inputs):
        return python
    print(f"Installing spacy-elmo into {environment.name}", flush=True)
    venv.create(environment, with_pip=True)
    run(python, "-m", "pip", "install", "-q", *PINS, "-e", f".[{extra}]")
    done.touch()
    return python


def run(*command: "str | Path") -> None:
    """Run a command in the root of the repository, and exit if it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT).returncode
    if code:
        sys.exit(code)


def main() -> None:
    # pip, which checks the version of Python, has not run yet
    if sys.version_info < (3, 10):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"This is Python {version}, but spacy-elmo needs Python 3.10 or later.")
    name, *args = sys.argv[1:] or ["help"]
    if name not in TASKS or (args and name != "test"):
        sys.exit(__doc__.strip())
    TASKS[name](*args)


if __name__ == "__main__":
    main()
