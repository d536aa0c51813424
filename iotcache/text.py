"""Foreign text made harmless: what devices send never reaches a screen or a log as it came."""

from __future__ import annotations

import unicodedata

# Categories with no glyph of their own, or which steer the terminal or the line's direction:
# controls (Cc: ESC, newline, NUL), formats (Cf: zero-width and bidi marks), surrogates, private use,
# unassigned, line and paragraph separators. Combining marks stack on neighbours and break columns.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me", "Mc"})


def printable(text: str, limit: int = 200) -> str:
    r"""``text`` on one line with every character that does not print written as ``\xNN`` or ``\uNNNN``.

    At most ``limit`` characters, the last one ``…`` when something was cut. Markup such as ``[bold]``
    is left as it is: widgets build their lines from segments and never parse foreign text.
    """
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    parts: list[str] = []
    size = 0
    for char in text[: limit + 1]:
        piece = char if char == " " or unicodedata.category(char) not in _HIDDEN else _escape(char)
        size += len(piece)
        if size > limit:
            parts.append("…")
            return "".join(parts)[: limit - 1] + "…" if limit > 0 else ""
        parts.append(piece)
    return "".join(parts)


def printable_bytes(raw: bytes, limit: int = 200) -> str:
    """Bytes of unknown meaning as text that is safe to show; invalid UTF-8 is escaped."""
    return printable(raw[: limit * 4].decode("utf-8", "backslashreplace"), limit)


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
