"""Plain sets while every node is up: the hot path of writing, with as few steps a key as Python allows.

What of a command depends on the key alone, or on length, life and flags alone, is remembered as bytes; the
pieces of all commands for a node are joined once. Nothing is awaited between the look at the nodes and the
last byte sent, and no task is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from iotcache.cluster.exchange import WINDOW_COMMANDS
from iotcache.cluster.router import MEMO_MAX, Router
from iotcache.cluster.types import Mode, SetItem
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.protocol import BARRIER

_MOST_BYTES: Final = 1 << 20
"""Of all values together; larger batches go in windows, so that not all of it is in memory twice."""
_TAILS_MAX: Final = 16_384


class SetsInFlight(NamedTuple):
    """One node's part of a burst, on its way."""

    owner: int
    positions: list[int]
    answers: StoreReplies
    done: asyncio.Future[float]


class SetPipeline:
    """Encodes and sends plain sets, each node's in one piece."""

    def __init__(self, router: Router, *, heads_max: int = MEMO_MAX, tails_max: int = _TAILS_MAX) -> None:
        """``heads_max``, ``tails_max``: how many pieces are remembered, up to one batch more."""
        self._router = router
        self._heads_max = heads_max
        self._tails_max = tails_max
        self._heads: dict[str, tuple[int, bytes]] = {}
        """By key: the owner's index, and the end of the last command with the begin of this one."""
        self._generation = router.generation
        self._tails: dict[tuple[int, int, int], bytes] = {}
        """By length, life and flags: the rest of the command's line."""

    @property
    def remembered(self) -> tuple[int, int]:
        """How many heads and tails are remembered."""
        return len(self._heads), len(self._tails)

    def send(self, items: Sequence[SetItem], timeout_s: float) -> list[SetsInFlight] | None:
        """Send ``items``, whose lives are relative; ``None``, and nothing sent, when they are no such burst.

        Raises `KeyFormatError`.
        """
        plain = Mode.SET
        if not self._router.all_up or [item for item in items if item.mode is not plain]:
            return None
        if self._generation != self._router.generation:
            self._generation = self._router.generation
            self._heads.clear()
        heads = self._heads_of(items)
        orders: list[list[int]] = [[] for _ in self._router.nodes]
        for at, (owner, _) in enumerate(heads):
            orders[owner].append(at)
        connections: list[tuple[int, Connection]] = []
        for index, order in enumerate(orders):
            connection = self._router.nodes[index].connection
            if not order:
                continue
            if connection is None or not connection.usable or not connection.has_room:
                return None
            if len(order) > WINDOW_COMMANDS:
                return None
            connections.append((index, connection))
        if sum([len(item.value) for item in items]) > _MOST_BYTES:
            return None
        flights = []
        for index, connection in connections:
            order = orders[index]
            answers = StoreReplies(len(order))
            request = self._encode(items, heads, order)
            flights.append(
                SetsInFlight(index, order, answers, connection.submit(request, answers, timeout_s))
            )
        return flights

    def _heads_of(self, items: Sequence[SetItem]) -> list[tuple[int, bytes]]:
        heads = self._heads
        try:
            return [heads[item.key] for item in items]
        except KeyError:
            if len(heads) > self._heads_max:
                heads.clear()
            for item in items:
                if item.key not in heads:
                    place = self._router.place(item.key)
                    heads[item.key] = (place.owner, b"\r\nms %b " % place.key)
            return [heads[item.key] for item in items]

    def _encode(
        self, items: Sequence[SetItem], heads: Sequence[tuple[int, bytes]], order: list[int]
    ) -> bytes:
        tails = self._tails
        known = tails.get
        pieces: list[bytes] = []
        for at in order:
            item = items[at]
            value = item.value
            sized = (len(value), item.ttl_s, item.flags)
            tail = known(sized)
            if tail is None:
                if len(tails) >= self._tails_max:
                    tails.clear()
                tail = tails[sized] = b"%d T%d F%d\r\n" % sized
            pieces += (heads[at][1], tail, value)
        pieces.append(b"\r\n" + BARRIER)
        return b"".join(pieces)[2:]
