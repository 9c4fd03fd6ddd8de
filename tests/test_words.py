"""The words of the glossary in CONTRIBUTING.md are used, not their home-made variants."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".md", ".cfg", ".yml", ".jinja", ".toml"}
FOLDERS = ("spacy_elmo", "configs", "docs", "benchmarks", "project", "examples", "tests", ".github")
# each pattern with the term to use
LEFT_OUT = {
    r"\bway back\b": "backward pass",
    r"\banew\b": "again, retrain, retokenize",
    r"\bat the most\b": "at most",
    r"\bone's own\b": "its own",
    r"\btold apart\b|\btells? [a-z ]{1,30}apart\b": "separate, distinguish",
    r"\b(go|goes|going|went) on\b": "resume, continue",
    r"\bto the bit\b": "bitwise identical",
    r"\bside by side\b|\bbeside\b": "next to, together with, concatenated with",
    r"\bshares? of\b": "fraction of",
    r"\bwithout a word\b": "silently",
    r"\bknows? nothing of\b": "is not responsible for",
    r"^\W*Owns\b": "what the module provides",
    r"\bstretch(es)?\b": "segment, window, chunk",
    r"\bin use\b(?!:)": "at inference",
}


def text_files() -> list[Path]:
    """Return the files that people read, except reports that commands have written."""
    files = [path for path in ROOT.glob("*") if path.suffix in SUFFIXES]
    for folder in FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    generated = ROOT / "project" / "report"
    return [
        path
        for path in sorted(files)
        if path != Path(__file__) and generated not in path.parents and path.is_file()
    ]


@pytest.mark.parametrize("pattern", LEFT_OUT)
def test_the_words_of_the_glossary_are_used(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), start=1)
        if re.search(pattern, line, flags=re.IGNORECASE)
    ]
    assert not found, f"use {LEFT_OUT[pattern]}:\n" + "\n".join(found)
