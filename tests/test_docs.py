"""The documentation has an entry for all that is registered, and its snippets run."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REFERENCE = "\n".join(
    path.read_text(encoding="utf8") for path in sorted((ROOT / "docs" / "reference").glob("*.md"))
)
HOME = (ROOT / "docs" / "index.md").read_text(encoding="utf8")


def registered() -> list[tuple[str, str]]:
    """Return the registered names and the functions behind them, commands left out."""
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


@pytest.mark.parametrize("name, target", registered())
def test_each_registered_function_is_in_the_reference(name: str, target: str) -> None:
    component = {"make_punct_sentencizer": "PunctSentencizer"}
    module, _, function = target.rpartition(".")
    assert f"::: {module}.{component.get(function, function)}\n" in REFERENCE + "\n", name


def test_each_entry_of_the_reference_exists() -> None:
    for path in re.findall(r"^::: (\S+)$", REFERENCE, flags=re.MULTILINE):
        module, _, name = path.rpartition(".")
        found = __import__(module, fromlist=[name])
        assert hasattr(found, name) or __import__(path, fromlist=["_"]), path


def test_the_snippet_of_the_home_page_prints_what_its_comments_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", HOME, flags=re.DOTALL)
    exec(snippet, {})
    printed = capsys.readouterr().out
    assert re.findall(r"print.*#.*(\([\d, ]+\))", snippet) == printed.strip().split("\n")
