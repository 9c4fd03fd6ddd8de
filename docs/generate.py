"""MkDocs hook that generates the reference pages from entry points, commands and settings.

It replaces a line `<!-- generate: NAME -->` of a page with a table of all registered names
(`names`), an entry for each function of an entry point group (`spacy_architectures`, ...), all
commands (`commands`), or all settings of a pretraining config (`pretraining`).
"""

import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from enum import Enum
from pathlib import Path
from typing import Any

SETUP = Path(__file__).parent.parent / "setup.cfg"
MARK = re.compile(r"^<!-- generate: (\w+) -->$", flags=re.MULTILINE)
# the kind of the registered names of each entry point group
KINDS = {
    "spacy_factories": "component",
    "spacy_architectures": "architecture",
    "spacy_misc": "segmenter or loader",
    "spacy_readers": "reader",
    "spacy_scorers": "scorer",
    "spacy_callbacks": "callback",
}
PAGES = {"spacy_factories": "pipeline.md"}
ENTRY = """
## {name} {{: #{name} }}

::: {target}
    options:
      show_root_heading: false
      show_root_toc_entry: false
      heading_level: 3
"""


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Return a page with its marks replaced. MkDocs calls this function.

    markdown (str): The Markdown of the page.
    kwargs (Any): Further arguments of MkDocs, which are ignored.
    RETURNS (str): The Markdown with the generated text.
    """
    return MARK.sub(lambda match: generate(match[1]), markdown)


def generate(name: str) -> str:
    """Return the Markdown for one mark.

    name (str): The name in the mark.
    RETURNS (str): The Markdown.
    """
    if name == "spacy_factories":
        return "\n".join(components())
    if name in KINDS:
        return "".join(ENTRY.format(name=entry, target=target) for entry, target in entries(name))
    parts = {"names": names, "commands": commands, "pretraining": pretraining}[name]()
    return "\n".join(parts)


def entries(group: str) -> list[tuple[str, str]]:
    """Read the entry points of a group from setup.cfg.

    group (str): The group, e.g. spacy_architectures.
    RETURNS (List[Tuple[str, str]]): The registered name and the dotted path of each function.
    """
    config = ConfigParser()
    config.read(SETUP, encoding="utf8")
    lines = config["options.entry_points"][group].strip().split("\n")
    pairs = (line.split("=") for line in lines)
    return [(name.strip(), target.strip().replace(":", ".")) for name, target in pairs]


def components() -> Iterator[str]:
    """Yield the reference entries of all components, with their attributes and default configs."""
    from spacy.language import Language
    from thinc.api import Config

    for name, target in entries("spacy_factories"):
        yield ENTRY.format(name=name, target=target)
        importlib.import_module(target.rpartition(".")[0])
        meta = Language.get_factory_meta(name)
        config = Config({"components": {name: {"factory": name, **meta.default_config}}})
        text = config.to_str().replace("[components]\n\n", "")
        yield "Attributes that the component sets: " + ", ".join(f"`{one}`" for one in meta.assigns)
        yield f"\nDefault config:\n\n```ini\n{text}\n```\n"


def names() -> Iterator[str]:
    """Yield the lines of the table of registered names."""
    yield from ("| kind | name | description |", "| --- | --- | --- |")
    for group, kind in KINDS.items():
        page = PAGES.get(group, "architectures.md")
        for name, target in entries(group):
            module, _, function = target.rpartition(".")
            found = getattr(importlib.import_module(module), function)
            yield f"| {kind} | [`{name}`]({page}#{name}) | {first_sentence(found, name)} |"
    for name, command in cli_commands():
        text = cell((inspect.getdoc(command) or "").split("\n\n")[0])
        yield f"| command | [`spacy elmo {name}`](commands.md#{name}) | {text} |"


def first_sentence(found: Callable[..., Any], name: str) -> str:
    """Return the first sentence of the docstring of a function, without the registered name."""
    text = re.split(r"(?<!al)\.(?: |$)", cell(inspect.getdoc(found) or ""))[0]
    text = re.sub(rf"^\w+(?: the \w+)? `{re.escape(name)}`[:,] (?:which )?", "", text)
    return text[:1].upper() + text[1:] + "."


def cli_commands() -> list[tuple[str, Callable[..., Any]]]:
    """Return the name and the function of each command."""
    from spacy_elmo.cli import elmo_app

    found = elmo_app.registered_commands
    return sorted((one.name, one.callback) for one in found if one.name and one.callback)


def commands() -> Iterator[str]:
    """Yield the lines of the reference of all commands."""
    for name, command in cli_commands():
        parameters = inspect.signature(command).parameters.values()
        # a typer.Context has no default, and is not an argument of the command
        params = [param for param in parameters if param.default is not param.empty]
        arguments = [param for param in params if not is_option(param)]
        usage = ["python -m spacy elmo", name, "[OPTIONS]", *map(shown_names, arguments)]
        yield f"\n## {name}\n"
        yield "    " + " ".join(usage).replace("`", "") + "\n"
        yield from (f"{cell(part)}\n" for part in (inspect.getdoc(command) or "").split("\n\n"))
        yield from ("| argument or option | default | description |", "| --- | --- | --- |")
        for param in params:
            help_text = cell(param.default.help or "")
            yield f"| {shown_names(param)} | {shown_default(param)} | {help_text} |"


def is_option(param: inspect.Parameter) -> bool:
    """Return whether a parameter is an option instead of a positional argument."""
    return bool(param.default.param_decls)


def shown_names(param: inspect.Parameter) -> str:
    """Return the name of an argument, or the names of an option with its type or its values."""
    if not is_option(param):
        return f"`{param.default.metavar or param.name.upper()}`"
    names = ", ".join(f"`{name}`" for name in param.default.param_decls)
    type_ = next(t for t in typing.get_args(param.annotation) or [param.annotation])
    if type_ is bool:
        return names
    if issubclass(type_, Enum):
        return f"{names} " + ", ".join(f"`{one.value}`" for one in type_)
    return f"{names} `{type_.__name__.upper()}`"


def shown_default(param: inspect.Parameter) -> str:
    """Return the default of an option; empty for flags and for options without a default."""
    default = getattr(param.default.default, "value", param.default.default)
    if default is ...:
        return "required"
    return "" if default is None or default is False else f"`{default}`"


def pretraining() -> Iterator[str]:
    """Yield the lines of the reference of the pretraining settings."""
    from spacy_elmo.pretrain.config import PretrainConfig

    for block, field in PretrainConfig.model_fields.items():
        for settings in settings_classes(field.annotation):
            text, descriptions = split_docstring(inspect.getdoc(settings) or "")
            name = settings.model_fields.get("name")
            yield f"\n## [{block}]" + (f" with name = {name.default}" if name else "") + "\n"
            yield re.sub(r"^\[\w+\]: (.)", lambda match: match[1].upper(), text) + "\n"
            yield from ("| setting | type | default | description |", "| --- | --- | --- | --- |")
            for setting, info in settings.model_fields.items():
                if setting == "name":
                    continue
                type_, description = descriptions.get(setting, (shown_type(info.annotation), ""))
                default = "required" if info.is_required() else f"`{json.dumps(info.default)}`"
                yield f"| `{setting}` | `{cell(type_)}` | {default} | {cell(description)} |"


def settings_classes(annotation: Any) -> list[Any]:
    """Return the settings classes in an annotation such as `ModelConfig | None`."""
    classes = typing.get_args(annotation) or [annotation]
    return [found for found in classes if found is not type(None)]


def shown_type(annotation: Any) -> str:
    """Return the text of a type annotation."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def split_docstring(docstring: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """Split a docstring into its text and its settings.

    docstring (str): The docstring, indentation removed.
    RETURNS (Tuple[str, Dict[str, Tuple[str, str]]]): The text, and the type and description of each
        setting.
    """
    text: list[str] = []
    found: dict[str, tuple[str, str]] = {}
    current: list[str] = []
    for line in docstring.split("\n"):
        item = re.match(r"^(\w+(?:, \w+)*) \((.+?)\): (.*)$", line)
        if item:
            current = item[1].split(", ")
            found |= dict.fromkeys(current, (item[2], item[3]))
        elif current and line.startswith("    "):
            for name in current:
                type_, description = found[name]
                found[name] = type_, f"{description} {line.strip()}"
        else:
            current = []
            text.append(re.sub(r"^REFERENCE: ", "*Reference*: ", line))
    return "\n".join(text).strip(), found


def cell(text: str) -> str:
    """Return text for a cell of a table: on one line, with "|" and "<" escaped."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
