"""How commands fail: one sentence on stderr and exit code 1; a traceback on request."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from .messages import msg

PACKAGE = Path(__file__).parents[1]
# what our own code raises, and the system, for what a user can do something about
EXPECTED = (ValueError, OSError, ImportError)


@contextmanager
def errors_as_sentences(show_traceback: bool = False) -> Iterator[None]:
    """Print the errors that a user can do something about, and exit. Errors of other classes
    are faults of the program and keep their traceback.

    show_traceback (bool): Whether to raise all errors unchanged.
    RAISES: SystemExit after an expected error; any other error unchanged.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk is noticed here, not after the exit code is set
    except BrokenPipeError:
        raise  # nobody reads the output any more, as with `| head`: typer exits silently
    except EXPECTED as error:
        if show_traceback:
            raise
        with redirect_stdout(sys.stderr):
            msg.fail(str(error) or type(error).__name__)
            if not _is_ours(error):
                print("Give --traceback to see where this error comes from.")
        raise SystemExit(1) from None


def _is_ours(error: BaseException) -> bool:
    """RETURNS (bool): Whether the error was raised in this package, or in Python itself when
    this package called it."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE)
