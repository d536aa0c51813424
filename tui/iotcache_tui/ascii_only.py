"""The program's own marks in ASCII, each in one cell as before; for terminals that have no others."""

from __future__ import annotations

from typing import Final

_BOX: Final = "+"
_RAMP: Final = ".:-=+*##"


def _glyphs() -> dict[int, str]:
    table = {0x2500 + at: _BOX for at in range(0x80)}
    table |= dict.fromkeys(map(ord, "─━┄┅┈┉╌╍═╴╶╸╺╼╾"), "-")
    table |= dict.fromkeys(map(ord, "│┃┆┇┊┋╎╏║╵╷╹╻╽╿"), "|")
    table |= {ord("╱"): "/", ord("╲"): "\\", ord("╳"): "X"}
    table |= {0x2580 + at: "#" for at in range(0x20)}
    table |= {ord(glyph): _RAMP[at] for at, glyph in enumerate("▁▂▃▄▅▆▇█")}
    # Half and quarter blocks: borders and the ends of scrollbars.
    table |= dict.fromkeys(map(ord, "▌▐▏▎▍▕"), "|") | {ord("▔"): "-", ord("▀"): "-", ord("░"): "."}
    table |= {0x2800 + dots: " .::**###"[dots.bit_count()] for dots in range(0x100)}
    table |= dict.fromkeys(range(0x2190, 0x2200), ">")
    table |= dict.fromkeys(range(0x25A0, 0x2600), "*")
    marks = {
        "–": "-", "—": "-", "‐": "-", "‑": "-", "…": "~", "∞": "~", "·": "*", "•": "*", "●": "*", "◉": "@",
        "◆": "@", "○": "o", "◇": "o", "◌": "?", "◐": "o", "▲": "!", "△": "^", "▼": "v", "▽": "v", "▾": "v",
        "▴": "^", "▶": ">", "▸": ">", "▷": ">", "◀": "<", "◂": "<", "◁": "<", "←": "<", "→": ">", "↑": "^",
        "↓": "v", "↵": "J", "⏎": "J", "⌫": "<", "✓": "+", "✔": "+", "✗": "x", "✘": "x", "✕": "x", "×": "x",
        "≤": "<", "≥": ">", "±": "~", "‖": "=", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "⭘": "o",
        "❯": ">", "\N{NO-BREAK SPACE}": " ", "★": "*", "\N{BLACK CIRCLE FOR RECORD}": "*",
    }  # fmt: skip
    return table | {ord(mark): plain for mark, plain in marks.items()}


GLYPHS: Final = _glyphs()
"""For `str.translate`. Letters, units and whatever else comes from devices are not in it."""
