"""Command lines of the documentation: checked against the programs, and run."""

import argparse
import glob
import inspect
import re
import runpy
import sys
import typing
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from spacy.cli._util import app as spacy_app
from spacy.util import load_config, registry
from typer.main import get_command
from typer.models import ArgumentInfo, OptionInfo

ROOT = Path(__file__).parent.parent
OVERRIDE = re.compile(r"^--(\w+(?:\.\w+)+)$")


class Intercepted(Exception):
    """Raised instead of running a program.

    command (Optional[Callable]): The function of a typer program.
    """

    def __init__(self, command: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.command = command


@dataclass
class Syntax:
    """The options and arguments that a command accepts.

    flags (Set[str]): Options without a value.
    options (Set[str]): Options with a value.
    n_required (int): Number of required arguments.
    n_arguments (float): Maximum number of arguments.
    """

    flags: set[str] = field(default_factory=set)
    options: set[str] = field(default_factory=set)
    n_required: int = 0
    n_arguments: float = 0

    @classmethod
    def of(cls, command: Callable[..., Any]) -> "Syntax":
        """Read the syntax from the function of a typer command."""
        syntax = cls()
        hints = typing.get_type_hints(command, include_extras=True)
        for name, param in inspect.signature(command).parameters.items():
            hint = hints[name]
            type_, *metadata = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
            infos = [one for one in (param.default, *metadata) if hasattr(one, "param_decls")]
            info = infos[0] if infos else None
            if isinstance(info, OptionInfo):
                declared = info.param_decls or (f"--{name.replace('_', '-')}",)
                names = {part for one in declared for part in one.split("/")}
                (syntax.flags if type_ is bool else syntax.options).update(names)
            elif isinstance(info, ArgumentInfo):
                default = info.default if info is param.default else param.default
                syntax.n_required += default in (..., param.empty)
                many = typing.get_origin(type_) is list
                syntax.n_arguments += float("inf") if many else 1
        return syntax

    def check(self, words: list[str]) -> tuple[list[str], list[str]]:
        """Check the words after a command.

        words (List[str]): The words.
        RETURNS (Tuple[List[str], List[str]]): The arguments, and the overrides of settings.
        """
        arguments: list[str] = []
        overrides: list[str] = []
        rest = iter(words)
        for word in rest:
            override = OVERRIDE.match(word)
            if override or word in self.options:
                value = next(rest, None)
                assert value is not None, f"{word} has no value"
                overrides += [override[1]] if override else []
            elif word.startswith("-") and not word.lstrip("-").isdigit():
                assert word in self.flags, f"unknown option {word}"
            else:
                arguments.append(word)
        assert self.n_required <= len(arguments) <= self.n_arguments, words
        return arguments, overrides


def check_command(words: list[str], folder: Path) -> Path:
    """Check one command: that the program exists and accepts the words.

    words (List[str]): The command.
    folder (Path): The folder that it is run in.
    RETURNS (Path): The folder of the next command.
    RAISES (AssertionError): If the command would fail, or if there is no check for the program.
    """
    program, *args = [Path(words[0]).name, *words[1:]]
    if program == "cd":
        assert (folder / args[0]).is_dir(), args
        return folder / args[0]
    if program in ("python", "python3"):
        check_python(args, folder)
    elif program == "torchrun":
        check_python(args[args.index("-m") :], folder)
    elif program == "pip":
        check_pip(args)
    elif program == "pre-commit":
        assert (folder / ".pre-commit-config.yaml").is_file()
    elif program == "bash":
        assert (folder / args[0]).is_file(), args
    else:
        raise AssertionError(f"no check for the program {program}")
    return folder


def check_python(args: list[str], folder: Path) -> None:
    if args[0] != "-m":
        check_script(folder / args[0], args[1:], folder)
    elif args[1] == "spacy":
        check_spacy(args[2:], folder)
    elif args[1] == "pytest":
        check_pytest(args[2:])
    elif args[1] == "tests.fuzz":
        with intercept(args[2:]):
            runpy.run_module("tests.fuzz", run_name="__main__")
    else:
        assert args[1] == "venv", args


def check_spacy(args: list[str], folder: Path) -> None:
    registry.cli.get_all()
    group: Any = spacy_app
    name, *rest = args
    groups: list[Any] = spacy_app.registered_groups
    for one in groups:
        if name in (one.name, one.typer_instance.info.name):
            group = one.typer_instance
            name, *rest = rest
            break
    commands = {one.name: one for one in group.registered_commands}
    assert name in commands, f"no command {args}"
    settings = commands[name].context_settings or {}
    arguments, overrides = Syntax.of(commands[name].callback).check(rest)
    assert not overrides or settings.get("allow_extra_args"), args
    if arguments[0].endswith(".cfg"):
        check_overrides(folder / arguments[0], overrides)


def check_overrides(path: Path, overrides: list[str]) -> None:
    """Check that a config exists and has the settings."""
    assert path.is_file(), f"no {path}"
    for override in overrides:
        block: Any = load_config(path)
        for name in override.split("."):
            assert name in block, f"{path.name} has no setting {override}"
            block = block[name]


def check_script(script: Path, args: list[str], folder: Path) -> None:
    script = script / "__main__.py" if script.is_dir() else script
    assert script.is_file(), f"no script {script}"
    if script == ROOT / "make.py":
        assert args[0] in runpy.run_path(str(script))["TASKS"], args
    elif script.parent != ROOT / "examples":
        with sibling_imports(script.parent), intercept(args) as intercepted:
            runpy.run_path(str(script), run_name="__main__")
        if intercepted:
            arguments, overrides = Syntax.of(intercepted[0]).check(args)
            if script.name == "fine_tune.py":
                check_overrides(ROOT / "configs" / f"{arguments[0]}_elmo.cfg", overrides)


def check_pytest(args: list[str]) -> None:
    config = (ROOT / "pyproject.toml").read_text("utf8")
    for option, value in zip(args, [*args[1:], ""]):
        if option == "-m":
            assert f'"{value.split()[-1]}:' in config, f"no marker {value}"
        elif option.startswith("tests/"):
            assert (ROOT / option.split("::")[0]).exists(), f"no {option}"


def check_pip(args: list[str]) -> None:
    assert args[0] in ("install", "wheel"), args
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    for word in args:
        for extra in re.findall(r"^\.\[(.*)\]$", word):
            assert set(extra.split(",")) <= set(config["options.extras_require"]), extra
        if word.endswith(".txt"):
            assert (ROOT / word).is_file(), word


@contextmanager
def intercept(args: list[str]) -> Iterator[list[Callable[..., Any]]]:
    """Stop programs when they have parsed their arguments.

    args (List[str]): The arguments.
    YIELDS (List[Callable]): A list to which the function of a typer program is added. A typer
        program is stopped before it parses its arguments.
    """
    parse = argparse.ArgumentParser.parse_args
    found: list[Callable[..., Any]] = []

    def parse_and_stop(self: Any, *_: Any) -> None:
        parse(self, args)
        raise Intercepted

    def stop(command: Callable[..., Any]) -> None:
        raise Intercepted(command)

    def call_app(self: typer.Typer) -> None:
        raise Intercepted(self.registered_commands[0].callback)

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        mock.patch.object(typer, "run", stop),
        mock.patch.object(typer.Typer, "__call__", call_app),
    ):
        try:
            yield found
        except Intercepted as intercepted:
            found += [intercepted.command] if intercepted.command else []
        except SystemExit as error:
            raise AssertionError(f"the arguments {args} are refused") from error
        else:
            raise AssertionError("the program ran without reading its arguments")


@contextmanager
def sibling_imports(folder: Path) -> Iterator[None]:
    """Make the modules in the folder of a script importable, and unload them afterwards."""
    before = set(sys.modules)
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
            del sys.modules[name]


def run_command(words: list[str]) -> None:
    """Run a command of spaCy in this process, in the current directory.

    words (List[str]): The words of the command, without quotes.
    """
    assert words[:3] == ["python", "-m", "spacy"], f"{words} is not run: mark its block"
    args = [path for word in words[3:] for path in expand(word)]
    registry.cli.get_all()
    result = get_command(spacy_app).main(args, prog_name="python -m spacy", standalone_mode=False)
    assert not result or not isinstance(result, int), f"exit code {result} of {words}"


def expand(word: str) -> list[str]:
    """Expand a pattern that ends in "*_conll", as the shell does. In the documentation, all other
    patterns are quoted: the commands expand them."""
    return sorted(glob.glob(word)) if word.endswith("*_conll") else [word]
