"""Where settings make a process look for keys, as it tells others."""

from __future__ import annotations

from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.telemetry import KeyPlacement


def key_placement(cache: CacheSettings) -> KeyPlacement | None:
    """The same for all processes that find each other's entries; ``None`` while nodes have no address."""
    if isinstance(cache.nodes, str):
        return None
    weighted = cache.placement == "ketama"
    nodes = sorted(
        f"{node.ring_name or node.name}={node.weight if weighted else 1}"
        for node in map(parse_node, cache.nodes)
    )
    return KeyPlacement(cache.placement, tuple(nodes), cache.prefix)
