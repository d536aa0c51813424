"""Changes of the ring as a program asks for them, and what is known of the one under way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from iotcache.cluster.copies.hot_keys import unread
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.placement.share import moved
from iotcache.cluster.rings.driver import RingDriver
from iotcache.cluster.rings.record import (
    MOST_NODES,
    PastRing,
    RingRecord,
    RingTransition,
    addresses,
    same_list,
    texts,
)
from iotcache.cluster.rings.types import ResizeResult, RingPhase, RingStatus
from iotcache.errors import NodeError, RingBusy, RingRefused
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.cluster.fence import Fences
    from iotcache.cluster.rings.handover import HandOver
    from iotcache.cluster.rings.looks import RingLooks
    from iotcache.cluster.rings.walk import RingWalk
    from iotcache.config.urls import NodeAddress

_PHASES_LEFT: Final = {
    RingPhase.INVITED: 4,
    RingPhase.ANNOUNCED: 3,
    RingPhase.HANDING_OVER: 2,
    RingPhase.CLOSING: 1,
    RingPhase.STEADY: 0,
}
_PROGRESS_S: Final = 0.25

Progress = Callable[[RingStatus], None]


class Resizing:
    """Begins changes, undoes them, and tells how far they are."""

    def __init__(
        self, fences: Fences, looks: RingLooks, walk: RingWalk, handover: HandOver, driver: RingDriver
    ) -> None:
        self._fences = fences
        self._looks = looks
        self._walk = walk
        self._handover = handover
        self._driver = driver
        self._view = looks.view
        self._monotonic = fences.monotonic
        self._work: asyncio.Task[RingRecord] | None = None
        self._shares: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {}

    async def resize(
        self, nodes: Sequence[NodeAddress], *, keys_per_s: int, prefix: str, on_progress: Progress | None
    ) -> ResizeResult:
        """See `iotcache.cluster.cluster.Cluster.resize`."""
        wanted = self._checked(nodes)
        began_s = self._monotonic()
        self._walk.keys_per_s, self._walk.prefix = keys_per_s, prefix
        present = self._view.read.nodes
        record = self.base()
        share = moved(self._view.placement, addresses(record.present.nodes), addresses(wanted))
        between = _between(record.present.nodes, wanted)
        walked = entries = handed_bytes = 0
        for ring in (between, wanted) if between else (wanted,):
            record = await self._change(ring, on_progress)
            walked += self._walk.walked
            entries += self._handover.entries
            handed_bytes += self._handover.bytes
            if not same_list(record.present.nodes, ring):
                break
        undone = not same_list(record.present.nodes, wanted)
        if undone and not same_list(record.present.nodes, present) and between is None:
            raise RingBusy("another change of the ring was announced first")
        return ResizeResult(
            epoch=record.present.epoch, undone=undone, share_moved=0.0 if undone else share,
            handed_over=entries, handed_over_bytes=handed_bytes,
            walked=walked, took_s=self._monotonic() - began_s,
        )  # fmt: skip

    def _checked(self, nodes: Sequence[NodeAddress]) -> tuple[str, ...]:
        """The new list. Raises `RingRefused` or `RingBusy`."""
        if self._fences.observe:
            raise RingRefused("a client that only observes changes no ring")
        names = [node.name for node in nodes]
        if not names:
            raise RingRefused("a ring needs at least one cache node")
        if len(names) > MOST_NODES:
            raise RingRefused(f"a ring has at most {MOST_NODES} nodes, not {len(names)}")
        if len(set(names)) != len(names):
            raise RingRefused("a node is named twice in the new list")
        newest = self._view.newest
        if newest is not None and newest.change is not None:
            raise RingBusy(
                f"another change of the ring is under way: {newest.change.driver} changes it to epoch "
                f"{newest.change.epoch} ({newest.change.phase.value})"
            )
        wanted = texts(nodes)
        if same_list(wanted, self.base().present.nodes):
            raise RingRefused("the ring has these nodes and weights already")
        return wanted

    def base(self) -> RingRecord:
        """The newest record; where there is none, one of this client's own list."""
        newest = self._view.newest
        if newest is not None:
            return newest
        return RingRecord(0, 0, self._view.placement, (PastRing(0, self._view.own),), 0)

    async def _change(self, nodes: tuple[str, ...], on_progress: Progress | None) -> RingRecord:
        while True:
            base = self.base()
            ended = await self._try_change(base, nodes, on_progress)
            # A new list of hot keys that was announced at the same time: then it is tried after that.
            if ended.change is not None or ended.last_epoch > base.last_epoch:
                return ended

    async def _try_change(
        self, base: RingRecord, nodes: tuple[str, ...], on_progress: Progress | None
    ) -> RingRecord:
        stamp = self._driver.stamp()
        epoch, own = base.last_epoch + 1, self._fences.declarations.own
        change = RingTransition(stamp, epoch, nodes, RingPhase.INVITED, own)
        record = replace(
            base, seq=base.seq + 1, stamp=stamp, last_epoch=epoch, change=change, hot=unread(base.hot)
        )
        self._looks.offer(record)
        self._driver.refused = ""
        work = self._work = asyncio.create_task(self._carry_out(stamp))
        try:
            while not work.done():
                await asyncio.wait((work,), timeout=_PROGRESS_S)
                if on_progress is not None:
                    on_progress(self.status())
            ended = work.result()
        except asyncio.CancelledError:
            # Whoever gives up wants the ring as it was; that takes a lease or two, and nobody waits for it.
            self._driver.undo()
            raise
        if self._driver.refused:
            raise RingRefused(self._driver.refused)
        if ended.change is not None:
            raise RingBusy("another change of the ring was announced first")
        return ended

    async def _carry_out(self, change: int) -> RingRecord:
        ended = await self._driver.carry_out(change)
        if ended.change is None:
            await self._driver.spread(ended)
        return ended

    async def undo(self) -> None:
        """See `iotcache.cluster.cluster.Cluster.undo_resize`."""
        record = self._view.newest
        change = record.change if record is not None else None
        if change is None:
            return
        self._driver.undo()
        while (newest := self._view.newest) is not None:
            if newest.change is None or newest.change.id != change.id:
                return
            for index in self._fences.reach():
                connection = self._fences.link(index)
                if connection is not None:
                    with contextlib.suppress(NodeError):
                        await self._looks.put(index, connection, newest)
            await self._fences.look_at(self._fences.reach())
            await asyncio.sleep(LEASE_S / 4)

    async def close(self) -> None:
        """Give up what is under way; another client that writes goes on with it."""
        if self._work is not None:
            await end(self._work)

    def status(self) -> RingStatus:
        """See `iotcache.cluster.cluster.Cluster.ring`."""
        view = self._view
        record = view.record
        change = record.change if record is not None else None
        present = record.present.nodes if record is not None else view.own
        target = change.nodes if change is not None else present
        hot = view.copies.hot if view.copies is not None and view.copies.read else None
        left_s: float | None = None
        if change is not None and not change.undo:
            left_s = _PHASES_LEFT[change.phase] * LEASE_S * 1.3
            if change.phase is not RingPhase.CLOSING and self._walk.to_walk:
                left_s += max(self._walk.to_walk - self._walk.walked, 0) / self._walk.keys_per_s
        return RingStatus(
            epoch=view.epoch if change is None else present_epoch(record),
            phase=view.phase,
            nodes=addresses(present),
            target=addresses(target),
            undoing=change.undo if change is not None else False,
            driver=str(change.driver) if change is not None else "",
            share_moved=self._share(present, target),
            handed_over=self._handover.entries,
            handed_over_bytes=self._handover.bytes,
            reads_saved=self._handover.reads_saved,
            walked=self._walk.walked,
            to_walk=self._walk.to_walk,
            hot_keys=hot.keys if hot is not None else (),
            hot_nodes=hot.copies if hot is not None else 0,
            left_s=left_s,
        )

    def _share(self, present: tuple[str, ...], target: tuple[str, ...]) -> float:
        if present == target:
            return 0.0
        found = self._shares.get((present, target))
        if found is None:
            found = moved(self._view.placement, addresses(present), addresses(target))
            self._shares = {(present, target): found}
        return found


def present_epoch(record: RingRecord | None) -> int:
    """Of the ring that is complete."""
    return record.present.epoch if record is not None else 0


def _between(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...] | None:
    """A ring to go by where two have too little in common; ``None``: the change can be made at once.

    Outage markers are looked for on the nodes that both rings have: two at least, unless one ring is part of
    the other.
    """
    before = {node.name: node for node in addresses(old)}
    after = {node.name: node for node in addresses(new)}
    if (
        len(before.keys() & after.keys()) > 1
        or before.keys() <= after.keys()
        or after.keys() <= before.keys()
    ):
        return None
    return texts([*before.values(), *(node for name, node in after.items() if name not in before)])
