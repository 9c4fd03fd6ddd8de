"""The base class of the blocks of a pretraining config, and the error messages for them."""

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

Fraction = Annotated[float, Field(ge=0, lt=1)]
# description of each type, in the terms of a config file
WORDING: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string in quotes",
    list[str]: "a list of strings",
    list[int]: "a list of whole numbers",
    type(None): "null",
}
# messages for pydantic's errors about values out of range
RANGES = {
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "finite_number": "a finite number",
}


class Settings(BaseModel):
    """A block of settings: unknown names, wrong types and values out of range are errors."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def describe(error: ValidationError, config: type[BaseModel], values: dict[str, Any]) -> str:
    """Return an error message for the first problem that pydantic found.

    error (ValidationError): The problems.
    config (type[BaseModel]): The class of the whole config.
    values (dict[str, Any]): The config as it was read.
    RETURNS (str): The setting and its block, the value, and what is expected.
    """
    problem = error.errors()[0]
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    block, *path = (str(part) for part in problem["loc"])
    if block not in config.model_fields:
        known = ", ".join(f"[{name}]" for name in config.model_fields)
        return (
            f"The config has the block [{block}], which pretraining does not have. Known are "
            f"{known} and [paths]."
        )
    if kind == "union_tag_invalid":
        tags = context["expected_tags"].replace("'", "")
        return f"[{block}] name is {context['tag']!r}; it must be one of {tags}."
    fields = _fields(config.model_fields[block], path)
    name = next((part for part in path if part in fields), path[-1] if path else "")
    if kind == "extra_forbidden":
        return (
            f"[{block}] has the setting {name!r}, which does not exist. Known are "
            f"{', '.join(fields)}."
        )
    if kind == "missing":
        return f"[{block}] lacks the setting {name!r}. Add it to the config."
    if name not in fields:
        return f"[{block}] is {problem['input']!r}; it must be a block of settings."
    expected = RANGES[kind].format(**context) if kind in RANGES else _wording(fields[name])
    return f"[{block}] {name} is {values[block][name]!r}; it must be {expected}."


def _fields(block: FieldInfo, path: list[str]) -> dict[str, FieldInfo]:
    """Return the settings of a block. If a block has several kinds, `path` starts with the kind."""
    choices = [kind for kind in (block.annotation, *get_args(block.annotation)) if _is_block(kind)]
    chosen = [kind for kind in choices if path and _tag(kind) == path[0]]
    return dict((chosen or choices)[0].model_fields)


def _is_block(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tag(kind: type[BaseModel]) -> Any:
    return kind.model_fields["name"].default if "name" in kind.model_fields else None


def _wording(field: FieldInfo) -> str:
    """Return the expected value of a setting in words, from its description or its type."""
    if field.description:
        return field.description
    kind = field.annotation
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind in WORDING:
        return WORDING[kind]
    return ", or ".join(WORDING[choice] for choice in get_args(kind))
