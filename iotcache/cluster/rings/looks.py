"""The ring record on the wire: looked for with the outage markers, put, and taken part in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from iotcache.cluster.rings.record import (
    RECORD_KEY,
    RECORD_TTL_S,
    RingRecord,
    addresses,
    decode_record,
    encode_record,
    floor_key,
)
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.wire.answers import ErrorReply, ItemReply
from iotcache.cluster.wire.facts import cas_of
from iotcache.cluster.wire.protocol import probe_request
from iotcache.errors import RingMismatch
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.cluster.rings.view import RingView
    from iotcache.cluster.wire.connection import Connection
    from iotcache.config.urls import NodeAddress

log = logging.getLogger(__name__)

_TRIES: Final = 4
_LEARN_S: Final = 0.2
"""Who takes part in another phase waits no longer for nodes that do not answer: they cannot be used."""

Replies = Sequence[ItemReply | ErrorReply]


class NodeLooks(Protocol):
    """What is needed of nodes; `iotcache.cluster.fence.Fences` has it."""

    observe: bool

    @property
    def votes(self) -> bool: ...
    def reach(self) -> list[int]: ...
    def renew_lease(self) -> None: ...
    async def look_at(self, indexes: Sequence[int]) -> None: ...
    async def ask(self, connection: Connection, requests: list[bytes]) -> list[ItemReply | ErrorReply]: ...


class Membership(Protocol):
    """What is told to the cluster client; `iotcache.cluster.members.Members` has it."""

    async def join(self, nodes: Sequence[NodeAddress], wait_s: float) -> None:
        """Connect to those that are new, and wait so long for them."""
        ...

    def switched(self, before: RingRecord | None) -> None:
        """The view goes by another record now."""
        ...

    def refuse(self, error: RingMismatch) -> None:
        """This client must not use the nodes."""
        ...


class RingLooks:
    """Brings the ring record from nodes into the view, and onto nodes that lack it."""

    def __init__(self, view: RingView, fences: NodeLooks, members: Membership) -> None:
        self.view = view
        self.takes_part = True
        """Without, this client looks for no record and goes by its own list, as other makes do."""
        self.driving = False
        """Whether this client carries a change out."""
        self._fences = fences
        self._members = members
        self._task: asyncio.Task[None] | None = None
        self._failed = ""
        """Why this client could not go by the newest record, when it last tried."""

    # Within a look ---------------------------------------------------------------------------

    def requests(self, index: int, *, touch: bool) -> list[bytes]:
        """What a look at node ``index`` asks for, to be given to `take`."""
        if not self.takes_part:
            return []
        view = self.view
        keys = [RECORD_KEY, *map(floor_key, view.floors_on(index))]
        if touch and view.newest is not None:
            return [b"mg %b c T%d\r\n" % (key, RECORD_TTL_S) for key in keys]
        return [probe_request(key) for key in keys]

    async def take(
        self, index: int, connection: Connection, sent: float, epochs: Sequence[int], replies: Replies
    ) -> None:
        """Take in the answers to `requests`; ``epochs`` are those asked for. Raises `NodeError`."""
        view, ask = self.view, partial(self._fences.ask, connection)
        if not self.takes_part:
            view.looked(index, sent, None, self._fences.reach())
            return
        for epoch, reply in zip(epochs, replies[1:], strict=True):
            cas = cas_of(reply)
            if not cas and not self._fences.observe:
                # Evicted, or the node has restarted: what lies below it must not be found.
                cas = await self._put_floor(connection, epoch, again=True)
            view.note_floor(index, epoch, cas, sent)
        cas = cas_of(replies[0])
        record = view.newest
        if not cas:
            record = None
        elif (connection, cas) != view.cas_on.get(index) or view.behind(index):
            (reply,) = await ask([b"mg %b v c u\r\n" % RECORD_KEY])
            cas = cas_of(reply)
            record = decode_record(reply.value) if cas and isinstance(reply, ItemReply) else None
        view.cas_on[index] = (connection, cas)
        newer = view.looked(index, sent, record, self._fences.reach())
        if newer or (view.newest is not view.record and view.refused is None):
            self._take_part()
        if view.behind(index) and (self._fences.votes or self.driving) and view.newest is not None:
            await self.put(index, connection, view.newest)

    async def put(self, index: int, connection: Connection, record: RingRecord) -> bool:
        """Put ``record`` on a node unless it has a newer one; whether it stands there. Raises `NodeError`."""
        value = encode_record(record)
        for _ in range(_TRIES):
            (reply,) = await self._fences.ask(connection, [b"mg %b v c\r\n" % RECORD_KEY])
            cas = cas_of(reply)
            if cas:
                assert isinstance(reply, ItemReply)
                there = decode_record(reply.value)
                if there is not None and there.rank == record.rank:
                    return True
                if there is not None and there.rank > record.rank:
                    return False
                extra = b"C%d" % cas
            else:
                extra = b"ME"
            request = b"ms %b %d c T%d %b\r\n%b\r\n" % (RECORD_KEY, len(value), RECORD_TTL_S, extra, value)
            (answer,) = await self._fences.ask(connection, [request])
            if cas_of(answer):
                return True
        return False

    async def put_floor(self, connection: Connection, epoch: int) -> bool:
        """Put the floor of ``epoch`` above all that a node holds. Raises `NodeError`."""
        return bool(await self._put_floor(connection, epoch, again=False))

    async def _put_floor(self, connection: Connection, epoch: int, *, again: bool) -> int:
        key, ask = floor_key(epoch), partial(self._fences.ask, connection)
        mode = b" ME" if again else b""
        (reply,) = await ask([b"ms %b 1 T%d c%b\r\n1\r\n" % (key, RECORD_TTL_S, mode)])
        if again and not cas_of(reply):
            (reply,) = await ask([probe_request(key)])
        return cas_of(reply)

    # Taking part -----------------------------------------------------------------------------

    def offer(self, record: RingRecord) -> None:
        """Take part in a record that this client has made."""
        newest = self.view.newest
        if newest is None or record.rank > newest.rank:
            self.view.newest = record
            self._take_part()

    def _take_part(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._go_by_newest())

    async def settled(self) -> None:
        """Wait until this client goes by the newest record it has seen."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _go_by_newest(self) -> None:
        try:
            await self._learn()
        except Exception as error:  # it uses no node until it can: the next look tries again
            text = f"{type(error).__name__}: {printable(str(error), 200)}"
            if text != self._failed:
                log.error("cannot go by the announced ring: %s", text)
            self._failed = text
        else:
            self._failed = ""

    async def _learn(self) -> None:
        view = self.view
        while (record := view.newest) is not None and record is not view.record:
            try:
                view.check(record)
            except RingMismatch as error:
                view.refused = error
                self._members.refuse(error)
                return
            wait_s = 0.0 if record.phase is RingPhase.INVITED else _LEARN_S
            nodes = [*addresses(record.present.nodes)]
            if record.change is not None:
                nodes += addresses(record.change.nodes)
            await self._members.join(nodes, wait_s)
            if view.learn(record):
                looks = [
                    asyncio.ensure_future(self._fences.look_at([index])) for index in self._fences.reach()
                ]
                if looks:
                    await asyncio.wait(looks, timeout=_LEARN_S)
                    for look in looks:
                        look.cancel()
            if view.newest is record:
                before = view.record
                view.switch(record)
                self._members.switched(before)
                self._fences.renew_lease()
