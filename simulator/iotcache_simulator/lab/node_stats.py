"""Figures of the cache nodes themselves, asked over connections beside the readers' own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import structs

from iotcache.cluster.node_client import NodeClient
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError
from iotcache.tasks import end

WAIT_S: Final = 0.4
"""So long a look waits. A node that is later, as a busy machine makes all of them, counts in the next."""
_ANSWER_S: Final = 5.0
"""A node that has not answered by then is asked anew."""
_SMOOTH_S: Final = 3


class NodeCounts:
    """Sums over the nodes, and the share of the busiest."""

    def __init__(self, cache: CacheSettings, *, slabs: bool = False) -> None:
        """``slabs``: whether to ask for the slab classes as well, which only memcached itself has."""
        self._slabs = slabs
        self._cache = structs.replace(cache, connect_timeout_s=_ANSWER_S, operation_timeout_s=_ANSWER_S)
        self._asking: dict[str, asyncio.Task[_Answer | None]] = {}
        self._last: dict[str, _Answer] = {}
        self._gets: deque[dict[str, int]] = deque(maxlen=_SMOOTH_S)

    async def figures(self, nodes: Sequence[str]) -> dict[str, float | None]:
        """Rates since each node's last answer. One that does not answer counts with nothing."""
        for node in nodes:
            if node not in self._asking:
                self._asking[node] = asyncio.create_task(self._ask(node))
        await asyncio.wait([self._asking[node] for node in nodes], timeout=WAIT_S)
        evicted_per_s = 0.0
        gets: dict[str, int] = {}
        now: list[Mapping[str, int]] = []
        for node in nodes:
            if not self._asking[node].done():
                continue
            answer = self._asking.pop(node).result()
            if answer is None:
                self._last.pop(node, None)
                continue
            before = self._last.get(node, answer)
            self._last[node] = answer
            now.append(answer.stats)
            evicted = answer.stats.get("evictions", 0) - before.stats.get("evictions", 0)
            evicted_per_s += max(0, evicted) / max(answer.at_s - before.at_s, 1.0)
            gets[node] = max(0, _gets_of(answer.stats) - _gets_of(before.stats))
        if not now:
            return {}
        self._gets.append(gets)
        recent = {node: sum(second.get(node, 0) for second in self._gets) for node in nodes}
        total = sum(recent.values())
        idle = {"idle_memory_mb": sum(map(_idle_bytes, now)) / 2**20} if self._slabs else {}
        return {
            **idle,
            "evictions_per_s": evicted_per_s,
            "items": float(sum(stats.get("curr_items", 0) for stats in now)),
            "busiest_node_percent": 100.0 * max(recent.values()) / total if total else None,
        }

    async def close(self) -> None:
        """Ask no more."""
        await asyncio.gather(*map(end, self._asking.values()))
        self._asking.clear()

    async def _ask(self, node: str) -> _Answer | None:
        """The whole numbers among a node's statistics; ``None`` when it does not answer."""
        with contextlib.suppress(NodeError, TimeoutError):
            async with asyncio.timeout(_ANSWER_S), NodeClient(parse_node(node), self._cache) as client:
                stats = dict(await client.stats())
                if self._slabs:
                    stats |= await client.stats("slabs")
            known = {name: int(value) for name, value in stats.items() if value.isdigit()}
            return _Answer(time.monotonic(), known)
        return None


class _Answer(NamedTuple):
    at_s: float
    stats: Mapping[str, int]


def _gets_of(stats: Mapping[str, int]) -> int:
    return stats.get("get_hits", 0) + stats.get("get_misses", 0)


def _idle_bytes(stats: Mapping[str, int]) -> int:
    """What the slab classes hold in chunks that are free: pages that no other class can use."""
    classes = {name.partition(":")[0] for name in stats if name.endswith(":chunk_size")}
    return sum(stats[f"{one}:chunk_size"] * stats.get(f"{one}:free_chunks", 0) for one in classes)
