"""The nodes of a cluster client, which may become more and fewer while it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.cluster.fence import Fences
from iotcache.cluster.node import Node
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.rings.record import RingRecord
from iotcache.cluster.router import Router
from iotcache.errors import RingMismatch
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_LOG = logging.getLogger(__name__)
_LEAVE_S: Final = 2.0 * LEASE_S
"""What was sent to a node before it left is answered by then."""


class Members:
    """Makes nodes that join, and ends those that have left."""

    def __init__(
        self,
        nodes: list[Node],
        router: Router,
        make: Callable[[NodeAddress], Node],
        switched: Callable[[RingRecord | None, RingRecord], None],
    ) -> None:
        self._nodes = nodes
        self._router = router
        self._fences: Fences = router.fences
        self._view = router.rings
        self._make = make
        self._switched = switched
        self._left: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, nodes: Sequence[NodeAddress], wait_s: float) -> None:
        """Connect to those of ``nodes`` that are new, and wait so long for them."""
        indexes, fresh = self._view.indexes, list[Node]()
        for address in nodes:
            if indexes.get(address.name) is None or indexes[address.name] in self._left:
                node = self._make(address)
                self._view.add_node(address.name, len(self._nodes))
                self._nodes.append(node)
                self._fences.add_node()
                fresh.append(node)
        if not fresh:
            return
        self._fences.ring_changed()
        for node in fresh:
            node.start()
        self._fences.start()
        if wait_s:
            waits = [asyncio.ensure_future(node.settled()) for node in fresh]
            await asyncio.wait(waits, timeout=wait_s)
            for waiting in waits:
                waiting.cancel()

    def switched(self, before: RingRecord | None) -> None:
        """The view goes by another record than ``before``."""
        fences = self._fences
        active_before = set(fences.active)
        fences.ring_changed()
        fences.start()
        record = self._view.record
        if before is None or record is None or (before.rings, before.change) != (record.rings, record.change):
            self._router.forget_places()
        self._router.changed()
        for index in active_before.difference(fences.active):
            self._left.add(index)
            task = asyncio.create_task(self._leave(index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._view.record is not None:
            self._switched(before, self._view.record)

    def refuse(self, error: RingMismatch) -> None:
        """This client must not use the nodes."""
        _LOG.error("%s", error)

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            await end(task)

    async def _leave(self, index: int) -> None:
        await asyncio.sleep(_LEAVE_S)
        await self._fences.leave(index)
        await self._nodes[index].close()
        self._fences.went_out(index, None, lost=False)
