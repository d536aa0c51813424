"""Every line in ASCII on its way to the terminal: Textual's own borders and scrollbars as well as ours."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.filter import LineFilter

from iotcache_tui.ascii_only import GLYPHS


class AsciiOnly(LineFilter):
    """Translates mark by mark; what comes from devices is left as it came."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(segment.text.isascii() for segment in segments):
            return segments
        return [Segment(text.translate(GLYPHS), style, control) for text, style, control in segments]


def draw_in_ascii(app: App[Any]) -> None:
    """From now on, on every screen of ``app``; doing it twice changes nothing."""
    if not any(isinstance(one, AsciiOnly) for one in app._filters):
        app._filters.append(AsciiOnly())
