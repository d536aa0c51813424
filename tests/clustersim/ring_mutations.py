"""Faults planted in how the ring changes, each a function that plants it; the simulation has to find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from iotcache.cluster.rings import driver, handover, record
from iotcache.cluster.rings.driver import RingDriver
from iotcache.cluster.rings.handover import HandOver
from iotcache.cluster.rings.looks import RingLooks
from iotcache.cluster.rings.record import RingRecord
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.wire import protocol

Patch = pytest.MonkeyPatch


class Changed:
    """A module or an object with some of its attributes replaced, for one of its users alone."""

    def __init__(self, real: object, **changed: Any) -> None:
        vars(self).update(changed, _real=real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def write_new_only_while_handing_over(patch: Patch) -> None:
    """The old ring is not written any more though others still read it."""
    real = RingView._set_rings

    def set_rings(self: RingView) -> None:
        real(self)
        if self.phase is RingPhase.HANDING_OVER:
            self.writes = self.writes[-1:]

    patch.setattr(RingView, "_set_rings", set_rings)


def never_ask_the_old_owner(patch: Patch) -> None:
    """What the new owner does not have is a miss, and nothing is handed over."""

    async def fetch(self: HandOver, *args: Any) -> dict[int, Any]:
        return {}

    patch.setattr(HandOver, "_fetch", fetch)


def hand_over_over_anything(patch: Patch) -> None:
    """What the old owner has is set at the new one whatever came in between, not over the lease alone."""

    def set_request(key: bytes, value: bytes, flags: int, ttl: int, extra: bytes = b"") -> bytes:
        return protocol.set_request(key, value, flags, ttl)

    patch.setattr(handover, "protocol", Changed(protocol, set_request=set_request))


def put_no_floors(patch: Patch) -> None:
    """What a node has left of keys that it gains counts."""

    async def put(self: RingDriver, record: RingRecord, epoch: int) -> tuple[str, ...]:
        return ()

    patch.setattr(RingDriver, "put_floors", put)


def forget_floors_of_past_rings(patch: Patch) -> None:
    """Only the last change is remembered: what a node had before it does not count, its own keys included."""
    patch.setattr(record, "REMEMBERED", 1)


def let_floors_be_evicted(patch: Patch) -> None:
    """A floor that is missed is not put back: for who starts then, nothing bounds what counts."""
    real = RingLooks._put_floor

    async def put(self: RingLooks, connection: Any, epoch: int, *, again: bool) -> int:
        return 1 if again else await real(self, connection, epoch, again=again)

    patch.setattr(RingLooks, "_put_floor", put)


def skip_the_phase_lease(patch: Patch) -> None:
    """The next phase begins as soon as the record stands on every node."""
    patch.setattr(driver, "LEASE_S", 0.0)


def take_over_from_the_living(patch: Patch) -> None:
    """A change is carried on by whoever sees it, with no new record that says so."""

    async def abandoned(self: RingDriver, found: RingRecord) -> bool:
        return True

    def take_over(self: RingDriver, found: RingRecord) -> None:
        assert found.change is not None
        found_change = found.change
        object.__setattr__(found_change, "driver", self._own)

    patch.setattr(RingDriver, "_abandoned", abandoned)
    patch.setattr(RingDriver, "_take_over", take_over)


def skip_announcing(patch: Patch) -> None:
    """The new ring is read before all clients write to it."""
    patch.setitem(record.NEXT, RingPhase.INVITED, RingPhase.HANDING_OVER)


RING_MUTATIONS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        write_new_only_while_handing_over,
        never_ask_the_old_owner,
        hand_over_over_anything,
        put_no_floors,
        forget_floors_of_past_rings,
        let_floors_be_evicted,
        skip_the_phase_lease,
        take_over_from_the_living,
        skip_announcing,
    )
}
