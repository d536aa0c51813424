"""Which parts a configuration names, and what of ours may run beside them.

Whoever names a server wants to look at it, or to use it: what writes to it starts only if asked for by name.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from iotcache.config.schema import Settings

PART_KEYS: Final = ("broker.url", "cache.nodes", "store.url")


class Writers(Struct, frozen=True):
    """What of ours writes readings: to the broker, the store and the nodes."""

    ingest: bool
    simulator: bool


def named_parts(settings: Settings) -> tuple[str, ...]:
    """The keys of the parts that are somebody's own: not "embedded"."""
    values = (settings.broker.url, settings.cache.nodes, settings.store.url)
    return tuple(
        key
        for key, value in zip(PART_KEYS, values, strict=True)
        if not (isinstance(value, str) and value.startswith("embedded"))
    )


def writers(settings: Settings) -> Writers:
    """What starts: all that writes where every part is embedded, else only what is switched on by name.

    Nothing where the dashboard is read-only and a part is named.
    """
    named = bool(named_parts(settings))
    if named and settings.dashboard.read_only is True:
        return Writers(ingest=False, simulator=False)
    return Writers(
        ingest=not named if settings.ingest.enabled == "auto" else settings.ingest.enabled,
        simulator=not named if settings.simulator.enabled == "auto" else settings.simulator.enabled,
    )


def observes(settings: Settings) -> bool:
    """Whether the dashboard only looks at the cache, and puts nothing back into it."""
    observe = settings.dashboard.observe
    return bool(named_parts(settings)) if observe == "auto" else observe
