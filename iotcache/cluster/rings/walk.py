"""The walk through what the old owners have: entries are handed over though nobody asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from iotcache.clock import Clock
from iotcache.errors import NodeError
from iotcache.keys import MAX_KEY_BYTES

if TYPE_CHECKING:
    from iotcache.cluster.node_client import NodeClient
    from iotcache.cluster.rings.handover import HandOver
    from iotcache.cluster.rings.placed import PlacedRing
    from iotcache.cluster.router import Router
    from iotcache.config.urls import NodeAddress

_LOG = logging.getLogger(__name__)
_BATCH: Final = 256
_TRIES: Final = 3
_PAUSE_S: Final = 0.5
_SAMPLES: Final = 4_000
_OWN: Final = b"iotcache:"
"""What clients tell each other is the business of the node it is on."""


class RingWalk:
    """Walks through the nodes that lose keys, one after the other."""

    def __init__(
        self, router: Router, handover: HandOver, line: Callable[[NodeAddress], NodeClient], clock: Clock
    ) -> None:
        self._router = router
        self._handover = handover
        self._line = line
        self._monotonic = clock.monotonic
        self.walked = 0
        """Entries looked through."""
        self.to_walk = 0
        """Entries that the nodes which lose keys had when the walk began, and those looked through beyond."""
        self.keys_per_s = 20_000
        self.prefix = ""
        """Of the keys that are looked through; others' entries on the nodes are their own business."""

    async def run(self, old: PlacedRing, new: PlacedRing, on: Callable[[], bool]) -> None:
        """Hand over all that moves from ``old`` to ``new``, as long as ``on`` says so."""
        self.walked = 0
        nodes = losing(old, new)
        self.to_walk = sum([await self._entries(index) for index in nodes])
        for index in nodes:
            if not on():
                return
            node = self._router.nodes[index]
            for left in range(_TRIES, -1, -1):
                if not node.up or not on():
                    break  # what stands in for it is found by reads
                try:
                    await self._node(node.address, index, old, new, on)
                    break
                except NodeError as error:
                    if not left:
                        _LOG.warning("the walk through %s has ended early: %s", node.name, error)
                await asyncio.sleep(_PAUSE_S)

    async def _entries(self, index: int) -> int:
        """How many entries a node has; 0 where it does not say."""
        node = self._router.nodes[index]
        if not node.up:
            return 0
        try:
            async with self._line(node.address) as line:
                return int((await line.stats()).get("curr_items", "0"))
        except (NodeError, ValueError):
            return 0

    async def _node(
        self, address: NodeAddress, index: int, old: PlacedRing, new: PlacedRing, on: Callable[[], bool]
    ) -> None:
        began_s, passed, batch = self._monotonic(), 0, list[str]()
        async with self._line(address) as line:
            async for items in line.dump():
                for item in items:
                    self.walked += 1
                    self.to_walk = max(self.to_walk, self.walked)
                    key = _plain(item.key)
                    if key is None or not key.startswith(self.prefix):
                        continue
                    if old.owner(key) != index or new.owner(key) == index:
                        continue
                    batch.append(key)
                    if len(batch) < _BATCH:
                        continue
                    await self._handover.walk(batch)
                    passed += len(batch)
                    batch = []
                    ahead_s = began_s + passed / self.keys_per_s - self._monotonic()
                    if ahead_s > 0:
                        await asyncio.sleep(ahead_s)
                if not on():
                    return
        if batch:
            await self._handover.walk(batch)


def _plain(key: bytes) -> str | None:
    """A key that a client of ours can have set."""
    if key.startswith(_OWN) or not 0 < len(key) <= MAX_KEY_BYTES:
        return None
    return key.decode("ascii") if all(0x21 <= byte <= 0x7E for byte in key) else None


def losing(old: PlacedRing, new: PlacedRing) -> list[int]:
    """The nodes that own keys on ``old`` which others own on ``new``, by a sample of keys."""
    keys = [f"sample:{number}" for number in range(_SAMPLES)]
    return sorted({old.owner(key) for key in keys if old.owner(key) != new.owner(key)})
