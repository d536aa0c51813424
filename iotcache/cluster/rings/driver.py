"""Who carries a change of the ring out: each phase is put on all nodes and stands for a lease; then the next.

See the rules in `iotcache.cluster.rings.view`. The change itself is the record on the nodes: a client that
takes over goes on from there, and one that finds a higher record of another's stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from iotcache.cluster.outage import LEASE_S, Claim, heartbeat_key
from iotcache.cluster.rings.record import RingRecord, addresses, step
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.wire.answers import ErrorReply
from iotcache.cluster.wire.protocol import probe_request
from iotcache.errors import NodeError

if TYPE_CHECKING:
    from iotcache.cluster.fence import Fences
    from iotcache.cluster.rings.looks import RingLooks
    from iotcache.cluster.rings.walk import RingWalk

_PAUSE_S: Final = 0.04
_TOLD_BY_PRESENT: Final = (RingPhase.INVITED, RingPhase.ANNOUNCED, RingPhase.HANDING_OVER)
_JOIN_S: Final = 5.0
"""A node that joins must answer within so long."""
_KEEPER_S: Final = 0.25
_DEAD_S: Final = 1.0
"""A driver whose heartbeat is missed for so long is taken over from."""


class RingDriver:
    """Carries out a change: this client's own, or one whose driver has died."""

    def __init__(self, fences: Fences, looks: RingLooks, walk: RingWalk, rng: Random) -> None:
        self._fences = fences
        self._looks = looks
        self._walk = walk
        self._rng = rng
        self._view = looks.view
        self._monotonic = fences.monotonic
        self._keeper: asyncio.Task[None] | None = None
        self.busy = asyncio.Lock()
        """One change at a time, of the ring or of hot keys."""
        self.refused = ""
        """Why this client has undone a change itself."""

    def stamp(self) -> int:
        """What decides between two records written at once."""
        return self._rng.getrandbits(61)

    def start(self) -> None:
        """Begin to look after changes whose drivers die."""
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End it; a change under way is taken over by another client."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))

    # Carrying out ----------------------------------------------------------------------------

    async def carry_out(self, change: int) -> RingRecord:
        """Bring the change of this id to its end, or wait for another client to do so; the record then."""
        async with self.busy:
            try:
                while True:
                    record = self._view.newest
                    assert record is not None
                    under_way = record.change
                    if under_way is None or under_way.id != change:
                        return record
                    self._looks.driving = mine = under_way.driver.id == self._own.id
                    if not mine:
                        if await self._abandoned(record):
                            self._take_over(record)
                        else:
                            await asyncio.sleep(_KEEPER_S)
                    elif await self.stand(record):
                        await self._advance(record)
            finally:
                self._looks.driving = False

    async def spread(self, record: RingRecord) -> None:
        """Put the record that ends a change on all nodes, so that nobody has to find it out later."""
        async with self.busy:
            self._looks.driving = True
            try:
                await self.stand(record)
            finally:
                self._looks.driving = False

    @property
    def _own(self) -> Claim:
        return self._fences.declarations.own

    async def _advance(self, record: RingRecord) -> None:
        """From a phase that has stood for a lease to the next one."""
        change = record.change
        assert change is not None
        following = step(record, self.stamp())
        if change.phase is RingPhase.ANNOUNCED and not change.undo:
            fenced = await self.put_floors(record, change.epoch)
            if fenced is None or following.change is None:
                return
            following = replace(following, change=replace(following.change, fenced=fenced))
        elif change.phase is RingPhase.HANDING_OVER and not change.undo:
            old, new = self._view.fallback, self._view.read
            if old is not None:
                await self._walk.run(old, new, lambda: self._view.newest is record)
        if self._view.newest is record:
            self._looks.offer(following)

    async def stand(self, record: RingRecord) -> bool:
        """Put ``record`` on every node, and wait a lease; False when a newer one has come."""
        fences, view = self._fences, self._view
        since: float | None = None
        began = self._monotonic()
        present = addresses(record.present.nodes)
        known = {view.indexes[address.name] for address in present if address.name in view.indexes}
        undoing = record.change is not None and record.change.undo
        while view.newest is record:
            asked = self._monotonic()
            fences.last_write = asked  # whoever changes the ring has a vote
            await fences.look_at(fences.reach())
            now, reach = self._monotonic(), set(fences.reach())
            lacking = False
            for index in fences.active:
                if index not in reach and self._joins(record, index):
                    # Nothing of it is in use: it is waited for, and refused when it does not come.
                    if record.change is not None and record.change.undo:
                        continue
                    lacking = True
                    if now > began + _JOIN_S:
                        node = fences.nodes[index]
                        self.refused = f"{node.name} cannot be reached: {node.reason or 'no answer'}"
                        self.undo()
                        return False
                elif index in reach:
                    lacking |= view.found_at.get(index, asked - 1.0) < asked or view.behind(index)
                else:
                    fences.declarations.declare(index)
                    fences.declarations.wrote_past(index)
                    lacking |= not fences.declarations.established(index)
            if not reach & known and record.phase in _TOLD_BY_PRESENT and not undoing:
                # Who has not heard yet looks at nodes of the present ring alone: one of them has to tell it.
                invited = record.phase is RingPhase.INVITED
                lacking |= invited or now <= began + _JOIN_S
                if invited and now > began + _JOIN_S:
                    self.refused = "no node of the present ring answers, and its clients cannot be told"
                    self.undo()
                    return False
            if lacking or not reach:
                since = None
            elif since is None:
                since = now
            elif now >= since + LEASE_S * 1.02 and view.record is record:
                return True
            await asyncio.sleep(_PAUSE_S)
        return False

    def _joins(self, record: RingRecord, index: int) -> bool:
        """Whether a node is new to the ring and was never used yet."""
        name = self._fences.nodes[index].name
        present = {address.name for address in addresses(record.present.nodes)}
        return record.phase is RingPhase.INVITED and name not in present

    def undo(self) -> None:
        """Let the change under way go back."""
        record = self._view.newest
        change = record.change if record is not None else None
        if record is not None and change is not None and not change.undo:
            back = replace(change, undo=True)
            self._looks.offer(replace(record, seq=record.seq + 1, stamp=self.stamp(), change=back))

    async def put_floors(self, record: RingRecord, epoch: int) -> tuple[str, ...] | None:
        """Put the floor of ``epoch`` on every node that answers; their names, or ``None`` for another try."""
        fences, fenced = self._fences, list[str]()
        for index in fences.active:
            connection = fences.link(index)
            if connection is None:
                if not fences.declarations.established(index):
                    return None
                continue  # it is fenced as a whole before it is used again
            try:
                if not await self._looks.put_floor(connection, epoch):
                    return None
            except NodeError:
                return None
            fenced.append(fences.nodes[index].name)
        return tuple(fenced) if self._view.newest is record else None

    # A driver that has died --------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_KEEPER_S * (1.0 + self._rng.random()))
            record = self._view.newest
            change = record.change if record is not None else None
            if record is None or change is None or not self._fences.votes or self.busy.locked():
                continue
            if change.driver.id == self._own.id or await self._abandoned(record):
                if change.driver.id != self._own.id:
                    self._take_over(record)
                ended = await self.carry_out(change.id)
                if ended.change is None:
                    await self.spread(ended)

    def _take_over(self, record: RingRecord) -> None:
        change = record.change
        assert change is not None
        if self._view.newest is record:
            mine = replace(change, driver=self._own)
            self._looks.offer(replace(record, seq=record.seq + 1, stamp=self.stamp(), change=mine))

    async def _abandoned(self, record: RingRecord) -> bool:
        """Whether the driver's heartbeat is missed on all nodes, time and again."""
        change = record.change
        until = self._monotonic() + _DEAD_S
        while change is not None and self._view.newest is record:
            if await self._beats(change.driver.id):
                return False
            if self._monotonic() >= until:
                return bool(self._fences.reach())
            await asyncio.sleep(_KEEPER_S)
        return False

    async def _beats(self, client: int) -> bool:
        async def ask(index: int) -> bool:
            connection = self._fences.link(index)
            if connection is not None:
                with contextlib.suppress(NodeError):
                    (reply,) = await self._fences.ask(connection, [probe_request(heartbeat_key(client))])
                    return isinstance(reply, ErrorReply) or reply.line != b"EN"
            return False

        return any(await asyncio.gather(*(ask(index) for index in self._fences.reach())))
