"""How commands fail: one sentence and exit code 1, no traceback."""

from contextlib import contextmanager
from typing import Iterator

from wasabi import msg


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Print the errors that a user can do something about, and exit."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        msg.fail(str(error) or type(error).__name__, exits=1)
