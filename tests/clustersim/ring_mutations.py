"""Faults planted in how the ring changes, each a function that plants it; the simulation has to find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from iotcache.cluster.rings import driver, guard, handover, record
from iotcache.cluster.rings.driver import RingDriver
from iotcache.cluster.rings.handover import HandOver
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.wire import protocol

Patch = pytest.MonkeyPatch


def skip_the_leases_of_phases(patch: Patch) -> None:
    """A phase begins when the one before it is on all nodes, whether clients have seen it or not."""
    patch.setattr(driver, "LEASE_S", 0.0)


def put_no_floor(patch: Patch) -> None:
    """What a node has left of keys that it gains counts."""

    async def put(self: RingDriver, record: Any, epoch: int) -> tuple[str, ...]:
        return ()

    patch.setattr(RingDriver, "_put_floors", put)


def hand_over_whatever_is_there(patch: Patch) -> None:
    """A value is handed over by a plain set."""

    class Plain:
        def __getattr__(self, name: str) -> Any:
            return getattr(protocol, name)

        def set_request(self, key: bytes, value: bytes, flags: int, ttl: int, extra: bytes = b"") -> bytes:
            return protocol.set_request(key, value, flags, ttl)

    patch.setattr(handover, "protocol", Plain())


def write_to_one_ring(patch: Patch, phase: RingPhase, which: int) -> None:
    real = RingView._set_rings

    def set_rings(self: RingView) -> None:
        real(self)
        if self.phase is phase:
            self.writes = (self.writes[which],)

    patch.setattr(RingView, "_set_rings", set_rings)


def write_new_only_while_handing_over(patch: Patch) -> None:
    """The old ring is not written any more though others still read it."""
    write_to_one_ring(patch, RingPhase.HANDING_OVER, -1)


def write_old_only_when_announced(patch: Patch) -> None:
    """The new ring is written only when it is read."""
    write_to_one_ring(patch, RingPhase.ANNOUNCED, 0)


def skip_the_closing(patch: Patch) -> None:
    """The old owners are read until the old ring is gone."""
    patch.setitem(record.NEXT, RingPhase.HANDING_OVER, RingPhase.STEADY)


def undo_at_once(patch: Patch) -> None:
    """A change is undone in one step, whatever phase it is in."""
    for phase in record.BACK:
        patch.setitem(record.BACK, phase, RingPhase.STEADY)


def confirm_late_writes(patch: Patch) -> None:
    """A write counts though the ring may have changed before its answer came."""

    async def holds(self: guard.RingGuard, fences: Any) -> bool:
        return True

    patch.setattr(guard.RingGuard, "holds", holds)


def write_the_new_ring_first(patch: Patch) -> None:
    """A write or delete reaches the new owner before the old one."""
    real = RingView._set_rings

    def set_rings(self: RingView) -> None:
        real(self)
        self.writes = self.writes[::-1]

    patch.setattr(RingView, "_set_rings", set_rings)


def leave_dead_drivers(patch: Patch) -> None:
    """Nobody goes on with a change whose driver has died."""

    async def abandoned(self: RingDriver, record: Any) -> bool:
        return False

    patch.setattr(RingDriver, "_abandoned", abandoned)


def never_ask_the_old_owner(patch: Patch) -> None:
    """What the new owner does not have is a miss, and nothing is handed over."""

    async def fetch(self: HandOver, *args: Any) -> dict[int, Any]:
        return {}

    patch.setattr(HandOver, "_fetch", fetch)


def go_by_what_is_old(patch: Patch) -> None:
    """A ring is gone by however long ago it was looked for."""
    patch.setattr(RingView, "fresh_until", property(lambda self: float("inf")))


def forget_floors(patch: Patch) -> None:
    """A floor that is missed is not put back, and counts for nothing."""
    real = RingView.floor
    patch.setattr(RingView, "floor", lambda self, index, since: real(self, index, since) or 0)


RING_MUTATIONS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        skip_the_leases_of_phases,
        put_no_floor,
        hand_over_whatever_is_there,
        write_new_only_while_handing_over,
        write_old_only_when_announced,
        skip_the_closing,
        undo_at_once,
        confirm_late_writes,
        write_the_new_ring_first,
        leave_dead_drivers,
        never_ask_the_old_owner,
        go_by_what_is_old,
        forget_floors,
    )
}
