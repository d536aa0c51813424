"""Copies to the clipboard of whoever sits at the terminal: OSC 52, through tmux and SSH."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Final

from textual.app import App

MOST_CHARACTERS: Final = 50_000
"""Terminals drop longer ones (xterm's limit is 100,000 bytes, in base64)."""


def copy(app: App[object], text: str) -> None:
    """Copy ``text``, which is safe to paste: escape foreign text before."""
    cut = text[:MOST_CHARACTERS]
    app.copy_to_clipboard(cut)
    driver = app._driver
    if driver is not None and os.environ.get("TMUX"):
        # tmux keeps an application's OSC 52 to itself unless it is told to pass it on.
        driver.write(tmux_passed(cut))


def tmux_passed(text: str) -> str:
    """The sequence wrapped for tmux's ``allow-passthrough``; every escape in it is doubled."""
    packed = b64encode(text.encode()).decode("ascii")
    return f"\x1bPtmux;\x1b\x1b]52;c;{packed}\x07\x1b\\"
