"""The fence as an item on its node: put, kept from eviction, and put back.

What the node holds with a CAS unique at or below the item's does not count: see `iotcache.cluster.fence`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from iotcache.cluster.wire.answers import ErrorReply, ItemReply
from iotcache.cluster.wire.facts import cas_of
from iotcache.cluster.wire.protocol import probe_request

FENCE_KEY: Final = b"iotcache:fence"
FENCE_TTL_S: Final = 2_592_000
"""30 days, the longest relative TTL; by then hardly anything of before is alive."""

Ask = Callable[[list[bytes]], Awaitable[list[ItemReply | ErrorReply]]]
"""Sends commands to the node; see `iotcache.cluster.fence.Fences.ask`."""


def look_request() -> bytes:
    """Ask for the fence's CAS unique, and disturb nothing."""
    return probe_request(FENCE_KEY)


def keep_request() -> bytes:
    """As `look_request`, and keep it from being evicted: another 30 days, and the end of the LRU."""
    return b"mg %b c T%d\r\n" % (FENCE_KEY, FENCE_TTL_S)


async def put_fence(ask: Ask) -> int:
    """Put a fence above all that the node holds: its CAS unique; 0 where the node does not take it."""
    (reply,) = await ask([b"ms %b 1 T%d c\r\n1\r\n" % (FENCE_KEY, FENCE_TTL_S)])
    return cas_of(reply)


async def put_fence_back(ask: Ask) -> int:
    """The fence was evicted or flushed: what lies below it must not be found by those who start now."""
    await ask([b"ms %b 1 T%d ME\r\n1\r\n" % (FENCE_KEY, FENCE_TTL_S)])
    (reply,) = await ask([look_request()])
    return cas_of(reply)
