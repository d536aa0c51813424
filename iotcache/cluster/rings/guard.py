"""A write counts only when it went to all rings that clients may read when its last answer has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotcache.cluster.fence import Fences

TOO_LATE: Final = "it took too long: the ring may have changed meanwhile"


class RingGuard:
    """The rings that a write goes to, and until when they surely are the right ones.

    A client's knowledge is good for a lease, and who carries a change out waits that long. What is confirmed
    within it needs no look.
    """

    __slots__ = ("_rings", "_until", "copies")

    def __init__(self, fences: Fences) -> None:
        self._rings = fences.rings.writes
        self.copies = fences.rings.copies
        """Which keys have copies that are written as well."""
        self._until = fences.rings.fresh_until

    async def holds(self, fences: Fences) -> bool:
        """Whether the write is in time, or nothing else is written by now."""
        if fences.monotonic() <= self._until:
            return True
        if fences.monotonic() > fences.rings.fresh_until:
            await fences.look_at(fences.reach())
            await fences.ring.settled()
        view = fences.rings
        return (
            fences.monotonic() <= view.fresh_until
            and (view.copies is None or view.copies.written_with(self.copies))
            and all(ring in self._rings for ring in view.writes)
        )
