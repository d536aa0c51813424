"""Keeps the node statistics that tell one miss reason from another, off the path of hits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from iotcache.cache.budget import Budget
from iotcache.clock import Clock
from iotcache.errors import IotCacheError
from iotcache.misses import NodeFacts, NodeHistory
from iotcache.model import NodeState

if TYPE_CHECKING:
    from iotcache.cluster import Cluster

MISS_POLLS_PER_S: Final = 10
"""A miss is judged by statistics polled after its read began, but where more misses than this come: then by
statistics no older than `FRESH_S`, unless the nodes are slow to give them."""
FRESH_S: Final = 0.1
LOOKING_POLLS_PER_S: Final = 1
LOOKING_FRESH_S: Final = 0.5
"""As above, for who puts nothing back: what it misses once it misses at every look, so that most of its reads
may be misses for as long as it looks on, and a node that is somebody else's is to be asked seldom."""
REFRESH_TIMEOUT_S: Final = 0.3
"""The longest that a miss waits for statistics; its store read runs meanwhile."""
POLL_EVERY_S: Final = 2.0
BUNDLED_SUFFIX: Final = "-iotcache"
HEAD_START_S: Final = 2.0
"""memcached counts its uptime from two seconds before its start (``process_started`` in memcached.c); the
bundled node does not."""


class NodeFactsCache:
    """Polls ``stats`` of every node: every `POLL_EVERY_S` while the cache is read, at once for a miss."""

    def __init__(self, cluster: Cluster, clock: Clock, *, looks_only: bool = False) -> None:
        """``looks_only``: the cache puts nothing back, and asks the nodes three times a second at most."""
        self._fresh_s = LOOKING_FRESH_S if looks_only else FRESH_S
        self._cluster = cluster
        self._clock = clock
        self._histories: dict[str, NodeHistory] = {}
        self._miss_polls = Budget(LOOKING_POLLS_PER_S if looks_only else MISS_POLLS_PER_S, clock)
        self._polled_s = -1e9
        self._changes: tuple[float, ...] = ()
        self._poll: asyncio.Task[None] | None = None

    def history(self, node: str) -> NodeHistory | None:
        return self._histories.get(node)

    def nudge(self) -> None:
        """Start a poll when the last one is some time ago; does not wait."""
        if self._clock.monotonic() - self._polled_s > POLL_EVERY_S:
            self._start()

    async def refresh(self, began_s: float) -> None:
        """Return with statistics for a read that began then, or without after `REFRESH_TIMEOUT_S`."""
        health = self._cluster.health()
        now_s = self._clock.now()
        for node in health:
            if node.state in (NodeState.DOWN, NodeState.PROBING):
                self._histories.setdefault(node.name, NodeHistory()).note_out(now_s)
        changes = tuple(node.since_s for node in health)
        if changes == self._changes:
            if self._polled_s >= began_s:
                return
            if self._clock.monotonic() - self._polled_s < self._fresh_s and not self._miss_polls.take(1):
                return
        self._changes = changes
        await asyncio.wait({self._start()}, timeout=REFRESH_TIMEOUT_S)

    async def close(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.wait({self._poll})

    def _start(self) -> asyncio.Task[None]:
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._ask())
        return self._poll

    async def _ask(self) -> None:
        self._polled_s = self._clock.monotonic()
        with contextlib.suppress(IotCacheError):  # no statistics now: misses are judged by older ones
            for node, facts in (await self._facts()).items():
                self._histories.setdefault(node, NodeHistory()).add(facts)

    async def _facts(self) -> Mapping[str, NodeFacts]:
        now_s = self._clock.now()
        answers = await self._cluster.stats()
        facts = {}
        for node, stats in answers.items():
            head_s = 0.0 if stats.get("version", "").endswith(BUNDLED_SUFFIX) else HEAD_START_S
            try:
                facts[node] = NodeFacts(
                    at_s=now_s,
                    started_s=int(stats["time"]) - int(stats["uptime"]) + head_s,
                    pid=int(stats["pid"]),
                    evictions=int(stats["evictions"]) + int(stats.get("slab_reassign_evictions_nomem", 0)),
                    untouched=stats.get("total_items") == "0",
                    deletions=_deletions(stats),
                )
            except (KeyError, ValueError):
                continue  # a node that says less is judged with less
        return facts


def _deletions(stats: Mapping[str, str]) -> int | None:
    try:
        return int(stats["delete_hits"]) + int(stats["cmd_flush"])
    except (KeyError, ValueError):
        return None
