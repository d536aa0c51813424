"""Fallbacks as lines: many in a row for one reason on one node are one line that counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from iotcache.model import MissReason
from iotcache_tui.state.updates import FALLBACKS_MAX, FallbackRead

FOLD_GAP_S = 15.0
"""Fallbacks that are further apart do not fold."""
FOLD_MOST_S = 600.0
"""A line tells of so long a time at most."""


def folds(now_s: float, first_s: float, last_s: float) -> bool:
    """Whether a fallback goes with those of which the first was at ``first_s``, the last at ``last_s``."""
    return now_s - last_s <= FOLD_GAP_S and now_s - first_s <= FOLD_MOST_S


class FoldedFallback(Struct):
    """One line; only `FallbackLines` changes it."""

    number: int
    """Grows with every line."""
    first_s: float
    """Wall time of the first of them."""
    last: FallbackRead
    times: int = 1
    same_key: bool = True


class FallbackLines:
    """The newest `FALLBACKS_MAX` lines."""

    def __init__(self) -> None:
        self.lines: deque[FoldedFallback] = deque(maxlen=FALLBACKS_MAX)
        self._count = 0
        self._open: dict[tuple[MissReason, str], FoldedFallback] = {}
        """The newest line of each reason and node, which others like it fold into."""

    def add(self, reads: Iterable[FallbackRead]) -> None:
        for one in reads:
            line = self._open.get((one.reason, one.node))
            if line is None or not folds(one.wall_s, line.first_s, line.last.wall_s):
                self._count += 1
                line = self._open[one.reason, one.node] = FoldedFallback(self._count, one.wall_s, one)
                self.lines.append(line)
                continue
            line.times += 1
            line.same_key = line.same_key and line.last.key == one.key
            line.last = one
