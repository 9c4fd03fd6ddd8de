"""The command group `python -m spacy elmo`, with the error handling and the options that all
commands share."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import typer
from spacy.cli._util import Opt

from .errors import errors_as_sentences
from .messages import replaced_characters

Command = TypeVar("Command", bound=Callable[..., Any])
TRACEBACK = inspect.Parameter(
    "traceback",
    inspect.Parameter.KEYWORD_ONLY,
    default=Opt(False, "--traceback", help="Print the traceback of an error"),
    annotation=bool,
)


class ElmoGroup(typer.Typer):
    """A command group. Its commands replace characters that stdout cannot encode, report errors as
    one sentence, and have the option --traceback."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Command], Command]:
        """Register a function as a command.

        name (Optional[str]): The name of the command.
        settings (Any): Further arguments of `typer.Typer.command`.
        RETURNS (Callable): The decorator, which returns the function unchanged.
        """

        def register(function: Command) -> Command:
            @wraps(function)
            def run(*args: Any, traceback: bool, **kwargs: Any) -> None:
                with replaced_characters(), errors_as_sentences(traceback):
                    function(*args, **kwargs)

            signature = inspect.signature(function)
            params = [*signature.parameters.values(), TRACEBACK]
            run.__signature__ = signature.replace(parameters=params)  # type: ignore[attr-defined]
            run.__annotations__ = {**function.__annotations__, "traceback": bool}
            super(ElmoGroup, self).command(name, **settings)(run)
            return function

        return register
