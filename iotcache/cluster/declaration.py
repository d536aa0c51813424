"""What this client declares: its claims on other nodes that a node is out for it, and its heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from iotcache.cluster.outage import (
    HEARTBEAT_TTL_S,
    LEASE_S,
    MARKER_TTL_S,
    Claim,
    Marker,
    SeenMarker,
    decode_marker,
    encode_marker,
    heartbeat_key,
    with_claim,
    without_claim,
)
from iotcache.cluster.wire.answers import ErrorReply, ItemReply
from iotcache.cluster.wire.facts import cas_of
from iotcache.cluster.wire.protocol import expire_request, probe_request
from iotcache.errors import NodeError

if TYPE_CHECKING:
    from iotcache.cluster.wire.connection import Connection

_SURE_S: Final = 0.8
"""A heartbeat as young as this outlives any write past the node that starts now."""
_TRIES: Final = 4
_CLOSE_S: Final = 0.25
"""A client that closes waits no longer for its claims to be withdrawn; they end with its heartbeat."""


class MarkerView(Protocol):
    """What declarations need to know of nodes and markers; `iotcache.cluster.fence.Fences` has it."""

    observe: bool
    marker_keys: list[bytes]
    markers: list[dict[int, SeenMarker]]
    monotonic: Callable[[], float]

    def up(self) -> list[int]: ...
    def reach(self) -> list[int]: ...
    def link(self, index: int) -> Connection | None: ...
    def vouched(self, owner: int, *, without: int) -> bool: ...
    def outdate_looks(self, index: int) -> None: ...
    def note_marker(self, index: int, owner: int, marker: SeenMarker | None) -> None: ...
    async def look_at(self, indexes: Sequence[int]) -> None: ...
    async def ask(self, connection: Connection, requests: list[bytes]) -> list[ItemReply | ErrorReply]: ...


class _Declaration:
    """This client's word that a node is out."""

    __slots__ = ("confirmed", "last_write", "since", "task")

    def __init__(self, now: float) -> None:
        self.confirmed: dict[int, float] = {}
        """When the claim and the heartbeat were last known to stand, by the node they stand on."""
        self.since: float | None = None
        """Since when they have stood on every node that is up."""
        self.last_write = now
        self.task: asyncio.Task[None] | None = None


