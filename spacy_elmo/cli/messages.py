"""What the commands print: messages and tables that any encoding of stdout can show."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wasabi import Printer
from wasabi.util import ICONS


class Messages(Printer):
    """wasabi's printer, which fails on encodings other than ASCII and UTF-8 when it adds an icon
    to a message. Here the icon is a part of the message."""

    def __init__(self) -> None:
        super().__init__(icons=dict.fromkeys(ICONS, ""))

    def text(self, title: Any = "", text: Any = "", *, icon: str | None = None, **style: Any):  # type: ignore[no-untyped-def, override]
        """Print a message; see wasabi's `Printer.text`."""
        if self.pretty and icon in ICONS:
            title = f"{ICONS[icon]} {title}"
        return super().text(title, text, icon=icon, **style)


msg = Messages()


@contextmanager
def replaced_characters() -> Iterator[None]:
    """Print "?" for each character that stdout or stderr cannot encode while the block runs,
    where Python would raise an error."""
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
