"""Above which CAS unique what a node holds counts in place of others that are out.

See rule 3 in `iotcache.cluster.fence`, and the argument there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from iotcache.cluster.outage import LEASE_S, SeenMarker

if TYPE_CHECKING:
    from iotcache.cluster.rings.placed import PlacedRing
    from iotcache.cluster.rings.view import RingView


class MarkerKnowledge(Protocol):
    """What one client knows of markers; `iotcache.cluster.fence.Fences` has it."""

    rings: RingView
    timeout_s: float
    floors: list[int]
    looked: list[float]
    markers: list[dict[int, SeenMarker]]
    marked_since: dict[int, float]
    monotonic: Callable[[], float]

    def fresh_witnesses(self, owner: int, since: float) -> Sequence[int]: ...


def failover_floor(
    known: MarkerKnowledge, index: int, skipped: Iterable[int], ring: PlacedRing
) -> int | None:
    """The CAS unique for keys of the nodes ``skipped``, all out, on node ``index``.

    ``None``: nothing there counts, as not everybody may know that they are out.
    """
    now, looked = known.monotonic(), known.looked[index]
    if now > min(looked + LEASE_S, known.rings.fresh_until):
        return None
    gained = known.rings.newest_floor(ring, index)
    if gained is None:
        return None
    floor = max(known.floors[index], gained)
    for owner in skipped:
        marker, since = known.markers[index].get(owner), known.marked_since.get(owner, now)
        if marker is None or now < since + LEASE_S:
            return None
        if looked < since + min(known.timeout_s, LEASE_S):
            return None  # who has put the marker elsewhere may have put it here only after the look
        # A node that was out itself while the owner was fenced keeps the marker, and nobody who uses the
        # owner looks for it there.
        witnesses = known.fresh_witnesses(owner, now - LEASE_S)
        if not witnesses or not all(owner in known.markers[witness] for witness in witnesses):
            return None
        floor = max(floor, marker.floor)
    return floor
