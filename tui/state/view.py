"""Which rows the table shows, and in what order: a filter, a sort key, and the selection's place in them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from tui.state.fleet import FleetState

SortKey = Callable[[FleetState, int], Any]


def _last(value: float) -> tuple[bool, float]:
    """Unknown (nan) after everything known."""
    unknown = value != value  # noqa: PLR0124 nan test
    return unknown, 0.0 if unknown else value


def _value_key(fleet: FleetState, row: int) -> tuple[int, float, str]:
    value = fleet.value[row]
    if value is None:
        return 2, 0.0, ""
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")


SORTS: dict[str, SortKey] = {
    "device": lambda fleet, row: (fleet.device[row], fleet.sensor[row]),
    "sensor": lambda fleet, row: (fleet.sensor[row], fleet.device[row]),
    "site": lambda fleet, row: (fleet.site[row], fleet.device[row], fleet.sensor[row]),
    "value": _value_key,
    "unit": lambda fleet, row: fleet.unit[row],
    "age": lambda fleet, row: _last(-fleet.measured_at[row]),
    "ttl": lambda fleet, row: _last(fleet.ttl_end_at[row]),
    "source": lambda fleet, row: -fleet.source[row],
    "hit": lambda fleet, row: fleet.hits[row] / fleet.reads[row] if fleet.reads[row] else inf,
    "node": lambda fleet, row: fleet.node[row] or "\U0010ffff",
}
"""Every column the fleet can be sorted by. Ties keep the order in which the rows joined."""


class FleetView:
    """The rows on show. ``order`` holds row numbers; the selection is a row number, so it never jumps."""

    def __init__(self, fleet: FleetState) -> None:
        self.fleet = fleet
        self.sort = "device"
        self.reverse = False
        self.order: list[int] = []
        self._place: dict[int, int] = {}
        self._words: tuple[str, ...] = ()
        self._known = 0
        self.selected: int | None = None

    @property
    def filter(self) -> str:
        return " ".join(self._words)

    def set_filter(self, text: str) -> None:
        """Show rows whose device, sensor or site hold every word of ``text``; ``!word`` excludes."""
        self._words = tuple(text.casefold().split())
        self.rebuild()

    def set_sort(self, column: str, reverse: bool = False) -> None:
        """Order by a key of `SORTS`."""
        self.sort, self.reverse = column, reverse
        self.rebuild()

    def _matches(self, row: int) -> bool:
        hay = self.fleet.haystack[row]
        for word in self._words:
            if word[0] == "!" and len(word) > 1:
                if word[1:] in hay:
                    return False
            elif word not in hay:
                return False
        return True

    def rebuild(self) -> None:
        """Filter and sort everything anew."""
        rows = [row for row in range(len(self.fleet)) if self._matches(row)] if self._words else None
        fleet, key = self.fleet, SORTS[self.sort]
        self.order = sorted(
            range(len(fleet)) if rows is None else rows, key=lambda row: key(fleet, row), reverse=self.reverse
        )
        self._known = len(fleet)
        self._place = {row: place for place, row in enumerate(self.order)}
        if self.selected is not None and self.selected not in self._place:
            self.selected = None

    def append_joined(self) -> bool:
        """Put rows that joined since the last rebuild at the end; true when there were any."""
        joined = range(self._known, len(self.fleet))
        for row in joined:
            if self._matches(row):
                self._place[row] = len(self.order)
                self.order.append(row)
        self._known = len(self.fleet)
        return bool(joined)

    @property
    def cursor(self) -> int:
        """Place of the selection in ``order``; 0 without one."""
        return self._place.get(self.selected, 0) if self.selected is not None else 0

    def move_to(self, place: int) -> None:
        """Select the row at ``place``, clamped."""
        if self.order:
            self.selected = self.order[min(max(place, 0), len(self.order) - 1)]
