"""Figures of the cache nodes themselves, asked over connections beside the readers' own."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import structs

from iotcache.cluster.node_client import NodeClient
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError

TIMEOUT_S: Final = 0.4
"""A node that answers later is asked once more, then counts as silent: figures are taken once a second."""
_SMOOTH_S: Final = 3


class NodeCounts:
    """Sums over the nodes, and the share of the busiest."""

    def __init__(self, cache: CacheSettings, *, slabs: bool = False) -> None:
        """``slabs``: whether to ask for the slab classes as well, which only memcached itself has."""
        self._slabs = slabs
        self._cache = structs.replace(cache, connect_timeout_s=TIMEOUT_S, operation_timeout_s=TIMEOUT_S)
        self._before: dict[str, Mapping[str, int]] = {}
        self._gets: deque[dict[str, int]] = deque(maxlen=_SMOOTH_S)

    async def figures(self, nodes: Sequence[str]) -> dict[str, float | None]:
        """Since the last call. A node that does not answer counts with nothing."""
        answers = await asyncio.gather(*(self._stats(node) for node in nodes))
        now = {node: stats for node, stats in zip(nodes, answers, strict=True) if stats}
        evicted = 0
        gets: dict[str, int] = {}
        for node, stats in now.items():
            before = self._before.get(node, stats)
            evicted += max(0, stats.get("evictions", 0) - before.get("evictions", 0))
            gets[node] = max(0, _gets_of(stats) - _gets_of(before))
        self._before = now
        self._gets.append(gets)
        recent = {node: sum(second.get(node, 0) for second in self._gets) for node in nodes}
        total = sum(recent.values())
        idle = {"idle_memory_mb": sum(map(_idle_bytes, now.values())) / 2**20} if self._slabs and now else {}
        return {
            **idle,
            "evictions_per_s": float(evicted),
            "items": float(sum(stats.get("curr_items", 0) for stats in now.values())),
            "busiest_node_percent": 100.0 * max(recent.values()) / total if total else None,
        }

    async def _stats(self, node: str) -> Mapping[str, int]:
        """The whole numbers among a node's general statistics; empty when it does not answer in time.

        On a busy machine it is this program that is late, and the answer waits: hence the second try.
        """
        for _ in range(2):
            with contextlib.suppress(NodeError, TimeoutError):
                async with asyncio.timeout(TIMEOUT_S), NodeClient(parse_node(node), self._cache) as client:
                    stats = dict(await client.stats())
                    if self._slabs:
                        stats |= await client.stats("slabs")
                return {name: int(value) for name, value in stats.items() if value.isdigit()}
        return {}


def _gets_of(stats: Mapping[str, int]) -> int:
    return stats.get("get_hits", 0) + stats.get("get_misses", 0)


def _idle_bytes(stats: Mapping[str, int]) -> int:
    """What the slab classes hold in chunks that are free: pages that no other class can use."""
    classes = {name.partition(":")[0] for name in stats if name.endswith(":chunk_size")}
    return sum(stats[f"{one}:chunk_size"] * stats.get(f"{one}:free_chunks", 0) for one in classes)
