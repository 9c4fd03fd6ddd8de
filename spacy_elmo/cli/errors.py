"""Error reporting of the commands: one sentence on stderr and exit code 1, or a traceback."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from .messages import msg

PACKAGE = Path(__file__).parents[1]
# raised by this package, and by the system, for errors that the user can correct
EXPECTED = (ValueError, OSError, ImportError)


@contextmanager
def errors_as_sentences(show_traceback: bool = False) -> Iterator[None]:
    """Print errors that the user can correct as one sentence, and exit with code 1. Errors of other
    classes are bugs and are raised with their traceback.

    show_traceback (bool): Whether to raise all errors unchanged.
    RAISES (SystemExit): After an expected error. Any other error is raised unchanged.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk raises here rather than when Python exits
    except BrokenPipeError:
        raise  # the output is closed, as by `| head`; typer exits silently
    except EXPECTED as error:
        if show_traceback:
            raise
        with redirect_stdout(sys.stderr):
            msg.fail(str(error) or type(error).__name__)
            if not _is_ours(error):
                print("Give --traceback to print the traceback of this error.")
        raise SystemExit(1) from None


def _is_ours(error: BaseException) -> bool:
    """Return whether the innermost frame of an error's traceback is in this package."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE)
