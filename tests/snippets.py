"""The code blocks of the documentation: found, checked and run.

A comment above a block determines how it is tested. A block without a comment is run.

    <!-- test: slow -->               run in the slow tests, checked in the others
    <!-- test: not run, REASON -->    checked only
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.util import load_config, registry
from thinc.api import Config

from spacy_elmo.pretrain.config import PretrainConfig

from .command_lines import check_command, run_command
from .samples import ONTONOTES
from .test_configs import make_corpus
from .tiny_configs import CONFIGS, load_tiny_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```", flags=re.MULTILINE)
BLOCK = re.compile(
    r"^(?:<!-- test: (?P<mark>.*?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
PRINT = re.compile(r"^print\(.*?\)(?:  # (.*))?$", flags=re.MULTILINE)
SECTION = re.compile(r"^\[(.*)\]$", flags=re.MULTILINE)
NOT_RUN = "not run, "
SLOW = "slow"

# config values that the examples refer to
VARIABLES = {
    "paths": {"train": "train.spacy", "dev": "dev.spacy"},
    "components": {"elmo": {"model": {"width": 512, "depth": 2}}},
}
PRETRAIN_SIZES = {
    "model": {"hidden_dim": 12, "projection_dim": 8, "filters": [[1, 6], [2, 6]], "char_dim": 4},
    "softmax": {"kind": "full", "cutoffs": []},
    "batches": {"n_rows": 2, "n_steps": 5},
    "training": {"epochs": 1.0, "max_minutes": 0.0, "eval_every": 10},
}
TEXT = """The bank of the river was green. She sat down by the water and read a book.

He went to the bank to borrow money. The clerk said no, and he left.
"""


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    page (Path): The page.
    line (int): The line of its first fence.
    language (str): The language after the fence; empty if there is none.
    code (str): The code.
    mark (str): The comment above it, empty if there is none.
    """

    page: Path
    line: int
    language: str
    code: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def reason(self) -> str:
        """RETURNS (str): Why the block is not run; empty if it is run."""
        return self.mark.removeprefix(NOT_RUN) if self.mark.startswith(NOT_RUN) else ""

    @property
    def commands(self) -> Iterator[list[str]]:
        """YIELDS (List[str]): The words of each command of a bash block."""
        lines = self.code.replace("\\\n", " ").split("\n")
        yield from filter(None, (shlex.split(line, comments=True) for line in lines))


def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of a page in order."""
    text = page.read_text(encoding="utf8")
    return [
        Block(
            page,
            text.count("\n", 0, match.end()) - match["code"].count("\n"),
            match["language"],
            match["code"],
            match["mark"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def check(block: Block) -> None:
    """Check a block without running it: syntax, commands, options, files, registered names."""
    if block.language == "python":
        compile(block.code, str(block), "exec")
    elif block.language == "bash":
        folder = ROOT
        for words in block.commands:
            folder = check_command(words, folder)
    elif block.language == "ini":
        resolve(block.code)
    elif block.language == "json":
        json.loads(block.code)
    else:
        raise AssertionError(f"{block}: no check for the language {block.language!r}")


def run(block: Block, names: dict[str, Any]) -> None:
    """Run a block in the current directory. The output of each `print` in a Python block must equal
    the end of the comment after it.

    block (Block): The block.
    names (Dict[str, Any]): The names that the Python blocks before it have defined.
    """
    check(block)
    if block.language == "bash":
        for words in block.commands:
            run_command(words)
    if block.language != "python":
        return
    printed: list[str] = []
    names["print"] = lambda *values: printed.append(" ".join(map(str, values)))
    exec(compile(block.code, str(block), "exec"), names)
    comments = PRINT.findall(block.code)
    assert len(comments) == len(printed), block
    for comment, text in zip(comments, printed):
        assert comment.endswith(text) or not comment, f"{block}: {text}"


def resolve(code: str) -> None:
    """Construct all objects that a config, or an excerpt of a config, describes."""
    config = Config().from_str(with_parents(code), interpolate=False)
    if set(config) <= set(PretrainConfig.model_fields):
        PretrainConfig.from_dict({"text": {"train": "a.txt", "heldout": "b.txt"}, **config})
        return
    filled = Config(VARIABLES).merge(config).interpolate()
    nlp = spacy.blank("en")
    for name, settings in filled["components"].items():
        if "factory" in settings:
            settings = dict(settings)
            nlp.create_pipe(settings.pop("factory"), name=name, config=settings)
    for block in registered_blocks(filled):
        registry.resolve({"block": block})


def with_parents(code: str) -> str:
    """Add the headers of the enclosing blocks, which an excerpt of a config lacks."""
    headers = SECTION.findall(code)
    parents = {
        ".".join(names[:n])
        for names in (header.split(".") for header in headers)
        for n in range(1, len(names))
    }
    missing = sorted(parents.difference(headers))
    return "".join(f"[{header}]\n" for header in missing) + code


def registered_blocks(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the outermost blocks that name a registered function."""
    if any(key.startswith("@") for key in block):
        yield block
        return
    for value in block.values():
        if isinstance(value, dict):
            yield from registered_blocks(value)


def write_workspace(folder: Path) -> None:
    """Write the files that the commands of the documentation read: texts, corpora, and the shipped
    configs with small sizes.

    folder (Path): The folder, empty.
    """
    for path in CONFIGS.glob("*.cfg"):
        (folder / "configs").mkdir(exist_ok=True)
        if path.name.startswith("pretrain_"):
            tiny = load_config(path).merge(Config(PRETRAIN_SIZES))
        else:
            tiny = load_tiny_config(path)
        tiny.to_disk(folder / "configs" / path.name)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "books").mkdir()
    for name in ("books/a.txt", "books/b.txt"):
        (folder / name).write_text(TEXT * 8, encoding="utf8")
    for name in ("heldout.txt", "dev.txt"):
        (folder / name).write_text(TEXT.replace("She", "Emma"), encoding="utf8")
    for part in ("train", "development"):
        (folder / "ontonotes" / part).mkdir(parents=True)
        (folder / "ontonotes" / part / "a.gold_conll").write_text(ONTONOTES, encoding="utf8")
    uses = {"text": "A bank.", "spans": [{"start": 2, "end": 6, "label": "bank%river"}]}
    for name in ("uses.jsonl", "dev.jsonl"):
        (folder / name).write_text(json.dumps(uses), encoding="utf8")
    for corpus in ("flat", "nested"):
        (folder / "corpus" / corpus).mkdir(parents=True)
        for part in ("train", "dev"):
            make_corpus(folder / "corpus" / corpus / f"{part}.spacy")
