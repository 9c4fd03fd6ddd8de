"""The README: short, with one command for the demo and one for the tests."""

import re
import runpy
from pathlib import Path

import pytest

from .snippets import blocks_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf8")


def commands_below(line: str) -> list[list[str]]:
    """Return the commands of the first block below a line."""
    number = TEXT[: TEXT.index(line)].count("\n")
    return list(next(block for block in blocks_of(README) if block.line > number).commands)


@pytest.mark.parametrize("line, task", [("## Install", "demo"), ("<!-- tests -->", "test")])
def test_one_command_sets_up_and_runs(line: str, task: str) -> None:
    assert commands_below(line) == [["python3", "make.py", task]]


def test_the_tests_use_the_environment_that_the_checks_use() -> None:
    environment = runpy.run_path(str(ROOT / "make.py"))["DEV"].name
    checks = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    assert set(re.findall(r"\.venv[\w-]*", checks)) == {environment}


def test_make_has_the_tasks_of_the_script() -> None:
    tasks = runpy.run_path(str(ROOT / "make.py"))["TASKS"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    assert makefile.split(".PHONY: ")[1].split("\n")[0].split() == list(tasks)


def test_the_demo_finds_the_sense_of_every_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "senses.py"), run_name="__main__")
    assert "6 of 6" in capsys.readouterr().out


def test_the_readme_links_to_every_guide() -> None:
    guides = (ROOT / "docs" / "usage").glob("*.md")
    assert [path.name for path in guides if f"docs/usage/{path.name}" not in TEXT] == []
