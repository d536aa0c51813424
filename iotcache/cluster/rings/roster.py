"""Who follows the ring: each client writes itself into an item of a short life, and anybody can read it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from iotcache.clock import Clock
from iotcache.cluster.copies.deciding import ClientReport
from iotcache.cluster.copies.heat import KeyRate
from iotcache.cluster.outage import Claim
from iotcache.cluster.rings.types import ResizeResult, RingFollower, RingPhase
from iotcache.cluster.wire.answers import ItemReply
from iotcache.cluster.wire.facts import cas_of
from iotcache.errors import NodeError

if TYPE_CHECKING:
    from iotcache.cluster.copies.copying import Copying
    from iotcache.cluster.fence import Fences
    from iotcache.cluster.rings.handover import HandOver
    from iotcache.cluster.rings.view import RingView

ROSTER_KEY: Final = b"iotcache:followers"
_TTL_S: Final = 60
_EVERY_S: Final = 4.0
_EVERY_CHANGING_S: Final = 1.0
_GONE_S: Final = 14.0
"""A client that has not written itself in for so long has ended, or is cut off."""
_POLL_S: Final = 0.5
_TRIES: Final = 5
_MOST: Final = 1_000
_MOST_BYTES: Final = 262_144


class RosterEntry(Struct, frozen=True):
    """One client, as it is stored."""

    client: Claim
    epoch: int
    phase: RingPhase
    at_s: float
    """Wall clock, when it wrote itself in."""
    handed_over: int = 0
    reads_saved: int = 0
    hot_replicas: int = 0
    """On so many nodes it wants hot keys to be."""
    votes: bool = False
    gets_per_s: float = 0.0
    hottest: tuple[KeyRate, ...] = ()
    copy_reads: int = 0
    """Its gets that copies of hot keys answered, since its start."""
    copy_writes: int = 0
    """Its sets and deletes that went to copies."""


class FollowerList(Struct, frozen=True):
    """The value of the item."""

    followers: tuple[RosterEntry, ...] = ()


class Rosters:
    """Keeps this client's entry up to date while there is a ring to follow, and reads those of all."""

    def __init__(
        self, fences: Fences, view: RingView, handover: HandOver, copying: Copying, clock: Clock
    ) -> None:
        self._fences = fences
        self._view = view
        self._handover = handover
        self._copying = copying
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End; the entry ends by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._copying.decider.close()

    async def _keep(self) -> None:
        written: tuple[object, float] = (None, 0.0)
        while True:
            await asyncio.sleep(_POLL_S)
            view, now = self._view, self._clock.monotonic()
            every_s = _EVERY_CHANGING_S if view.changing else _EVERY_S
            state = (view.record.rank, view.epoch, view.phase) if view.record is not None else None
            if state is None and self._copying.heat is not None:
                state = ((0, 0), 0, view.phase)  # who may want copies of hot keys tells from the beginning
            if (
                state is not None
                and not self._fences.observe
                and (state != written[0] or now > written[1] + every_s)
            ):
                written = (state, now)
                await self._write()
            if self._copying.decider.due:
                reports: dict[int, ClientReport] = dict(await self._entries())
                self._copying.decider.decide(reports)

    async def _write(self) -> None:
        """Put this client's entry on the first node that answers, and drop those of clients that are gone."""
        own = self._fences.declarations.own
        done, copying = self._handover, self._copying
        gets_per_s, hottest = copying.heat.take() if copying.heat is not None else (0.0, ())
        entry = RosterEntry(
            own, self._view.epoch, self._view.phase, self._clock.now(), done.entries, done.reads_saved,
            copying.hot_replicas, self._fences.votes, gets_per_s, hottest, copying.counts.reads,
            copying.counts.writes,
        )  # fmt: skip
        for index in self._fences.reach()[:1]:
            for _ in range(_TRIES):
                try:
                    if await self._put(index, entry):
                        return
                except NodeError:
                    return

    async def _put(self, index: int, entry: RosterEntry) -> bool:
        fences = self._fences
        connection = fences.link(index)
        if connection is None:
            return True
        (reply,) = await fences.ask(connection, [b"mg %b v c\r\n" % ROSTER_KEY])
        cas = cas_of(reply)
        known = _decode(reply.value) if cas and isinstance(reply, ItemReply) else ()
        others = (
            each
            for each in known
            if each.client.id != entry.client.id and abs(entry.at_s - each.at_s) < _GONE_S
        )
        value = msgspec.json.encode(FollowerList((entry, *others)[:_MOST]))
        extra = b"C%d" % cas if cas else b"ME"
        request = b"ms %b %d c T%d %b\r\n%b\r\n" % (ROSTER_KEY, len(value), _TTL_S, extra, value)
        (put,) = await fences.ask(connection, [request])
        return bool(cas_of(put))

    async def sum_up(self, result: ResizeResult) -> ResizeResult:
        """``result`` of a change of this client's with what all clients have told of it."""
        own = self._fences.declarations.own.id
        others = [each for each in (await self._entries()).values() if each.client.id != own]
        return replace(
            result,
            handed_over_by_all=result.handed_over + sum(each.handed_over for each in others),
            reads_saved=self._handover.reads_saved + sum(each.reads_saved for each in others),
        )

    async def read(self) -> tuple[RingFollower, ...]:
        """All clients that follow the ring, as far as nodes answer; by host, role and pid."""
        now = self._clock.now()
        followers = [
            RingFollower(
                each.client.host, each.client.pid, each.client.role, each.epoch, each.phase,
                max(now - each.at_s, 0.0), each.handed_over, each.reads_saved, each.copy_reads,
                each.copy_writes,
            )
            for each in (await self._entries()).values()
        ]  # fmt: skip
        return tuple(sorted(followers, key=lambda each: (each.host, each.role, each.pid)))

    async def _entries(self) -> dict[int, RosterEntry]:
        """The newest entry of each client that has not gone."""
        fences, now = self._fences, self._clock.now()
        found: dict[int, RosterEntry] = {}

        async def ask(index: int) -> None:
            connection = fences.link(index)
            if connection is None:
                return
            with contextlib.suppress(NodeError):
                (reply,) = await fences.ask(connection, [b"mg %b v u\r\n" % ROSTER_KEY])
                if isinstance(reply, ItemReply):
                    for each in _decode(reply.value):
                        before = found.get(each.client.id)
                        if before is None or before.at_s < each.at_s:
                            found[each.client.id] = each

        await asyncio.gather(*(ask(index) for index in fences.reach()))
        return {number: each for number, each in found.items() if abs(now - each.at_s) < _GONE_S}


def _decode(value: bytes) -> tuple[RosterEntry, ...]:
    """What was found; nothing where it is no roster."""
    if len(value) > _MOST_BYTES:
        return ()
    try:
        return msgspec.json.decode(value, type=FollowerList).followers[:_MOST]
    except msgspec.MsgspecError:
        return ()
