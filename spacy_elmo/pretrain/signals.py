"""Handling SIGINT and SIGTERM without interrupting a training step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handle_stop_signals(handle: Callable[[int], None]) -> Iterator[None]:
    """Call a function for each SIGINT or SIGTERM within the context, instead of raising.

    Only the main thread can handle signals. In another thread nothing is changed.

    handle (Callable[[int], None]): Called with the number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: Any) -> None:
        handle(number)

    before: dict[int, Any] = {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            # None means a handler that was not installed from Python and cannot be restored
            signal.signal(number, signal.SIG_DFL if old is None else old)
