"""The plots of a scenario: its metrics over time, with a line through all where something was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from iotcache_simulator.lab.definition.metrics import label_of, metric_name
from iotcache_simulator.lab.state import Mark
from iotcache_tui.format import fit
from iotcache_tui.state.lab import LabCurve, LabView
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.panel import Line, Piece
from iotcache_tui.widgets.lab.figures import counted

LEAST_BESIDE: Final = 40
"""Cells that two plots beside each other need."""
BETWEEN: Final = " │ "
BAND_LEAST: Final = 4
"""Lines of a plot with its title."""
HELD_S: Final = 3.0
"""A figure stands for so long, when the next one is late; then there is a gap."""
LABEL_LEAST: Final = 5
LEAST_SPAN_S: Final = 20.0


class _Box(NamedTuple):
    """Where a column of curves is drawn: cells, and the seconds that it spans."""

    width: int
    height: int
    begin_s: float
    end_s: float
    ascii_only: bool

    def column(self, at_s: float) -> int:
        return int((at_s - self.begin_s) / (self.end_s - self.begin_s) * self.width)


def plot_lines(
    view: LabView, width: int, height: int, ascii_only: bool, only: Sequence[str] | None = None
) -> list[Line]:
    """Each metric in a band of its own over the same time; the two sides of a comparison beside each other.

    Where there is no room for all, those stay that the step is about; ``only`` names others.
    """
    curves = [one for one in view.curves if any(value is not None for _, value in one.points)]
    wanted = _wanted(view, curves) if only is None else _named(curves, only)
    if not wanted:
        return [[("figures come once a second", "dim")]]
    if height < BAND_LEAST or width < 20:
        return []
    begin_s = min(one.points[0][0] for one in wanted)
    end_s = max(*(one.points[-1][0] for one in wanted), begin_s + LEAST_SPAN_S)
    labels = 2 if height >= 10 else 1
    columns = _columns(view, wanted, (height - labels) // BAND_LEAST, beside=width >= LEAST_BESIDE)
    each = (width - len(BETWEEN) * (len(columns) - 1)) // len(columns)
    box = _Box(each, height - labels, begin_s, end_s, ascii_only)
    marks = _grouped(view.state.marks, box)
    tops = [max(_top(column[number]) for column in columns) for number in range(len(columns[0]))]
    drawn = [_named_marks(marks, box, labels) + _bands(column, tops, marks, box) for column in columns]
    return [_joined(parts) for parts in zip(*drawn, strict=True)]


def left_out(view: LabView, width: int, height: int) -> int:
    """How many plots there is no room for."""
    curves = _wanted(view, [one for one in view.curves if any(value is not None for _, value in one.points)])
    room = max((height - (2 if height >= 10 else 1)) // BAND_LEAST, 1)
    shown = sum(len(column) for column in _columns(view, curves, room, beside=width >= LEAST_BESIDE))
    return len(curves) - shown if curves else 0


def step_metrics(view: LabView) -> list[str]:
    """The metrics that the step on show is about, its proof first."""
    state = view.state
    if state.shown >= len(view.steps):
        return []
    return list(dict.fromkeys(view.steps[state.shown].metrics))


def _wanted(view: LabView, curves: Sequence[LabCurve]) -> list[LabCurve]:
    """The scenario's plots; where the step is about none of them, first what proves it, of both sides."""
    plotted = [one for one in curves if one.plotted]
    about = step_metrics(view)
    if not about or any(one.metric in about for one in plotted):
        return plotted
    name = metric_name(about[0])[0]
    return [*(one for one in curves if metric_name(one.metric)[0] == name and not one.plotted), *plotted]


def _named(curves: Sequence[LabCurve], names: Sequence[str]) -> list[LabCurve]:
    found = [one for name in names for one in curves if one.metric == name]
    return found or list(curves[:1])


def _columns(
    view: LabView, curves: Sequence[LabCurve], room: int, *, beside: bool
) -> list[Sequence[LabCurve]]:
    """A column a side, where the same metrics of both are plotted; else all in one. At most ``room`` each."""
    room = max(room, 1)
    if view.sides and beside:
        by_side = [[one for one in curves if metric_name(one.metric)[1] == side] for side in view.sides]
        names = [[metric_name(one.metric)[0] for one in column] for column in by_side]
        if names[0] and names[0] == names[1] and sum(map(len, by_side)) == len(curves):
            about = [metric_name(name)[0] for name in step_metrics(view)]
            kept = _kept(names[0], about, room)
            return [
                [one for one, name in zip(column, names[0], strict=True) if name in kept]
                for column in by_side
            ]
    kept = _kept([one.metric for one in curves], step_metrics(view), room)
    return [[one for one in curves if one.metric in kept]]


