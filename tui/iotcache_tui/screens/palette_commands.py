"""What the command palette offers of the Fleet and Nodes screens, from any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from textual.app import SystemCommand

from iotcache.text import printable
from iotcache_tui.screens.fleet.screen import FleetScreen

if TYPE_CHECKING:
    from iotcache_tui.screens.context import DashboardContext
    from iotcache_tui.screens.view import ViewScreen

SITES_MOST: Final = 200
"""Of the sites that are offered."""


def commands_elsewhere(
    context: DashboardContext, view: Callable[[str], ViewScreen]
) -> Iterator[SystemCommand]:
    """``view`` has the screen of a name in the catalogue."""

    def on_fleet(act: Callable[[FleetScreen], None]) -> None:
        context.show_screen("fleet")
        screen = view("fleet")
        if isinstance(screen, FleetScreen):
            screen.call_after_refresh(act, screen)

    def to_drain() -> None:
        context.show_screen("nodes")
        screen = view("nodes")
        screen.call_after_refresh(screen.run_action, "drain")

    for group, title in (("site", "by site"), ("class", "by class"), ("", "not at all")):
        yield SystemCommand(
            f"Group the fleet {title}", "Headings with sums over the fleet's table",
            lambda group=group: on_fleet(lambda screen: screen.group_by(group)),
        )  # fmt: skip
    yield SystemCommand(
        "Columns of the fleet", "Choose and order them", lambda: on_fleet(FleetScreen.action_columns)
    )
    for site in list(context.state.fleet.sites)[:SITES_MOST]:
        shown = printable(site, 60)
        yield SystemCommand(
            f"Site {shown}".replace("[", "\\["), "Only the devices of this site",
            lambda site=site: on_fleet(lambda screen: screen.filter_by(f'site:"{site}"')),
        )  # fmt: skip
    if not context.read_only:
        yield SystemCommand("Drain or rejoin a node", "On the Nodes screen, asked for first", to_drain)
