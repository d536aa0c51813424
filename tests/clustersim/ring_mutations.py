"""Faults planted in how the ring changes, each a function that plants it; the simulation has to find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from iotcache.cluster.rings.handover import HandOver
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView

Patch = pytest.MonkeyPatch


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


RING_MUTATIONS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant for plant in (write_new_only_while_handing_over, never_ask_the_old_owner)
}
