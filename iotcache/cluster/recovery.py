"""A node that answers again is made safe before it is used: see the rules in `iotcache.cluster.fence`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

from iotcache.cluster.fence import POLL_S, Fences
from iotcache.cluster.fence_item import put_fence
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.protocol import BARRIER, delete_request
from iotcache.errors import NodeError

_SETTLE_S: Final = 0.1
"""A node that wakes up works off what lies in its sockets within milliseconds; a fence waits for that."""
_ORPHAN_S: Final = 2.5
"""A client without a vote fences a node only when nobody else has done it for so long."""
_QUICK_POLL_S: Final = 0.04
_JOURNAL_MAX: Final = 100_000


class Recovery:
    """Brings nodes back."""

    def __init__(self, fences: Fences) -> None:
        self._fences = fences
        self._journal: dict[int, dict[bytes, None]] = {}
        """Keys to be deleted on a node before it is used: written past it, or refused."""

    def missed(self, owner: int, keys: Iterable[bytes]) -> None:
        """Note keys whose newest value ``owner`` does not have."""
        journal = self._journal.setdefault(owner, {})
        if len(journal) < _JOURNAL_MAX:
            journal.update(dict.fromkeys(keys))

    async def before_up(self, index: int, connection: Connection) -> None:
        """Make sure that nothing stale can be read from a node that answers. Raises `NodeError`."""
        fences = self._fences
        if fences.nodes[index].restarted:
            fences.floors[index] = 0
        await fences.look(index, connection)
        await fences.look_at(fences.reach())
        if index not in fences.suspect and not fences.marked(index):
            await self._delete_missed(index, connection)
            await fences.declarations.tidy(index)
            if fences.nodes[index].returns:  # a client that starts has nothing to do with what is marked
                await fences.declarations.renew_floors(index, connection)
            return
        # From here on what is written past the node goes to it as well; only then the claim is withdrawn.
        fences.returning[index] = connection
        fences.nodes[index].not_yet("another client cannot reach it, or could not")
        try:
            await self._make_safe(index, connection)
            await fences.declarations.tidy(index)
        except BaseException:
            fences.returning.pop(index, None)
            raise

    async def _make_safe(self, index: int, connection: Connection) -> None:
        fences, node = self._fences, self._fences.nodes[index]
        voted = fences.declarations.declares(index)
        await fences.declarations.withdraw(index)
        quiet_since = began = fences.monotonic()
        while True:
            if node.drained:
                raise NodeError(node.reason)
            asked = fences.monotonic()
            await fences.look(index, connection)  # it must go on answering
            await fences.look_at(fences.reach())
            now, votes = fences.monotonic(), voted or fences.votes
            if await fences.declarations.alive(index):
                quiet_since = fences.monotonic()
            elif (
                not fences.marked(index)
                and fences.floors[index] != fences.suspect.get(index)
                and fences.looked_since(asked, without=index)
            ):
                await self._delete_missed(index, connection)
                return  # somebody else has fenced it
            elif (
                not fences.observe
                and now
                >= max(
                    began + _SETTLE_S,
                    quiet_since + (0.0 if votes else _ORPHAN_S),
                    fences.marked_since.get(index, began) + LEASE_S + fences.timeout_s,
                )
                and await self._finish(index, connection)
            ):
                return
            await asyncio.sleep(_QUICK_POLL_S if votes else POLL_S)

    async def _finish(self, index: int, connection: Connection) -> bool:
        """Fence the node and remove its marker; False when somebody has claimed it to be out meanwhile."""
        fences = self._fences
        seen = {
            other: fences.markers[other][index].cas
            for other in fences.reach()
            if index in fences.markers[other]
        }
        await self._fence(index, connection)
        await self._delete_missed(index, connection)
        # Before anybody uses it: what stands in for nodes that have returned meanwhile is written no more.
        await fences.declarations.tidy(index)
        return await fences.declarations.remove(index, seen) and not fences.marked(index)

    async def _fence(self, index: int, connection: Connection) -> None:
        cas = await put_fence(partial(self._fences.ask, connection))
        if not cas:
            raise NodeError("the node does not take a fence against stale values")
        self._fences.floors[index] = cas

    async def _delete_missed(self, index: int, connection: Connection) -> None:
        """Also for readers that know nothing of fences."""
        keys = list(self._journal.get(index, ()))
        for start in range(0, len(keys), 1_024):
            window = keys[start : start + 1_024]
            answers = StoreReplies(len(window))
            await connection.submit(
                b"".join([*map(delete_request, window), BARRIER]), answers, self._fences.timeout_s
            )
        self._journal.pop(index, None)
