"""That who sent readings is gone."""

from __future__ import annotations

from msgspec import Struct

from iotcache.model.readings import Series


class SenderDeath(Struct, frozen=True):
    """A device is gone, and maybe those below it with it: what was received of them until now is stale."""

    at_us: int
    site: str
    device: str
    with_below: bool
    """Whether devices called ``device/…`` at the same site are gone with it."""
    series: list[Series] = []
    """Those that are known to be meant; a store may know more by the device's name."""
