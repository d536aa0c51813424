"""Which rows to read next: those on screen first, the rest of the fleet in turn, within a budget."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import inf

TICK_S = 0.1
"""Where somebody looks on, reads are spread over the second."""
FIRST_ROWS = 30
"""So many are read at once, of the first second's budget: whoever starts the program waits for them."""


class ReadingPace:
    """Spreads reads evenly, so that no second is a burst. Times are monotonic seconds."""

    def __init__(self, reads_per_s: float, interval_s: float) -> None:
        self._reads_per_s = reads_per_s
        self._interval_s = interval_s
        self._last_read = array("d")
        self._next = 0
        self._allowance = 0.0
        self._since_s: float | None = None
        self.watched: Sequence[int] = ()

    def grow(self, rows: int) -> None:
        """The fleet has ``rows`` rows now."""
        self._last_read.extend([-inf] * (rows - len(self._last_read)))

    def due(self, now_s: float) -> list[int]:
        """Rows to read now: at most what the budget gave since the last call."""
        total = len(self._last_read)
        if not total:
            return []
        fair = min(self._reads_per_s, total / self._interval_s)
        # Rows on screen are worth reading each interval even when the fleet is far larger than the budget.
        wanted = max(fair, min(self._reads_per_s, len(self.watched) / self._interval_s))
        if self._since_s is None:
            self._allowance = min(wanted, FIRST_ROWS)
        else:
            elapsed = min(now_s - self._since_s, 1.0)
            self._allowance = min(self._allowance + wanted * elapsed, wanted + 1.0)
        self._since_s = now_s
        room = int(self._allowance)
        if room <= 0:
            return []
        rows: list[int] = []
        for row in self.watched:
            if len(rows) == room:
                break
            if row < total and now_s - self._last_read[row] >= self._interval_s:
                rows.append(row)
                self._last_read[row] = now_s
        looked = 0
        while len(rows) < room and looked < total:
            row = self._next
            self._next = (row + 1) % total
            looked += 1
            if now_s - self._last_read[row] >= self._interval_s * 0.95:
                rows.append(row)
                self._last_read[row] = now_s
            elif looked > 4 * room:
                break
        self._allowance -= len(rows)
        return rows
