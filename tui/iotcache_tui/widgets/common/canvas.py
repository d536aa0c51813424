"""A sheet of terminal cells to draw boxes and lines on; pure, turned into segments line by line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from rich.cells import cell_len

from iotcache_tui.format import fit, plain

Cell = tuple[str, str]
"""A character (empty behind a wide one) and its tone."""
Point = tuple[int, int]

_ROUND = {"tl": "╭", "tr": "╮", "bl": "╰", "br": "╯", "h": "─", "v": "│"}
_HEAVY = {"tl": "┏", "tr": "┓", "bl": "┗", "br": "┛", "h": "━", "v": "┃"}
_PLAIN = {"tl": "+", "tr": "+", "bl": "+", "br": "+", "h": "-", "v": "|"}
_PLAIN_HEAVY = {"tl": "#", "tr": "#", "bl": "#", "br": "#", "h": "=", "v": "#"}
_CORNERS = {
    ((1, 0), (0, 1)): "tr", ((0, -1), (-1, 0)): "tr",
    ((1, 0), (0, -1)): "br", ((0, 1), (-1, 0)): "br",
    ((-1, 0), (0, 1)): "tl", ((0, -1), (1, 0)): "tl",
    ((-1, 0), (0, -1)): "bl", ((0, 1), (1, 0)): "bl",
}  # fmt: skip
_HEADS = {(1, 0): "▶", (-1, 0): "◀", (0, 1): "▼", (0, -1): "▲"}
_PLAIN_HEADS = {(1, 0): ">", (-1, 0): "<", (0, 1): "v", (0, -1): "^"}


class Rect(NamedTuple):
    """Cells from (x, y), ``width`` by ``height``."""

    x: int
    y: int
    width: int
    height: int

    def holds(self, x: int, y: int) -> bool:
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


class Canvas:
    """What is drawn beyond the edge is left out."""

    def __init__(self, width: int, height: int, *, ascii_only: bool = False) -> None:
        self.width, self.height = width, height
        self._ascii = ascii_only
        self.rows: list[list[Cell]] = [[(" ", "row")] * width for _ in range(height)]

    def put(self, x: int, y: int, char: str, tone: str) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            self.rows[y][x] = (char, tone)

    def text(self, x: int, y: int, text: str, tone: str) -> None:
        """One line; a wide character takes two cells."""
        for char in plain(text, self._ascii):
            size = cell_len(char)
            if size == 0 or x + size > self.width:
                continue
            self.put(x, y, char, tone)
            if size == 2:
                self.put(x + 1, y, "", tone)
            x += size

    def box(self, rect: Rect, title: str, tone: str, *, heavy: bool = False) -> None:
        """An outline with its title in the upper edge."""
        marks = (_PLAIN_HEAVY if heavy else _PLAIN) if self._ascii else (_HEAVY if heavy else _ROUND)
        right, bottom = rect.x + rect.width - 1, rect.y + rect.height - 1
        for x in range(rect.x + 1, right):
            self.put(x, rect.y, marks["h"], tone)
            self.put(x, bottom, marks["h"], tone)
        for y in range(rect.y + 1, bottom):
            self.put(rect.x, y, marks["v"], tone)
            self.put(right, y, marks["v"], tone)
        for x, y, corner in (
            (rect.x, rect.y, "tl"), (right, rect.y, "tr"), (rect.x, bottom, "bl"), (right, bottom, "br"),
        ):  # fmt: skip
            self.put(x, y, marks[corner], tone)
        room = rect.width - 4
        if room > 0 and title:
            shown = title if cell_len(title) <= room else fit(title, room)
            self.text(rect.x + 2, rect.y, f" {shown} " if cell_len(shown) + 2 <= room else shown, tone)

    def line(self, points: Sequence[Point], tone: str) -> list[Point]:
        """A line along the points, which share x or y in pairs, with an arrow's head; its cells in order."""
        marks = _PLAIN if self._ascii else _ROUND
        heads = _PLAIN_HEADS if self._ascii else _HEADS
        cells = [points[0]]
        for (x1, y1), (x2, y2) in pairwise(points):
            step = (_sign(x2 - x1), _sign(y2 - y1))
            while cells[-1] != (x2, y2):
                cells.append((cells[-1][0] + step[0], cells[-1][1] + step[1]))
        for position, (x, y) in enumerate(cells):
            into = _step(cells, position) if position else _step(cells, 1)
            out = _step(cells, position + 1) if position + 1 < len(cells) else into
            if position + 1 == len(cells):
                self.put(x, y, heads[into], tone)
            elif into != out:
                self.put(x, y, marks[_CORNERS[into, out]], tone)
            else:
                self.put(x, y, marks["v" if into[0] == 0 else "h"], tone)
        return cells

    def pieces(self, y: int) -> list[Cell]:
        """Line ``y`` as runs of one tone."""
        runs: list[Cell] = []
        for char, tone in self.rows[y]:
            if runs and runs[-1][1] == tone:
                runs[-1] = (runs[-1][0] + char, tone)
            else:
                runs.append((char, tone))
        return runs


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _step(cells: Sequence[Point], position: int) -> Point:
    """The direction from the cell before ``position`` to it."""
    (x1, y1), (x2, y2) = cells[position - 1], cells[position]
    return x2 - x1, y2 - y1
