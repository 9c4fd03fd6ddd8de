"""Griffe extension that reads docstrings in spaCy's style, which mkdocstrings renders as tables.

    name (type): Description.
    RETURNS (type): Description.
    RAISES (ValueError): Description.
    REFERENCE: Description.

Such lines are converted to the sections of a Google-style docstring, which griffe parses.
"""

import importlib
import re
from typing import Any

import griffe

ITEM = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) \((.+?)\): (.*)$")
BARE_ITEM = re.compile(r"^(\*{0,2}\w+(?:, \w+)*): (.*)$")
RESULT = re.compile(r"^(RETURNS|CREATES|YIELDS|RAISES)(?: \((.+)\))?: (.*)$")
REFERENCE = re.compile(r"^(REFERENCE|DOCS): (.*)$")
SECTIONS = {"RETURNS": "Returns", "CREATES": "Returns", "YIELDS": "Yields", "RAISES": "Raises"}


def to_google_style(docstring: str) -> str:
    """Return a docstring with its arguments and results in Google-style sections.

    docstring (str): A docstring without indentation.
    RETURNS (str): The docstring in Google style.
    """
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    current = text
    for line in indent_first_result(docstring).split("\n"):
        result, reference = RESULT.match(line), REFERENCE.match(line)
        item = ITEM.match(line) or (BARE_ITEM.match(line) if current is not text else None)
        if result:
            kind, type_, description = result.groups()
            current = sections.setdefault(SECTIONS[kind], [])
            current.append(f"    {type_ or 'None'}: {description}")
        elif reference:
            name, description = reference.groups()
            current = text
            text += ["", f"*{name.capitalize()}*: {description}"]
        elif item:
            names, *type_parts, description = item.groups()
            current = sections.setdefault("Args", [])
            type_ = f" ({type_parts[0]})" if type_parts else ""
            current += [f"    {name}{type_}: {description}" for name in names.split(", ")]
        elif line.startswith("    ") and current is not text:
            current.append(f"    {line}")
        else:
            current = text
            text.append(line)
    blocks = ["\n".join(text).strip()]
    blocks += [f"{name}:\n" + "\n".join(lines) for name, lines in sections.items() if lines]
    return "\n\n".join(blocks)


def indent_first_result(docstring: str) -> str:
    """Indent the continuation lines of a docstring that starts with its result, like the docstrings
    of properties. Their indentation was removed with the indentation of the docstring."""
    lines = docstring.split("\n")
    if RESULT.match(lines[0]):
        end = lines.index("") if "" in lines else len(lines)
        for n in range(1, end):
            lines[n] = lines[n] if RESULT.match(lines[n]) else f"    {lines[n]}"
    return "\n".join(lines)


class SpacyDocstrings(griffe.Extension):
    """Convert the docstrings of the package while griffe loads it, and replace the names of
    constants in signatures by their values."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Convert the docstring of one object."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = to_google_style(obj.docstring.value)

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Replace the constants in the signature of one function."""
        for param in func.parameters:
            if str(param.default).isidentifier():
                value = getattr(importlib.import_module(func.module.path), str(param.default), None)
                if isinstance(value, (int, float, str)):
                    param.default = repr(value)
