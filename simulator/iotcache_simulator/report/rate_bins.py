"""How many messages went out in each second of a run, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

BINS_MAX: Final = 600
"""With more, two neighbours become one, twice as long."""


class RateBins(Struct, frozen=True):
    """Messages in each stretch of ``seconds``, from the start on. The last stretch may be cut short."""

    seconds: int = 1
    counts: tuple[int, ...] = ()

    @classmethod
    def added(cls, parts: Iterable[RateBins]) -> RateBins:
        """Of several processes that began at one moment."""
        total = RateCounter()
        for part in parts:
            total.merge(part)
        return total.bins()


class RateCounter:
    """Counts messages by the second."""

    def __init__(self) -> None:
        self._seconds = 1
        self._counts: list[int] = []

    def add(self, at_s: float, count: int) -> None:
        """``count`` messages at ``at_s`` seconds after the start."""
        place = int(max(at_s, 0.0)) // self._seconds
        while place >= BINS_MAX:
            self._coarsen()
            place //= 2
        if place >= len(self._counts):
            self._counts.extend([0] * (place + 1 - len(self._counts)))
        self._counts[place] += count

    def merge(self, bins: RateBins) -> None:
        """Add what another counter came to."""
        while self._seconds < bins.seconds:
            self._coarsen()
        for place, count in enumerate(bins.counts):
            self.add(place * bins.seconds, count)

    def bins(self) -> RateBins:
        """What was counted so far."""
        return RateBins(self._seconds, tuple(self._counts))

    def _coarsen(self) -> None:
        pairs = zip(self._counts[::2], [*self._counts[1::2], 0], strict=False)
        self._counts = [first + second for first, second in pairs]
        self._seconds *= 2
