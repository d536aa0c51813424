"""Foreign text made harmless: what devices send never reaches a screen or a log as it came; and plurals."""

from __future__ import annotations

import unicodedata

# Categories with no glyph of their own, or which steer the terminal or the line's direction:
# controls (Cc: ESC, newline, NUL), formats (Cf: zero-width and bidi marks), surrogates, private use,
# unassigned, line and paragraph separators. Marks that enclose others, and marks without a letter before
# them, stack on neighbours and break columns.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me"})
_MARKS = frozenset({"Mn", "Mc"})
_MARKS_MOST = 4
"""Of one letter: Hindi and Thai need two or three."""
_SELECTORS = frozenset(chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
"""They change the width of what stands before them in some terminals."""


def printable(text: str, limit: int = 200) -> str:
    r"""``text`` on one line with every character that does not print written as ``\xNN`` or ``\uNNNN``.

    Marks that belong to a letter, as in Hindi and Thai, are shown with it; of blanks, the plain one alone.

    At most ``limit`` characters, the last one ``…`` when something was cut. Markup such as ``[bold]``
    is left as it is: widgets build their lines from segments and never parse foreign text.
    """
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    parts: list[str] = []
    size, marks = 0, _MARKS_MOST
    for char in text[: limit + 1]:
        kind = unicodedata.category(char)
        if kind in _MARKS:
            marks += 1
            shown = marks <= _MARKS_MOST and char not in _SELECTORS
        else:
            marks = 0 if kind[0] == "L" else _MARKS_MOST
            shown = char == " " or kind not in _HIDDEN
        piece = char if shown else _escape(char)
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


def figure(value: float) -> str:
    """Three digits and no exponent: ``0.707``, ``45``, ``5,400``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def plural(number: int, one: str, several: str = "") -> str:
    """A number and its noun: ``1 node``, ``3 nodes``; ``several`` is the plural that no ``s`` makes."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
