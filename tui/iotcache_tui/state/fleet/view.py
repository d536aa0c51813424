"""Which rows the table shows, in what order and in which groups, and the selection's place among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from msgspec import Struct

from iotcache_tui.state.fleet.filter import Filter, FilterError, parse
from iotcache_tui.state.fleet.fleet_state import FleetState

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
    "class": lambda fleet, row: (fleet.kind[row], fleet.device[row], fleet.sensor[row]),
    "value": _value_key,
    "unit": lambda fleet, row: fleet.unit[row],
    "age": lambda fleet, row: _last(-fleet.measured_at[row]),
    "ttl": lambda fleet, row: _last(fleet.ttl_end_at[row]),
    "source": lambda fleet, row: -fleet.source[row],
    "hit": lambda fleet, row: fleet.hits[row] / fleet.reads[row] if fleet.reads[row] else inf,
    "reads": lambda fleet, row: -fleet.reads[row],
    "interval": lambda fleet, row: fleet.interval_s[row],
    "why": lambda fleet, row: fleet.reason[row] or "\U0010ffff",
    "node": lambda fleet, row: fleet.node[row] or "\U0010ffff",
}
"""Every column the fleet can be sorted by. Ties keep the order in which the rows joined."""

BY_NAME = frozenset({"device", "sensor", "site", "class"})
"""Sorts whose order only a new row changes."""
UNSETTLED = BY_NAME | {"value", "age"}
"""Sorts that need no column but those that `FleetState.apply_reads` keeps up to date."""
GROUPS: dict[str, Callable[[FleetState], Sequence[str]]] = {
    "site": lambda fleet: fleet.site,
    "class": lambda fleet: fleet.kind,
}


class Group(Struct):
    """The sum of the rows under one heading."""

    name: str
    rows: int = 0
    reads: int = 0
    hits: int = 0
    stale: int = 0
    cached: int = 0


class FleetView:
    """The lines on show: row numbers, and ``-1 - g`` for the heading of ``groups[g]``.

    The selection is a row (or, when folded, a group's name), never a place: it does not jump.
    """

    def __init__(self, fleet: FleetState) -> None:
        self.fleet = fleet
        self.sort = "device"
        self.reverse = False
        self.group = ""
        """"" or a key of `GROUPS`."""
        self.folded = False
        """Whether only the headings are shown."""
        self.order: list[int] = []
        """The rows that pass the filter, in order."""
        self.lines: list[int] = []
        self.groups: list[Group] = []
        self.selected: int | None = None
        self.selected_group: str | None = None
        self.filter_error = ""
        """Why the text typed is no filter; the one before it stays in force."""
        self._filter: Filter = parse("")
        self._position: dict[int, int] = {}
        self._known = 0
        self._now = (0.0, 0.0)
        self._changes, self._sorted = -1, -1

    def at(self, now_s: float, wall_s: float) -> None:
        """The moment that ages and TTLs are compared at."""
        self._now = now_s, wall_s

    @property
    def filter(self) -> str:
        return self._filter.text

    def set_filter(self, text: str) -> None:
        """Show the rows that pass; see `iotcache_tui.state.fleet.filter`."""
        try:
            self._filter = parse(text)
        except FilterError as error:
            self.filter_error = str(error)
            return
        self.filter_error = ""
        self.rebuild()

    def set_sort(self, column: str, reverse: bool = False) -> None:
        """Order by a key of `SORTS`."""
        self.sort, self.reverse = column, reverse
        self.rebuild()

    def set_group(self, name: str, folded: bool = False) -> None:
        """Put rows under headings, by a key of `GROUPS` or by none."""
        self.group, self.folded = name, folded and bool(name)
        self.rebuild()

    def refresh(self) -> None:
        """`rebuild`, unless nothing has happened that could change what it gives."""
        fleet = self.fleet
        if self._changes == fleet.changes and self._filter.timeless and not self.group:
            return
        named = self.sort in BY_NAME and self._filter.timeless and not self.group
        if named and self._changes >= 0 and self._known == len(fleet) == self._sorted:
            return
        self.rebuild()

    def rebuild(self) -> None:
        """Filter, sort and group everything anew."""
        self._changes, self._sorted = self.fleet.changes, len(self.fleet)
        fleet, key = self.fleet, SORTS[self.sort]
        if self.sort not in UNSETTLED or self.group:
            fleet.settle()
        rows: Sequence[int] = range(len(fleet))
        if self._filter:
            rows = self._filter.rows(fleet, rows, *self._now)
        self.order = sorted(rows, key=lambda row: key(fleet, row), reverse=self.reverse)
        self._known = len(fleet)
        self.groups = []
        if self.group:
            self._put_in_groups()
        else:
            self.lines = self.order
        self._position = {line: position for position, line in enumerate(self.lines)}
        if self.selected is not None and not self.folded and self.selected not in self._position:
            self.selected = None

    def _put_in_groups(self) -> None:
        fleet, names = self.fleet, GROUPS[self.group](self.fleet)
        self.order.sort(key=lambda row: names[row])
        self.lines = []
        last: str | None = None
        group = Group("")
        now_s, _ = self._now
        for row in self.order:
            if names[row] != last:
                last = names[row]
                group = Group(last)
                self.groups.append(group)
                self.lines.append(-len(self.groups))
            group.rows += 1
            group.reads += fleet.reads[row]
            group.hits += fleet.hits[row]
            if fleet.is_stale(row):
                group.stale += 1
            group.cached += fleet.ttl_left_s(row, now_s) > 0
            if not self.folded:
                self.lines.append(row)
        if self.selected_group not in {group.name for group in self.groups}:
            self.selected_group = None

    def append_joined(self) -> bool:
        """Put rows that joined since the last rebuild at the end; true when there were any."""
        if self._known == len(self.fleet):
            return False
        if self.group or self._known > len(self.fleet):  # a replay went back
            self.rebuild()
            return True
        for row in self._filter.rows(self.fleet, range(self._known, len(self.fleet)), *self._now):
            self._position[row] = len(self.order)
            self.order.append(row)
        self._known = len(self.fleet)
        return True

    # The selection

    @property
    def cursor(self) -> int:
        """Place of the selection in ``lines``; 0 without one."""
        if self.folded:
            names = [group.name for group in self.groups]
            return names.index(self.selected_group) if self.selected_group in names else 0
        return self._position.get(self.selected, 0) if self.selected is not None else 0

    @property
    def selected_row(self) -> int | None:
        """The selected row where it is on show: one in a folded group is nothing that a key may act on."""
        return None if self.folded else self.selected

    @property
    def has_selection(self) -> bool:
        return (self.selected_group if self.folded else self.selected) is not None

    def move_to(self, position: int, step: int = 1) -> None:
        """Select the line at ``position``, clamped; a heading is passed over in the direction of ``step``."""
        if not self.lines:
            return
        position = min(max(position, 0), len(self.lines) - 1)
        line = self.lines[position]
        if self.folded:
            self.selected_group = self.groups[-1 - line].name
            return
        if line < 0:
            position += step if 0 <= position + step < len(self.lines) else -step
            line = self.lines[position]
        self.selected = line

    def is_selected(self, line: int) -> bool:
        """Whether the line (as in ``lines``) is the selected one."""
        if line < 0:
            return self.folded and self.groups[-1 - line].name == self.selected_group
        return line == self.selected

    def acted_on(self) -> tuple[int, ...]:
        """The rows an act concerns: those marked, else the selected one, else a folded group's."""
        if self.fleet.marked:
            return tuple(sorted(self.fleet.marked))
        if self.folded and self.selected_group is not None:
            names = GROUPS[self.group](self.fleet)
            return tuple(row for row in self.order if names[row] == self.selected_group)
        row = self.selected_row
        return (row,) if row is not None else ()
