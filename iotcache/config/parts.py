"""Which parts a configuration names, which it does without, and what of ours may run beside them.

Whoever names a server wants to look at it, or to use it: what writes to it starts only if asked for by name.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from iotcache.config.schema import Settings

PART_KEYS: Final = ("broker.url", "cache.nodes", "store.url")
NONE: Final = "none"
"""The address of a part that there is not, and that nothing stands in for."""
OBSERVED_READS_PER_S: Final = 200


class Writers(Struct, frozen=True):
    """What of ours writes."""

    ingest: bool
    simulator: bool
    readers: bool
    """They put what they miss back into the nodes: of embedded ones only."""


def _addresses(settings: Settings) -> dict[str, str | tuple[str, ...]]:
    values = (settings.broker.url, settings.cache.nodes, settings.store.url)
    return dict(zip(PART_KEYS, values, strict=True))


def _embedded(value: str | tuple[str, ...]) -> bool:
    return isinstance(value, str) and value.startswith("embedded")


def named_parts(settings: Settings) -> tuple[str, ...]:
    """The keys of the parts that are somebody's own: neither "embedded" nor "none"."""
    return tuple(key for key, value in _addresses(settings).items() if value != NONE and not _embedded(value))


def absent_parts(settings: Settings) -> tuple[str, ...]:
    """The keys of the parts that are "none"."""
    return tuple(key for key, value in _addresses(settings).items() if value == NONE)


def _all_embedded(settings: Settings) -> bool:
    return all(map(_embedded, _addresses(settings).values()))


def writers(settings: Settings) -> Writers:
    """What starts: all that writes where every part is embedded, else only what is switched on by name.

    Nothing where the dashboard is read-only and a part is named.
    """
    ours = _all_embedded(settings)
    if not ours and settings.dashboard.read_only is True:
        return Writers(ingest=False, simulator=False, readers=False)
    ingest = ours if settings.ingest.enabled == "auto" else settings.ingest.enabled
    return Writers(
        ingest=ingest,
        simulator=ours if settings.simulator.enabled == "auto" else settings.simulator.enabled,
        readers=ingest and _embedded(settings.cache.nodes) and settings.simulator.reads_per_s > 0,
    )


def without_idle_parts(settings: Settings) -> Settings:
    """``settings`` with "none" for each embedded part that nothing of ours would fill or use.

    Beside servers of somebody's own an embedded broker without a fleet and a worker, or an embedded store and
    nodes without a worker, would stay empty for ever.
    """
    if _all_embedded(settings):
        return settings
    starting = writers(settings)
    broker, cache, store = settings.broker, settings.cache, settings.store
    if not starting.ingest:
        if _embedded(cache.nodes):
            cache = replace(cache, nodes=NONE)
        if _embedded(store.url):
            store = replace(store, url=NONE)
        if not starting.simulator and _embedded(broker.url):
            broker = replace(broker, url=NONE)
    return replace(settings, broker=broker, cache=cache, store=store)


def looks_per_s(settings: Settings) -> float:
    """Most reads a second that the dashboard makes: of somebody's own nodes only a sample of all series."""
    wanted = settings.dashboard.reads_per_s
    sampled = observes(settings) and "cache.nodes" in named_parts(settings)
    return min(wanted, OBSERVED_READS_PER_S) if sampled else wanted


def observes(settings: Settings) -> bool:
    """Whether the dashboard only looks at the cache, and puts nothing back into it.

    It does unless it is told to be a reader like any other; a read-only one always does.
    """
    dashboard = settings.dashboard
    return dashboard.read_only is True or dashboard.observe is not False
