"""What the command palette offers on every screen: contexts, and acts of the Fleet and Nodes screens.

The palette sorts them by their titles; those of a provider of its own would come before or after all these,
as chance has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.app import SystemCommand

from iotcache.text import printable
from iotcache_tui.screens.fleet.screen import FleetScreen

if TYPE_CHECKING:
    from iotcache_tui.screens.context import DashboardContext
    from iotcache_tui.screens.view import ViewScreen

SITES_MOST: Final = 200
"""Of the sites that are offered."""


def context_commands(context: DashboardContext) -> Iterator[SystemCommand]:
    """To go on over the servers of another context of the configuration."""
    selected, known = context.contexts.selected, context.contexts.known
    if selected is not None:
        yield SystemCommand(
            "Context: none", "The settings outside all contexts", partial(context.switch_context, "")
        )
    for one in known:
        if selected is None or one.name != selected.name:
            yield SystemCommand(
                _title(f"Context {one.name}"), "Watch the servers of this context",
                partial(context.switch_context, one.name),
            )  # fmt: skip


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
        yield SystemCommand(
            _title(f"Site {site}"), "Only the devices of this site",
            lambda site=site: on_fleet(lambda screen: screen.filter_by(f'site:"{site}"')),
        )  # fmt: skip
    for title, what, act in (
        ("Watch", "Read the chosen rows on, on whatever screen; again, no longer", FleetScreen.action_watch),
        ("Mark", "Choose this row among others", FleetScreen.action_mark),
        *(() if context.read_only else (
            ("Warm", "Put the chosen rows back into the cache", FleetScreen.action_warm),
            ("Invalidate", "Delete the cache entries of the chosen rows", FleetScreen.action_invalidate),
        )),
    ):  # fmt: skip
        yield SystemCommand(f"{title} in the fleet", what, partial(on_fleet, act))
    if not context.read_only:
        yield SystemCommand("Drain or rejoin a node", "On the Nodes screen, asked for first", to_drain)


def _title(text: str) -> str:
    """Safe to show: a title is markup."""
    return printable(text, 65).replace("[", "\\[")
