"""Which keys a browser shows and in what order: ``latest pump* class:bucket ttl<30 size>1000 node:21001``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fnmatch import translate
from math import inf
from typing import Any, Final

from iotcache.text import printable
from iotcache_tui.state.fleet.filter import FilterError
from iotcache_tui.state.keys.model import CLASSES, KeyColumns

SORTS: Final = ("key", "ttl", "size", "idle", "class", "slab", "node")
_DESCENDING: Final = frozenset({"size"})
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "k": 1_000, "kb": 1_000, "mb": 1_000_000}
_FIELDS: Final = ("class", "node", "ttl", "size", "idle", "slab")
_TERM: Final = re.compile(r"([a-z]+)(:|<|>)(.+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)", re.IGNORECASE)

Test = Callable[[KeyColumns, Sequence[int], float], list[int]]
"""Those of the rows that pass, at a wall time."""


class KeyView:
    """Rows of `KeyColumns`, filtered and sorted. The selection is a row, never a place."""

    def __init__(self) -> None:
        self.columns = KeyColumns()
        self.order: Sequence[int] = ()
        self.sort = "ttl"
        self.reverse = False
        self.filter = ""
        self.error = ""
        """Why the text typed is no filter; the one before it stays in force."""
        self._tests: list[Test] = []
        self._position: dict[int, int] | None = None

    def replace(self, columns: KeyColumns) -> None:
        """Another crawl."""
        self.columns = columns
        self.order = ()
        self._position = None

    def set_filter(self, text: str) -> bool:
        """Take a filter; false when it is none."""
        try:
            self._tests = parse(text)
        except FilterError as error:
            self.error = str(error)
            return False
        self.filter, self.error = text.strip(), ""
        return True

    def rebuild(self, wall_s: float) -> None:
        """Filter and sort anew. 200,000 rows take about a tenth of a second."""
        columns = self.columns
        rows: Sequence[int] = range(len(columns))
        for test in self._tests:
            rows = test(columns, rows, wall_s)
        descending = self.reverse ^ (self.sort in _DESCENDING)
        self.order = sorted(rows, key=self._key(wall_s), reverse=descending)
        self._position = None

    def _key(self, wall_s: float) -> Callable[[int], Any]:
        columns = self.columns
        if self.sort == "ttl":
            ends = columns.expires_at
            # What has expired meanwhile is not what is nearest to expiry: it stands after everything.
            return lambda row: ends[row] if ends[row] >= wall_s else inf
        by_name: dict[str, Sequence[Any]] = {
            "key": columns.key,
            "size": columns.size,
            "idle": columns.used_at,
            "class": columns.kind,
            "slab": columns.slab,
            "node": columns.node,
        }
        return by_name[self.sort].__getitem__

    def position(self, row: int) -> int | None:
        """Where a row stands; ``None`` when it is not shown."""
        if self._position is None:
            self._position = {one: position for position, one in enumerate(self.order)}
        return self._position.get(row)


def parse(text: str) -> list[Test]:
    """The tests that a filter's words stand for. Raises `FilterError`."""
    return [_term(term) for term in text.split()]


def _term(term: str) -> Test:
    matched = _TERM.fullmatch(term)
    name = matched[1].casefold() if matched else ""
    if matched is None or (matched[2] == ":" and name not in _FIELDS):
        return _text(term)  # keys are full of colons
    sign, wanted = matched[2], matched[3]
    if name not in _FIELDS:
        close = get_close_matches(name, _FIELDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(_FIELDS)}"
        raise FilterError(f"there is no field “{printable(name, 20)}”: {hint}")
    if name == "class" and sign == ":":
        return _class(wanted.casefold())
    if name == "node" and sign == ":":
        return _node(wanted)
    return _number(name, sign, wanted)


def _text(term: str) -> Test:
    raw = term.encode("utf-8", "surrogateescape")
    if any(mark in term for mark in "*?["):
        match = re.compile(translate(term).encode("utf-8", "surrogateescape")).match
        return lambda columns, rows, wall_s: [row for row in rows if match(columns.key[row])]
    return lambda columns, rows, wall_s: [row for row in rows if raw in columns.key[row]]


def _class(wanted: str) -> Test:
    named = [position for position, name in enumerate(CLASSES) if name.startswith(wanted)]
    if len(named) != 1:
        raise FilterError(f"class is one of {', '.join(CLASSES)}, not “{printable(wanted, 20)}”")
    (code,) = named
    return lambda columns, rows, wall_s: [row for row in rows if columns.kind[row] == code]


def _node(wanted: str) -> Test:
    def test(columns: KeyColumns, rows: Sequence[int], wall_s: float) -> list[int]:
        positions = {position for position, name in enumerate(columns.nodes) if wanted in name}
        return [row for row in rows if columns.node[row] in positions]

    return test


def _number(name: str, sign: str, wanted: str) -> Test:
    number = _NUMBER.fullmatch(wanted)
    if number is None or number[2].casefold() not in _UNITS or sign == ":":
        raise FilterError(
            f"{name} is compared with a number, for instance {name}<{'1000' if name == 'size' else '30'}"
        )
    limit = float(number[1]) * _UNITS[number[2].casefold()]

    def figure(columns: KeyColumns, row: int, wall_s: float) -> float:
        if name == "ttl":
            return columns.expires_at[row] - wall_s
        if name == "idle":
            return wall_s - columns.used_at[row]
        return float(columns.size[row] if name == "size" else columns.slab[row])

    if sign == "<":
        # What has expired meanwhile has no TTL to compare.
        return lambda columns, rows, wall_s: [
            row for row in rows if 0 <= figure(columns, row, wall_s) < limit
        ]
    return lambda columns, rows, wall_s: [row for row in rows if figure(columns, row, wall_s) > limit]
