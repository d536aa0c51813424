"""What the command palette finds by a few letters: devices of the fleet, contexts of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
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


class ContextProvider(Provider):
    """Goes on over the servers of another context."""

    def _choices(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        """Label, explanation and act of each that is not in force."""
        app = cast("DashboardContext", self.app)
        selected, known = app.contexts.selected, app.contexts.known
        if selected is not None:
            yield "Context: none", "The settings outside all contexts", lambda: app.switch_context("")
        for one in known:
            if selected is None or one.name != selected.name:
                yield (
                    f"Context {one.name}",
                    "Watch the servers of this context",
                    partial(app.switch_context, one.name),
                )

    async def discover(self) -> Hits:
        for label, text, act in self._choices():
            yield DiscoveryHit(Content(label), act, text=label, help=text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for label, text, act in self._choices():
            score = matcher.match(label)
            if score > 0:
                yield Hit(score, Content(label), act, text=label, help=text)
