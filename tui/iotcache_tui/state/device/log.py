"""What happened to one device: those entries of the log that are about its series."""

from __future__ import annotations

from collections.abc import Iterable

from iotcache.keys import escape
from iotcache.text import printable
from iotcache_tui.state.log import EventLog, LogEntry, LogView


class DeviceLog(LogView):
    """The fallbacks and alerts of some rows, and what names their device."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self._rows: frozenset[int] = frozenset()
        self._device = ""
        self._names: tuple[str, ...] = ()
        """As the log may write it: as it is, or as an alert's subject has it."""

    def about(self, device: str, rows: Iterable[int]) -> bool:
        """Show what concerns these rows of a device; whether that is news."""
        wanted = frozenset(rows)
        if (device, wanted) == (self._device, self._rows):
            return False
        self._device, self._rows = device, wanted
        self._names = (printable(device, 120), printable(escape(device), 120))
        self.show()
        return True

    def line_of(self, entry: LogEntry) -> str:
        """What of the device an entry is about: its subject without device name and ``:latest``."""
        for name in self._names:
            if entry.subject == name:
                return ""
            if entry.subject.startswith(f"{name}:"):
                return entry.subject[len(name) + 1 :].removesuffix(":latest")
        return entry.subject

    def _passes(self, entry: LogEntry) -> bool:
        ours = entry.row in self._rows or any(
            entry.subject == name or entry.subject.startswith(f"{name}:") for name in self._names
        )
        return ours and super()._passes(entry)
