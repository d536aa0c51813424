"""What happened to one device."""

from __future__ import annotations

from typing import Final

from rich.segment import Segment

from iotcache.model import Severity
from tui.format import clock_text, fit, fit_parts
from tui.state.device_log import DeviceLog
from tui.widgets.event_log import EventLogView

KIND_CELLS: Final = 8


class DeviceLogView(EventLogView):
    """The log of events, of one device: its name is not said again on every line."""

    def __init__(self, view: DeviceLog, *, ascii_only: bool, id: str) -> None:
        super().__init__(view, ascii_only=ascii_only, id=id)
        self._of_device = view

    def draw_header(self, width: int) -> list[Segment]:
        place = self._subject_width(width)
        text = f"{'Time':8}   {fit('Kind', KIND_CELLS)} {fit('About', place)} What"
        return [Segment(fit(text, width), self.style_of("events--header"))]

    def _subject_width(self, width: int) -> int:
        return min(max((width - 8 - KIND_CELLS - 5) // 4, 11), 24)

    def draw_line(self, line: int, width: int) -> list[Segment]:
        entry, place = self.view.lines[line], self._subject_width(width)
        ground = self.style_of("events--row").background_style
        if entry.number == self.selected:
            cursor = "events--cursor" if self.has_focus else "events--cursor-blur"
            ground = self.style_of("events--row", cursor).background_style
        level = self.style_of(f"events--{entry.severity}")
        text = self.style_of("events--row") if entry.severity is Severity.INFO else level
        dim, subject = self.style_of("events--dim"), self.style_of("events--subject")
        rest = max(width - 8 - 3 - KIND_CELLS - 1 - place - 1, 0)
        return [
            Segment(clock_text(entry.wall_s) + " ", dim + ground),
            Segment(self._glyphs[entry.severity] + " ", level + ground),
            Segment(fit(entry.kind, KIND_CELLS) + " ", dim + ground),
            Segment(fit(self._of_device.place_of(entry), place) + " ", subject + ground),
            Segment(fit_parts(entry.text, rest), text + ground),
        ]

    def empty_text(self) -> str:
        return "no fallback, no alert of this device yet"
