"""Which screens there are, under which keys; each is imported when it is first shown."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from iotcache_tui.key_display import key_shown


class ScreenEntry(Struct, frozen=True):
    """One screen: ``place`` is ``module:class``."""

    key: str
    name: str
    title: str
    place: str
    what: str
    """For the palette and the help, in one line."""


SCREENS = (
    ScreenEntry(
        "1", "fleet", "Fleet", "iotcache_tui.screens.fleet.screen:FleetScreen",
        "Every series and its cache entry",
    ),
    ScreenEntry(
        "2", "device", "Device", "iotcache_tui.screens.device.screen:DeviceScreen",
        "One device in depth",
    ),
    ScreenEntry(
        "3", "nodes", "Nodes", "iotcache_tui.screens.nodes.screen:NodesScreen",
        "Every cache node, its load and memory",
    ),
    ScreenEntry(
        "4", "keys", "Keys", "iotcache_tui.screens.keys.screen:KeysScreen",
        "What lies in the nodes, key by key",
    ),
    ScreenEntry(
        "5", "flow", "Flow", "iotcache_tui.screens.flow:FlowScreen",
        "The pipeline, its rates and its bottleneck",
    ),
    ScreenEntry(
        "6", "lab", "Lab", "iotcache_tui.screens.lab:LabScreen",
        "Training scenarios and fault switches",
    ),
    ScreenEntry(
        "7", "events", "Events", "iotcache_tui.screens.events:EventsScreen",
        "Fallbacks, alerts, node changes",
    ),
    ScreenEntry(
        "8", "advisor", "Advisor", "iotcache_tui.screens.advisor:AdvisorScreen",
        "How much memory, which TTL, which keys",
    ),
)  # fmt: skip


def tabs_of(keys: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Key, name and title of each screen, with the user's own keys."""
    return tuple(
        (key_shown(keys, f"app.{entry.name}", entry.key), entry.name, entry.title) for entry in SCREENS
    )