def _kept(names: Sequence[str], about: Sequence[str], room: int) -> set[str]:
    """Which of ``names`` are drawn: what the step is about goes first, then the scenario's own order."""
    ranked = [name for name in about if name in names] + [name for name in names if name not in about]
    return set(list(dict.fromkeys(ranked))[:room])


def _joined(parts: Sequence[Line]) -> Line:
    line = list(parts[0])
    for part in parts[1:]:
        line += [(BETWEEN, "dim"), *part]
    return line


# Marks


class _Group(NamedTuple):
    """What was done within one column."""

    column: int
    text: str


def _grouped(marks: Sequence[Mark], box: _Box) -> list[_Group]:
    by_column: dict[int, list[str]] = {}
    for mark in marks:
        column = min(box.column(mark.at_s), box.width - 1)
        if column >= 0:
            by_column.setdefault(column, []).append(f"* {mark.text}" if mark.note else mark.text)
    return [_Group(column, ", ".join(dict.fromkeys(texts))) for column, texts in sorted(by_column.items())]


def _named_marks(groups: Sequence[_Group], box: _Box, lines: int) -> list[Line]:
    """The names of the marks over the plots, each beside its line and none over another; the newest first."""
    rows = [[" "] * box.width for _ in range(lines)]
    for group in reversed(groups):
        _put_name(rows, group, [one.column for one in groups if one.column != group.column])
    return [[("".join(row), "mark")] for row in rows]


def _put_name(rows: list[list[str]], group: _Group, others: Sequence[int]) -> None:
    width = len(rows[0])
    size = len(group.text) + 1
    best: tuple[int, int, int] | None = None
    for number, row in enumerate(rows):
        right = next((at for at in range(group.column, width) if row[at] != " "), width) - group.column
        left = group.column - next((at for at in range(group.column, -1, -1) if row[at] != " "), -1)
        for room, start in ((right, 0), (left, 1)):
            length = min(size, room)
            if (length == size or length > LABEL_LEAST) and (best is None or length > best[0]):
                best = length, number, start
    for row in rows:
        if row[group.column] == " ":
            row[group.column] = "│"
    if best is None:
        return
    length, number, leftward = best
    text = fit(group.text, length - 1)
    if leftward:
        rows[number][group.column - length + 1 : group.column] = list(text)
    else:
        rows[number][group.column + 1 : group.column + length] = list(text)


# Curves


def _bands(
    curves: Sequence[LabCurve], tops: Sequence[float], marks: Sequence[_Group], box: _Box
) -> list[Line]:
    each, over = divmod(box.height, len(curves))
    lines: list[Line] = []
    for number, one in enumerate(curves):
        height = each + (number < over)
        lines.append(_title(one, tops[number], box.width))
        values = _sampled(one.points, box)
        rows = area(values, height - 1, 0.0, tops[number], box.ascii_only)
        lines += [_crossed(row, marks) for row in rows]
    return lines


def _title(one: LabCurve, top: float, width: int) -> Line:
    """The metric, its value now, and the scale; a narrow one loses the scale, then letters of its name."""
    last = next((value for _, value in reversed(one.points) if value is not None), None)
    value = f" {counted(last, one.unit)}"
    scale = f" 0 to {top:g}"
    label = label_of(one.metric)
    if len(label) + len(value) + len(scale) > width:
        scale = ""
    name = fit(label, min(len(label), max(width - len(value) - len(scale), 1)))
    return [(name, "dim"), (fit(value, width - len(name) - len(scale)), "strong"), (scale, "dim")]


def _crossed(row: str, marks: Sequence[_Group]) -> Line:
    """A line of a plot with the marks through it."""
    pieces: list[Piece] = []
    begin = 0
    for mark in marks:
        pieces += [(row[begin : mark.column], "curve"), ("│", "mark")]
        begin = mark.column + 1
    return [piece for piece in (*pieces, (row[begin:], "curve")) if piece[0]]


def _top(one: LabCurve) -> float:
    known = [value for _, value in one.points if value is not None]
    return 100.0 if one.unit == "%" else round_top(max(known, default=1.0))


def _sampled(points: Sequence[tuple[float, float | None]], box: _Box) -> list[float | None]:
    """One value a column: of several that furthest from what is drawn before it: no spike is lost."""
    heard: dict[int, list[float]] = {}
    for at, value in points:
        column = min(box.column(at), box.width - 1)
        if value is not None and column >= 0:
            heard.setdefault(column, []).append(value)
    per_column_s = (box.end_s - box.begin_s) / box.width
    last_column = box.column(points[-1][0])
    values: list[float | None] = []
    last: float | None = None
    since = 0
    for column in range(box.width):
        if column in heard:
            before = last if last is not None else heard[column][0]
            last = max(heard[column], key=lambda value: abs(value - before))
            since = column
        elif (column - since) * per_column_s > HELD_S or column > last_column:
            last = None
        values.append(last)
    return values