class Declarations:
    """This client's claims."""

    def __init__(self, fences: MarkerView, claim: Claim, *, keep_declared_s: float) -> None:
        self.keep_declared_s = keep_declared_s
        """So long after the last write past a node everything this client wrote elsewhere has expired."""
        self.own = claim
        self._fences = fences
        self._declared: dict[int, _Declaration] = {}

    def __bool__(self) -> bool:
        return bool(self._declared)

    def heartbeat(self) -> bytes:
        """The command that says that this client is alive."""
        return b"ms %b 1 T%d\r\n1\r\n" % (heartbeat_key(self.own.id), HEARTBEAT_TTL_S)

    def declares(self, owner: int) -> bool:
        """Whether this client has claimed ``owner`` to be out."""
        return owner in self._declared

    def established(self, owner: int) -> bool:
        """Whether everybody knows by now that ``owner`` is out, so that keys may be written past it."""
        declaration = self._declared.get(owner)
        if declaration is None or declaration.since is None:
            return False
        now = self._fences.monotonic()
        if now < declaration.since + LEASE_S:
            return False
        confirmed = declaration.confirmed
        return all(
            confirmed.get(index, 0.0) > now - _SURE_S for index in self._fences.reach() if index != owner
        )

    def declare(self, owner: int) -> asyncio.Task[None]:
        """Say that ``owner`` is out; the task ends when everybody knows, after about a lease."""
        now = self._fences.monotonic()
        declaration = self._declared.get(owner)
        if declaration is None:
            declaration = self._declared[owner] = _Declaration(now)
        declaration.last_write = now
        if declaration.task is None or declaration.task.done():
            declaration.task = asyncio.create_task(self._establish(owner, declaration))
        return declaration.task

    def wrote_past(self, owner: int) -> None:
        """A key of ``owner`` was written elsewhere."""
        declaration = self._declared.get(owner)
        if declaration is not None:
            declaration.last_write = self._fences.monotonic()

    async def _establish(self, owner: int, declaration: _Declaration) -> None:
        fences = self._fences
        for _ in range(_TRIES):
            await fences.look_at(fences.reach())
            if not fences.up() or self._declared.get(owner) is not declaration:
                return
            if not all(index in declaration.confirmed for index in fences.reach() if index != owner):
                continue
            if declaration.since is None:
                declaration.since = fences.monotonic()
            await asyncio.sleep(max(0.0, declaration.since + LEASE_S * 1.02 - fences.monotonic()))
            if self.established(owner):
                return

    # On one node -----------------------------------------------------------------------------

    async def claim(
        self, index: int, connection: Connection, owners: Sequence[int], sent: float, *, beat: bool
    ) -> None:
        """Put this client's claims on a node that was just looked at. Raises `NodeError`.

        ``beat``: the look has brought the heartbeat along.
        """
        for owner in owners:
            declaration = self._declared.get(owner)
            if declaration is None:
                continue
            marker = self._fences.markers[index].get(owner)
            # What is there already may be left from an outage before, as the node was out itself at its end.
            if index not in declaration.confirmed or marker is None or self.own not in marker.claims:
                if index in declaration.confirmed:
                    # It had gone, so others may have the node back: start over.
                    declaration.since = None
                    del declaration.confirmed[index]
                if not await self._put(index, owner, connection):
                    continue
                if index in self._fences.reach():
                    declaration.since = None  # it is known to everybody only from now on
            if not beat:
                await self._fences.ask(connection, [self.heartbeat()])
            declaration.confirmed[index] = sent

    async def _put(self, index: int, owner: int, connection: Connection) -> bool:
        fences, key = self._fences, self._fences.marker_keys[owner]
        first = encode_marker(Marker(0, (self.own,)))
        for _ in range(_TRIES):
            (reply,) = await fences.ask(connection, [b"mg %b v c T%d\r\n" % (key, MARKER_TTL_S)])
            cas = cas_of(reply)
            if cas:
                assert isinstance(reply, ItemReply)
                value = with_claim(decode_marker(reply.value, cas), self.own)
                request = b"ms %b %d c T%d C%d\r\n%b\r\n" % (key, len(value), MARKER_TTL_S, cas, value)
            else:
                value = first
                request = b"ms %b %d c T%d ME\r\n%b\r\n" % (key, len(value), MARKER_TTL_S, value)
            (put,) = await fences.ask(connection, [request])
            new = cas_of(put)
            if new:
                fences.note_marker(index, owner, decode_marker(value, new))
                return True
        return False

    # Withdrawing -----------------------------------------------------------------------------

    async def withdraw(self, owner: int) -> None:
        """Take this client's claim back; the marker stays until the node is fenced."""
        declaration = self._declared.pop(owner, None)
        if declaration is None:
            return
        if declaration.task is not None and declaration.task is not asyncio.current_task():
            declaration.task.cancel()
        await asyncio.gather(*(self._withdraw_on(index, owner) for index in self._fences.reach()))

    def forget(self, owner: int) -> None:
        """Declare nothing of ``owner`` any more, and leave its marker as it is: another index may need it."""
        declaration = self._declared.pop(owner, None)
        if declaration is not None and declaration.task is not None:
            declaration.task.cancel()

    async def _withdraw_on(self, index: int, owner: int) -> None:
        fences, key = self._fences, self._fences.marker_keys[owner]
        connection = fences.link(index)
        if connection is None:
            return
        with contextlib.suppress(NodeError):
            for _ in range(_TRIES):
                (reply,) = await fences.ask(connection, [b"mg %b v c\r\n" % key])
                cas = cas_of(reply)
                if not cas or isinstance(reply, ErrorReply):
                    return
                seen = decode_marker(reply.value, cas)
                if all(claim.id != self.own.id for claim in seen.claims):
                    return
                value = without_claim(seen, self.own.id)
                request = b"ms %b %d c T%d C%d\r\n%b\r\n" % (key, len(value), MARKER_TTL_S, cas, value)
                (put,) = await fences.ask(connection, [request])
                if cas_of(put):
                    if owner in fences.markers[index]:
                        fences.note_marker(index, owner, decode_marker(value, cas_of(put)))
                    return

    async def expire(self) -> None:
        """Take claims back that are no longer needed: what was written past the node has expired."""
        old = self._fences.monotonic() - self.keep_declared_s
        for owner in [owner for owner, each in self._declared.items() if each.last_write < old]:
            await self.withdraw(owner)

    async def close(self) -> None:
        """Take all claims back, as far as nodes answer."""
        tasks = [each.task for each in self._declared.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                for owner in list(self._declared):
                    await self.withdraw(owner)
        self._declared.clear()

    async def alive(self, owner: int) -> bool:
        """Whether a client that claims ``owner`` to be out is alive: its heartbeat is on a node."""
        fences = self._fences

        async def ask(index: int) -> bool:
            marker, connection = fences.markers[index].get(owner), fences.link(index)
            others = [claim.id for claim in marker.claims if claim.id != self.own.id] if marker else []
            if not others or connection is None:
                return False
            with contextlib.suppress(NodeError):
                answers = await fences.ask(
                    connection, [probe_request(heartbeat_key(each)) for each in others]
                )
                return any(isinstance(reply, ErrorReply) or reply.line != b"EN" for reply in answers)
            return True  # not known: it may well be

        return any(await asyncio.gather(*(ask(index) for index in fences.reach())))

    async def tidy(self, index: int) -> None:
        """Remove markers left on a node that was out itself while the marked ones were fenced and used."""
        fences = self._fences
        if fences.observe:
            return
        for owner, marker in list(fences.markers[index].items()):
            if fences.vouched(owner, without=index):  # a claim that is made just now is made anew
                await self.remove(owner, {index: marker.cas})

    async def renew_floors(self, index: int, connection: Connection) -> None:
        """A node that was out for a while, and is not fenced for it, stands in only with what is written from
        now on: what it has for a marked node may be of an outage before. Raises `NodeError`."""
        fences = self._fences
        if fences.observe:
            return
        for owner, marker in list(fences.markers[index].items()):
            value = encode_marker(Marker(0, marker.claims))
            request = (fences.marker_keys[owner], len(value), MARKER_TTL_S, marker.cas, value)
            (put,) = await fences.ask(connection, [b"ms %b %d c T%d C%d\r\n%b\r\n" % request])
            if cas_of(put):
                fences.note_marker(index, owner, decode_marker(value, cas_of(put)))

    async def remove(self, owner: int, seen: dict[int, int]) -> bool:
        """Remove the marker of ``owner`` where it has the CAS uniques ``seen``; whether it is gone."""
        fences, key = self._fences, self._fences.marker_keys[owner]
        gone = True
        for index, cas in seen.items():
            connection = fences.link(index)
            if connection is None:
                continue
            fences.outdate_looks(index)
            try:
                (reply,) = await fences.ask(connection, [expire_request(key, cas)])
            except NodeError:
                gone = False
                continue
            if isinstance(reply, ItemReply) and reply.line in (b"HD", b"NF"):
                fences.note_marker(index, owner, None)
            else:
                gone = False
        return gone
