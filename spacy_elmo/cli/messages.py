"""Printing messages and tables to stdout in any encoding."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wasabi.printer import Printer
from wasabi.util import ICONS


class Messages(Printer):
    """A wasabi printer whose icons can be printed in any encoding.

    wasabi fails on encodings other than ASCII and UTF-8 when it adds an icon to a message. Here the
    icon is part of the text, so that `replaced_characters` applies to it.
    """

    def __init__(self) -> None:
        super().__init__(icons=dict.fromkeys(ICONS, ""))

    def text(self, title: Any = "", text: Any = "", *args: Any, **settings: Any) -> Any:
        """Print a message; see wasabi's `Printer.text`."""
        icon = settings.get("icon")
        if self.pretty and icon in ICONS:
            title = f"{ICONS[icon]} {title}"
        return super().text(title, text, *args, **settings)


msg = Messages()


@contextmanager
def replaced_characters() -> Iterator[None]:
    """Print "?" for each character that stdout or stderr cannot encode, instead of raising an
    error, while the context is active."""
    streams = [s for s in (sys.stdout, sys.stderr) if hasattr(s, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        if stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before):
            if not stream.closed:
                stream.reconfigure(errors=errors)
