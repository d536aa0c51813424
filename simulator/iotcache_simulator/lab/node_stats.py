"""Figures of the cache nodes themselves, asked over connections of our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

_TIMEOUT_S: Final = 0.4
_SMOOTH_S: Final = 3


async def say(node: str, line: str) -> str:
    """One command to a node (``host:port``), and the first line of its answer; empty when there is none."""
    host, _, port = node.rpartition(":")
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(line.encode("ascii") + b"\r\n")
                return (await reader.readline()).decode("ascii", "replace").strip()
            finally:
                writer.close()
    return ""


async def _stats(node: str) -> dict[str, int]:
    host, _, port = node.rpartition(":")
    found: dict[str, int] = {}
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"stats\r\n")
                while (line := await reader.readline()).startswith(b"STAT "):
                    _, name, value = line.split(maxsplit=2)
                    if value.strip().isdigit():
                        found[name.decode("ascii", "replace")] = int(value)
            finally:
                writer.close()
    return found


class NodeCounts:
    """Sums over the nodes, and the share of the busiest."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, int]] = {}
        self._gets: deque[dict[str, int]] = deque(maxlen=_SMOOTH_S)

    async def figures(self, nodes: Sequence[str]) -> dict[str, float | None]:
        """Since the last call. A node that does not answer counts with nothing."""
        answers = await asyncio.gather(*(_stats(node) for node in nodes))
        now = {node: stats for node, stats in zip(nodes, answers, strict=True) if stats}
        evicted = 0
        gets: dict[str, int] = {}
        for node, stats in now.items():
            before = self._before.get(node, stats)
            evicted += max(0, stats.get("evictions", 0) - before.get("evictions", 0))
            asked = _asked(stats) - _asked(before)
            gets[node] = max(0, asked)
        self._before = now
        self._gets.append(gets)
        lately = {node: sum(one.get(node, 0) for one in self._gets) for node in nodes}
        total = sum(lately.values())
        return {
            "evictions_per_s": float(evicted),
            "items": float(sum(stats.get("curr_items", 0) for stats in now.values())),
            "busiest_node_percent": 100.0 * max(lately.values()) / total if total else None,
        }


def _asked(stats: dict[str, int]) -> int:
    return stats.get("get_hits", 0) + stats.get("get_misses", 0)
