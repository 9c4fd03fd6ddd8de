"""Being asked to stop: SIGINT and SIGTERM are noted instead of ending a step in its middle."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted_signals(note: Callable[[int], None]) -> Iterator[None]:
    """Call `note` with the number of each SIGINT or SIGTERM while the block runs.

    Only the main thread may handle signals: in another one they end the process as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: Any) -> None:
        note(number)

    before: dict[int, Any] = {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            # None for a handler that was not installed from Python, which cannot be restored
            signal.signal(number, signal.SIG_DFL if old is None else old)
