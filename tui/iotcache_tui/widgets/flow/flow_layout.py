"""Where the boxes of the pipeline stand and which way its arrows run, for the room there is."""

from __future__ import annotations

from msgspec import Struct

from iotcache_tui.state.flow import BOXES
from iotcache_tui.widgets.common.canvas import Point, Rect

BOX_LINES = 6
ACROSS_FROM = 96
"""Cells of width from which all boxes stand in one row."""
LEAST_WIDTH, LEAST_HEIGHT = 66, 16
_MOST_BOX = 28
_MOST_GAP = 22


class Path(Struct, frozen=True):
    """One arrow: its corners, and where its figure and its curve are written."""

    points: tuple[Point, ...]
    label: Point
    curve: Point
    room: int
    """Cells for label and curve."""


class Layout(Struct, frozen=True):
    rects: dict[str, Rect]
    paths: tuple[Path, ...]
    """In the order of `iotcache_tui.state.flow.ARROWS`."""
    height: int


def arrange(width: int, height: int) -> Layout | None:
    """The picture for this room; ``None`` when there is none and a list has to do."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return None
    return _across(width) if width >= ACROSS_FROM else _two_rows(width)


def _across(width: int) -> Layout:
    """Simulator, broker, workers; nodes above the store; readers."""
    gap = min(max(10, (width - 5 * _MOST_BOX) // 4), _MOST_GAP)
    box = min((width - 4 * gap) // 5, _MOST_BOX)
    left = (width - 5 * box - 4 * gap) // 2
    column = [left + index * (box + gap) for index in range(5)]
    middle, upper, lower = 5, 0, 10
    rects = {
        "simulator": Rect(column[0], middle, box, BOX_LINES),
        "broker": Rect(column[1], middle, box, BOX_LINES),
        "workers": Rect(column[2], middle, box, BOX_LINES),
        "nodes": Rect(column[3], upper, box, BOX_LINES),
        "store": Rect(column[3], lower, box, BOX_LINES),
        "readers": Rect(column[4], middle, box, BOX_LINES),
    }

    def ends(source: int, target: int) -> tuple[int, int]:
        return column[source] + box, column[target] - 1

    def straight(source: int) -> Path:
        first, last = ends(source, source + 1)
        y = middle + 2
        return Path(((first, y), (last, y)), (first + 1, y - 1), (first + 1, y + 1), gap - 2)

    def bent(source: int, target: int, *, up: bool, away: bool) -> Path:
        """``away``: from the middle row to the upper or lower one; else back to the middle."""
        first, last = ends(source, target)
        half = (first + last) // 2
        near = middle + 1 if up else middle + 4
        far = upper + 2 if up else lower + 3
        y1, y2 = (near, far) if away else (far, near)
        label, curve = (far - 2, far - 1) if up else (far + 1, far + 2)
        return Path(
            ((first, y1), (half, y1), (half, y2), (last, y2)), (first + 1, label), (first + 1, curve), gap - 2
        )

    return Layout(
        rects,
        (
            straight(0),
            straight(1),
            bent(2, 3, up=True, away=True),
            bent(2, 3, up=False, away=True),
            bent(3, 4, up=True, away=False),
            bent(3, 4, up=False, away=False),
        ),
        lower + BOX_LINES,
    )


def _two_rows(width: int) -> Layout:
    """Simulator, broker, workers; below them, the way back: store on the right, nodes, readers."""
    gap = 9
    box = min((width - 2 * gap) // 3, 24)
    left = (width - 3 * box - 2 * gap) // 2
    column = [left + index * (box + gap) for index in range(3)]
    upper, lower = 0, BOX_LINES + 3
    rects = {
        "simulator": Rect(column[0], upper, box, BOX_LINES),
        "broker": Rect(column[1], upper, box, BOX_LINES),
        "workers": Rect(column[2], upper, box, BOX_LINES),
        "readers": Rect(column[0], lower, box, BOX_LINES),
        "nodes": Rect(column[1], lower, box, BOX_LINES),
        "store": Rect(column[2], lower, box, BOX_LINES),
    }

    def straight(source: int) -> Path:
        first, last, y = column[source] + box, column[source + 1] - 1, upper + 2
        return Path(((first, y), (last, y)), (first + 1, y - 1), (first + 1, y + 1), gap - 2)

    below = upper + BOX_LINES
    down = column[2] + box - 11
    turn = column[2] + 3
    to_nodes = column[1] + box // 2
    back = lower + 2
    under = lower + BOX_LINES
    to_store, to_readers = column[2] + box // 2, column[0] + box // 2
    return Layout(
        rects,
        (
            straight(0),
            straight(1),
            Path(
                ((turn, below), (turn, below + 1), (to_nodes, below + 1), (to_nodes, below + 2)),
                (to_nodes + 2, below),
                (to_nodes + 2, below + 2),
                max(turn - to_nodes - 3, 4),
            ),
            Path(((down, below), (down, below + 2)), (down + 2, below), (down + 2, below + 1), 8),
            Path(
                ((column[1] - 1, back), (column[0] + box, back)),
                (column[0] + box + 1, back - 1),
                (column[0] + box + 1, back + 1),
                gap - 2,
            ),
            Path(
                ((to_store, under), (to_store, under + 1), (to_readers, under + 1), (to_readers, under)),
                (to_readers + 2, under),
                (to_readers + 14, under),
                12,
            ),
        ),
        under + 2,
    )


def towards(layout: Layout, name: str, dx: int, dy: int) -> str:
    """The nearest box in a direction; the same one when there is none."""
    x, y = layout.rects[name].centre
    best, best_way = name, float("inf")
    for other in BOXES:
        ox, oy = layout.rects[other].centre
        # Cells are twice as tall as wide.
        along, across = ((ox - x) * dx, abs(oy - y) * 2) if dx else ((oy - y) * 2 * dy, abs(ox - x))
        if other != name and along > 0.5 and along + 2 * across < best_way:
            best, best_way = other, along + 2 * across
    return best
