"""Griffe extension that reads docstrings in spaCy's style. mkdocstrings renders them as tables.

    name (type): Description.
    RETURNS (type): Description.
    RAISES (ValueError): Description.
    REFERENCE: Description.

The extension converts such lines to the sections of a Google-style docstring, which griffe parses.
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
    """Convert a docstring from spaCy's style to Google style.

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
    """Indent the continuation lines of a docstring that starts with a result, as properties have.
    Their indentation was removed together with the indentation of the docstring.

    docstring (str): A docstring without indentation.
    RETURNS (str): The docstring; unchanged if it does not start with a result.
    """
    lines = docstring.split("\n")
    if RESULT.match(lines[0]):
        end = lines.index("") if "" in lines else len(lines)
        for n in range(1, end):
            lines[n] = lines[n] if RESULT.match(lines[n]) else f"    {lines[n]}"
    return "\n".join(lines)


class SpacyDocstrings(griffe.Extension):
    """Convert the docstrings of the package while griffe loads it, and replace the names of
    constants in signatures with their values."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Convert the docstring of one object."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = to_google_style(obj.docstring.value)

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Replace the names of constants in the signature of one function with their values."""
        for param in func.parameters:
            if str(param.default).isidentifier():
                value = getattr(importlib.import_module(func.module.path), str(param.default), None)
                if isinstance(value, (int, float, str)):
                    param.default = repr(value)
