"""What happened to one device."""

from __future__ import annotations

from typing import ClassVar

from iotcache_tui.format import fit_parts
from iotcache_tui.state.device.log import DeviceLog
from iotcache_tui.state.log import LogEntry
from iotcache_tui.widgets.events.event_log import EventLogView


class DeviceLogView(EventLogView):
    """The log of events, of one device: its name is not said again on every line."""

    KIND_CELLS: ClassVar[int] = 8

    def __init__(self, view: DeviceLog, *, ascii_only: bool, id: str) -> None:
        super().__init__(view, ascii_only=ascii_only, id=id)
        self._of_device = view

    def _subject_width(self, width: int) -> int:
        return min(max((width - 8 - self.KIND_CELLS - 5) // 4, 11), 24)

    def _subject_of(self, entry: LogEntry) -> str:
        return self._of_device.line_of(entry)

    def _fit_text(self, entry: LogEntry, width: int) -> str:
        return fit_parts(entry.text, width)

    def empty_text(self) -> str:
        return "no fallback, no alert of this device yet"
