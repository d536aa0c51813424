"""What happened to one device."""

from __future__ import annotations

from tui.widgets.event_log import EventLogView


class DeviceLogView(EventLogView):
    """The log of events, of one device."""

    def empty_text(self) -> str:
        return "no fallback, no alert of this device yet"
