"""Being asked to stop: SIGINT and SIGTERM are noted instead of ending a step in its middle."""

import signal
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator


@contextmanager
def noted_signals(note: Callable[[int], None]) -> Iterator[None]:
    """Call `note` with the number of each SIGINT or SIGTERM while the block runs."""

    def handler(number: int, frame: Any) -> None:
        note(number)

    before: Dict[int, Any] = {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
