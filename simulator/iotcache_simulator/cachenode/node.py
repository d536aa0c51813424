"""What all conversations with a node share: its items, its counters, its clock and its settings."""

from __future__ import annotations

import os
from collections.abc import Callable

from iotcache_simulator.cachenode.memory.counters import NodeCounters
from iotcache_simulator.cachenode.memory.items import Items

MIB = 1 << 20


class BundledNode:
    """The cache behind every connection. ``clock`` gives epoch seconds and is read once a batch."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        limit_bytes: int = 64 * MIB,
        max_item_bytes: int = MIB,
        max_connections: int = 1024,
    ) -> None:
        self._clock = clock
        self.counters = NodeCounters()
        self.items = Items(self.counters, limit_bytes=limit_bytes, max_item_bytes=max_item_bytes, now=clock())
        self.started_at = self.items.now
        self.max_connections = max_connections
        self.connections = 0
        self.connections_ended = 0
        self.listening = ("", 0)
        """Interface and port, for ``stats settings``."""
        self.verbosity = 0
        self.pid = os.getpid()

    def tick(self) -> None:
        """Let the items see the time."""
        self.items.advance(self._clock())

    def reset_counters(self) -> None:
        """What ``stats reset`` does: counters go, what is held stays."""
        self.items.counters = self.counters = NodeCounters()
        self.items.slabs.reset()
