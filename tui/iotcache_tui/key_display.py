"""A key as the screen writes it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.keys import format_key

_WORDS = {"↵": "Enter", "⏎": "Enter", "←": "Left", "→": "Right", "↑": "Up", "↓": "Down", "⌫": "Bksp"}


def key_text(shown: str, ascii_only: bool) -> str:
    """A key as the screen writes it; arrows and their like as words where only ASCII is to be drawn."""
    if not ascii_only or shown.isascii():
        return shown
    return "/".join(_WORDS.get(mark, mark) for mark in shown) if len(shown) < 3 else shown


def key_shown(keys: Mapping[str, str], act: str, default: str) -> str:
    """The first key of ``act`` by the user's ``keys``, as the footer writes it; else ``default``."""
    key = keys.get(act, "").split(",")[0].strip()
    if len(key) < 2:
        return key or default
    *modifiers, base = key.split("+")
    return "".join("^" if one == "ctrl" else f"{one}+" for one in modifiers) + format_key(base)
