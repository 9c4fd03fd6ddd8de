"""How commands fail, and what --traceback shows."""

import os
import subprocess
import sys

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

from spacy_elmo.cli import elmo_app, info
from spacy_elmo.cli.group import ElmoGroup

COMMANDS = [command.name for command in elmo_app.registered_commands]


def fail(monkeypatch, error, *args):
    def raise_it(*args):
        raise error

    monkeypatch.setattr(info, "info", raise_it)
    return CliRunner().invoke(app, ["elmo", "info", "x", *args])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_tracebacks_on_request(name):
    help_text = CliRunner().invoke(app, ["elmo", name, "--help"]).output
    assert help_text.count("--traceback") == 1


@pytest.mark.parametrize("error", [ValueError("Too long."), OSError("Full."), ImportError("No.")])
def test_expected_errors_are_sentences_on_stderr(monkeypatch, error):
    result = fail(monkeypatch, error)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert str(error) in result.stderr and not result.stdout


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), AttributeError("x")])
def test_faults_of_the_program_keep_their_traceback(monkeypatch, error):
    assert fail(monkeypatch, error).exception is error


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), TypeError("x")])
def test_a_traceback_is_the_whole_of_it(monkeypatch, error):
    result = fail(monkeypatch, error, "--traceback")
    assert result.exit_code == 1 and result.exception is error


def test_errors_of_libraries_say_how_to_see_more(monkeypatch):
    # this file is not a part of the package
    assert "--traceback" in fail(monkeypatch, ValueError("shapes do not match")).stderr


def test_our_own_sentences_stand_alone():
    result = CliRunner().invoke(app, ["elmo", "info", "nothing/there"])
    assert "--traceback" not in result.stderr and "nothing/there" in result.stderr


def test_a_command_is_still_the_function():
    group = ElmoGroup()

    @group.command("twice")
    def twice(number: int = 1) -> int:
        return 2 * number

    assert twice(3) == 6


@pytest.mark.parametrize("command", ["info en_small", "info en_small --json", "nothing --help"])
@pytest.mark.skipif(os.name == "nt", reason="needs a shell with pipes")
def test_nobody_reads_the_output(command):
    line = f"{sys.executable} -m spacy elmo {command} | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
