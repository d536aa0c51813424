"""What one client has to do with copies of hot keys: what it wants, counts and tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from iotcache.cluster.copies.counts import CopyCounts
    from iotcache.cluster.copies.deciding import HotKeyDecider
    from iotcache.cluster.copies.heat import HeatMeter


class Copying(Struct, frozen=True):
    """The parts."""

    hot_replicas: int
    """On so many nodes hot keys are to be; 0 and 1: this client asks for no copies."""
    counts: CopyCounts
    decider: HotKeyDecider
    heat: HeatMeter | None = None
    """Counts gets, where copies are wanted."""
