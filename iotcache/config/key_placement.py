"""Where settings make a process look for keys, as it tells others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from iotcache.config.schema import CacheSettings
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.published_stats import KeyPlacement


def key_placement(cache: CacheSettings) -> KeyPlacement | None:
    """The same for all processes that find each other's entries; ``None`` while nodes have no address."""
    if isinstance(cache.nodes, str):
        return None
    return placement_on(map(parse_node, cache.nodes), KeyPlacement(cache.placement, (), cache.prefix))


@overload
def placement_on(nodes: Iterable[NodeAddress], like: KeyPlacement) -> KeyPlacement: ...
@overload
def placement_on(nodes: Iterable[NodeAddress], like: KeyPlacement | None) -> KeyPlacement | None: ...
def placement_on(nodes: Iterable[NodeAddress], like: KeyPlacement | None) -> KeyPlacement | None:
    """``like`` on the ring of these nodes, as it is now."""
    if like is None:
        return None
    weighted = like.scheme == "ketama"
    texts = sorted(f"{node.ring_name or node.name}={node.weight if weighted else 1}" for node in nodes)
    return KeyPlacement(like.scheme, tuple(texts), like.prefix)
