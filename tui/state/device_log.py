"""What happened to one device: those entries of the log that are about its series."""

from __future__ import annotations

from collections.abc import Iterable

from tui.state.log import Entry, EventLog, LogView


class DeviceLog(LogView):
    """The fallbacks and alerts of some rows, and what names their device."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self._rows: frozenset[int] = frozenset()
        self._device = ""

    def about(self, device: str, rows: Iterable[int]) -> bool:
        """Show what concerns these rows of a device (its name safe to show); whether that is news."""
        wanted = frozenset(rows)
        if (device, wanted) == (self._device, self._rows):
            return False
        self._device, self._rows = device, wanted
        self.show()
        return True

    def _passes(self, entry: Entry) -> bool:
        ours = entry.row in self._rows or (
            bool(self._device)
            and (entry.subject == self._device or entry.subject.startswith(f"{self._device}:"))
        )
        return ours and super()._passes(entry)
