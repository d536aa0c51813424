"""The sensors of one device: the fleet's table, without what is the same for all of them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from iotcache_tui.state.device.rows import DeviceRows
from iotcache_tui.widgets.fleet.fleet_table import FleetTable

_COLUMNS = ("state", "sensor", "value", "unit", "trend", "age", "ttl", "source", "hit", "reads", "node")


class SensorTable(FleetTable):
    """As high as it has lines, up to a bound."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Its value", show=False, key_display="↵", id="table.open")
    ]

    def __init__(self, rows: DeviceRows, *, id: str) -> None:
        super().__init__(rows, id=id)
        self.columns = _COLUMNS

    def grow(self, most: int) -> None:
        """Take the height that the lines need."""
        height = min(max(self.line_count(), 1), most) + self.HEADER_LINES
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
