"""The series of one device, as a view of the fleet."""

from __future__ import annotations

from iotcache_tui.state.device.model import SENSORS_MOST
from iotcache_tui.state.fleet.fleet_state import FleetState
from iotcache_tui.state.fleet.view import SORTS, FleetView


class DeviceRows(FleetView):
    """The rows of one device, by sensor unless sorted otherwise."""

    def __init__(self, fleet: FleetState) -> None:
        super().__init__(fleet)
        self.sort = "sensor"
        self.device: str | None = None
        self._rows: list[int] = []

    def show(self, device: str | None) -> None:
        """Another device, by its real name."""
        self.device = device
        self._known = 0
        self._rows = []
        self.append_joined()
        self.rebuild()

    def append_joined(self) -> bool:
        series, known = self.fleet.series, self._known
        if known == len(series):
            return False
        if known > len(series):  # a replay went back
            self._rows, known = [], 0
        self._known = len(series)
        fresh = [row for row in range(known, len(series)) if series[row].device == self.device]
        self._rows = [*self._rows, *fresh][:SENSORS_MOST]
        if fresh:
            self.rebuild()
        return bool(fresh)

    def rebuild(self) -> None:
        fleet, key = self.fleet, SORTS[self.sort]
        fleet.settle(self._rows)
        self.order = sorted(self._rows, key=lambda row: key(fleet, row), reverse=self.reverse)
        self.lines = self.order
        self._position = {line: position for position, line in enumerate(self.lines)}
        if self.selected not in self._position:
            self.selected = None
