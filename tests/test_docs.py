"""The documentation: every block of code is run or checked, the reference is complete, and linked
pages exist."""

import importlib.util
import re
import shlex
import shutil
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .command_lines import Syntax, check_command
from .snippets import (
    FENCE,
    NOT_RUN,
    PAGES,
    ROOT,
    SLOW,
    Block,
    blocks_of,
    check,
    run,
    write_workspace,
)

REFERENCE = ROOT / "docs" / "reference"


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT).with_suffix(""))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
WITH_SLOW = [page for page in PAGES if any(block.mark == SLOW for block in blocks_of(page))]
NOT_RUN_AT_ALL = [block for block in BLOCKS if block.reason]

WRONG = [
    "python -m spacy elmo nothing en_small",
    "python -m spacy elmo convert en_small",
    "python -m spacy elmo convert en_small bilm --nothing",
    "python -m spacy train configs/ner_elmo.cfg --training.nothing 1",
    "python -m spacy elmo pretrain configs/nothing.cfg output --paths.train a.txt",
    "python project/scripts/nothing.py",
    "python project/scripts/report.py metrics training report --nothing 1",
    "python benchmarks/pretrain.py --nothing",
    "python -m tests.fuzz --nothing",
    "python3 make.py nothing",
    "pip install '.[nothing]'",
    "nothing",
]

each_page_with_blocks = pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page)], ids=page_id
)
each_page = pytest.mark.parametrize("page", PAGES, ids=page_id)
each_slow_page = pytest.mark.parametrize("page", WITH_SLOW, ids=page_id)


def generator() -> ModuleType:
    """Return the hook that generates the reference pages."""
    spec: Any = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def reference() -> str:
    """Return the Markdown of all pages of the reference."""
    pages = [path.read_text(encoding="utf8") for path in REFERENCE.glob("*.md")]
    return "\n".join(map(generator().on_page_markdown, pages))


def registered() -> list[tuple[str, str]]:
    """Return the registered names and their functions, without the commands."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = [
        line
        for group, value in config["options.entry_points"].items()
        if group != "spacy_cli"
        for line in value.strip().split("\n")
    ]
    pairs = (line.split(" = ") for line in lines)
    return [(name.strip(), target.strip().replace(":", ".")) for name, target in pairs]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    write_workspace(folder)
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a fresh copy of the workspace the current directory."""
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "workspace"))


def run_page(page: Path, *, slow: bool) -> None:
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if block.reason or (block.mark == SLOW and not slow):
            check(block)
        else:
            run(block, names)


@pytest.mark.usefixtures("workspace")
@each_page_with_blocks
def test_the_blocks_of_a_page_run_in_order(page: Path) -> None:
    run_page(page, slow=False)


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
@each_slow_page
def test_the_blocks_of_a_page_run_in_order_with_the_slow_ones(page: Path) -> None:
    run_page(page, slow=True)


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        check_command(shlex.split(command), ROOT)


@each_page
def test_every_block_of_a_page_is_found(page: Path) -> None:
    blocks = blocks_of(page)
    assert 2 * len(blocks) == len(FENCE.findall(page.read_text(encoding="utf8")))
    for block in blocks:
        assert not block.mark or block.mark == SLOW or block.mark.startswith(NOT_RUN), block


def test_blocks_that_are_not_run_have_a_reason(record_property: Any) -> None:
    def line(block: Block) -> str:
        return f"{block}: {block.reason}"

    lines = [line(block) for block in NOT_RUN_AT_ALL]
    print(f"{len(lines)} of {len(BLOCKS)} blocks are checked but not run:", *lines, sep="\n")
    record_property("blocks_not_run", len(lines))
    assert all(len(block.reason) > 5 for block in NOT_RUN_AT_ALL)


@pytest.mark.parametrize("name, target", registered())
def test_each_registered_function_is_in_the_reference(name: str, target: str) -> None:
    text = reference()
    assert f"::: {target}\n" in text
    assert re.search(rf"^## {re.escape(name)} ", text, flags=re.MULTILINE)
    row = re.search(rf"\[`{re.escape(name)}`\]\(.*?\) \| (.*) \|", text)
    assert row is not None and row[1]


def test_each_command_and_option_is_in_the_reference() -> None:
    text = reference()
    for name, command in generator().cli_commands():
        syntax = Syntax.of(command)
        assert "--traceback" in syntax.flags
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for option in syntax.flags | syntax.options:
            assert f"`{option}`" in section, (name, option)


def test_each_entry_of_the_reference_exists() -> None:
    pages = "\n".join(path.read_text(encoding="utf8") for path in REFERENCE.glob("*.md"))
    for path in re.findall(r"^::: (\S+)$", pages, flags=re.MULTILINE):
        module, _, name = path.rpartition(".")
        found = __import__(module, fromlist=[name])
        assert hasattr(found, name) or __import__(path, fromlist=["_"]), path


@each_page
def test_linked_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf8")):
        assert target.startswith("http") or (page.parent / target).exists(), target
