"""What the command palette finds by a few letters of a device's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.command import Hit, Hits, Provider
from textual.content import Content

if TYPE_CHECKING:
    from iotcache_tui.screens.context import DashboardContext

HITS_MOST = 40
FUZZY_MOST = 5_000
"""Names that are compared letter by letter; of a larger fleet those that hold the letters in one piece."""


class DeviceProvider(Provider):
    """Opens the Device screen."""

    async def startup(self) -> None:
        fleet = cast("DashboardContext", self.app).state.fleet
        rows: dict[str, int] = {}
        for row, device in enumerate(fleet.device):
            rows.setdefault(device, row)
        self._rows = rows

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        wanted = query.casefold()
        near = [device for device in self._rows if wanted in device.casefold()]
        names = near if len(self._rows) > FUZZY_MOST or len(near) >= HITS_MOST else list(self._rows)
        hits = 0
        for device in names:
            score = matcher.match(device)
            if score > 0:
                row = self._rows[device]
                # A name is text, whatever brackets are in it.
                yield Hit(score, Content(device), lambda row=row: self._open(row), text=device, help="Device")
                hits += 1
                if hits >= HITS_MOST:
                    return

    def _open(self, row: int) -> None:
        context = cast("DashboardContext", self.app)
        context.selected_row = row
        context.show_screen("device")
