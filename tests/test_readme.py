"""What the README prints must run as printed."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("index", range(len(SNIPPETS)))
def test_python_snippets_run_and_print_what_the_comments_say(index, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    snippet = SNIPPETS[index]
    names: dict = {}
    exec(snippet, names)
    printed = capsys.readouterr().out
    for shape in re.findall(r"print.*#.*(\([\d, ]+\))", snippet):
        assert shape in printed
    if "listener" in names:
        assert names["nlp"].get_pipe("elmo").listening_components == ["ner"]
    if "layers" in names:
        assert f"({', '.join(map(str, names['layers'].shape))})" in snippet


def test_every_registered_name_is_in_the_readme_and_the_api_page():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf8")
    groups = config["options.entry_points"]
    names = [line.split("=")[0].strip() for value in groups.values() for line in value.split("\n")]
    for name in filter(None, names):
        assert name in README
        assert name in api


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
