"""Error reporting of the commands, with and without --traceback."""

import os
import subprocess
import sys

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

from spacy_elmo.cli import elmo_app, info
from spacy_elmo.cli.group import ElmoGroup

pytestmark = pytest.mark.slow

COMMANDS = [command.name for command in elmo_app.registered_commands]


def fail(monkeypatch, error, *args):
    def raise_it(*args):
        raise error

    monkeypatch.setattr(info, "info", raise_it)
    return CliRunner().invoke(app, ["elmo", "info", "x", *args])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_option_traceback(name):
    help_text = CliRunner().invoke(app, ["elmo", name, "--help"]).output
    assert help_text.count("--traceback") == 1


@pytest.mark.parametrize("error", [ValueError("Too long."), OSError("Full."), ImportError("No.")])
def test_expected_errors_are_sentences_on_stderr(monkeypatch, error):
    result = fail(monkeypatch, error)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert str(error) in result.stderr and not result.stdout


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), AttributeError("x")])
def test_unexpected_errors_keep_their_traceback(monkeypatch, error):
    assert fail(monkeypatch, error).exception is error


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), TypeError("x")])
def test_traceback_raises_the_original_error(monkeypatch, error):
    result = fail(monkeypatch, error, "--traceback")
    assert result.exit_code == 1 and result.exception is error


def test_errors_of_libraries_mention_the_option_traceback(monkeypatch):
    # this file is not part of the package
    assert "--traceback" in fail(monkeypatch, ValueError("shapes do not match")).stderr


def test_errors_of_the_package_do_not_mention_the_option():
    result = CliRunner().invoke(app, ["elmo", "info", "nothing/there"])
    assert "--traceback" not in result.stderr and "nothing/there" in result.stderr


def test_the_decorator_returns_the_function():
    group = ElmoGroup()

    @group.command("twice")
    def twice(number: int = 1) -> int:
        return 2 * number

    assert twice(3) == 6


@pytest.mark.parametrize("command", ["info en_small", "info en_small --json", "nothing --help"])
@pytest.mark.skipif(os.name == "nt", reason="needs a shell with pipes")
def test_a_closed_pipe_is_silent(command):
    line = f"{sys.executable} -m spacy elmo {command} | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
