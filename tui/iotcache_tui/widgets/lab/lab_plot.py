"""The plot beside a scenario's narration: its own metrics over time, with marks where something was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from iotcache_simulator.lab.definition.metrics import metric_name
from iotcache_simulator.lab.state import Mark
from iotcache_tui.format import fit
from iotcache_tui.state.lab import LabCurve, LabView
from iotcache_tui.widgets.common.area import round_top
from iotcache_tui.widgets.common.braille import BrailleCanvas, curve
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.lab.lab_panels import figure

LEAST_BESIDE, GAP = 56, 2
"""Cells that two plots beside each other need, and what is between them."""


class _Box(NamedTuple):
    """Where a column of curves is drawn: cells, and the seconds that it spans."""

    width: int
    height: int
    begin_s: float
    end_s: float
    ascii_only: bool


def plot_lines(view: LabView, width: int, height: int, ascii_only: bool) -> list[Line]:
    """Each metric in a band of its own over the same time, with marks under it where something was done.

    The two sides of a comparison stand beside each other, on the same scale.
    """
    curves = [one for one in view.curves if any(value is not None for _, value in one.points)]
    if not curves or height < 4 or width < 20:
        return [[("figures come once a second", "dim")]] if not curves else []
    begin_s = curves[0].points[0][0]
    end_s = max(curves[0].points[-1][0], begin_s + 20.0)
    columns = _columns(view.sides, curves) if width >= LEAST_BESIDE else [curves]
    box = _Box((width - GAP * (len(columns) - 1)) // len(columns), height, begin_s, end_s, ascii_only)
    marks = view.state.marks
    lines: list[Line] = []
    for parts in zip(*(_column(column, columns, box) for column in columns), strict=True):
        lines.append(_joined(parts))
    lines.append(_joined([[(_mark_row(marks, box), "mark")]] * len(columns)))
    for number in range(len(marks), 0, -1):
        if len(lines) < height:
            mark = marks[number - 1]
            lines.append([(fit(f"{number}: {mark.text} at {mark.at_s:.0f} s", width), "dim")])
    return lines


def _columns(sides: Sequence[str], curves: Sequence[LabCurve]) -> list[Sequence[LabCurve]]:
    """A column a side, where the same metrics of both are plotted; else all in one."""
    left, right = (
        [one for one in curves if metric_name(one.metric)[1] == side] for side in sides or ("", "")
    )
    names = [[metric_name(one.metric)[0] for one in column] for column in (left, right)]
    if sides and left and names[0] == names[1] and len(left) + len(right) == len(curves):
        return [left, right]
    return [curves]


def _joined(parts: Sequence[Line]) -> Line:
    line = list(parts[0])
    for part in parts[1:]:
        line += [(" " * GAP, "dim"), *part]
    return line


def _column(curves: Sequence[LabCurve], columns: Sequence[Sequence[LabCurve]], box: _Box) -> list[Line]:
    each = max((box.height - 2) // len(curves), 3)
    lines: list[Line] = []
    for number, one in enumerate(curves[: max(1, (box.height - 2) // 3)]):
        top = max(_top(column[number]) for column in columns)
        lines += _band(one, top, box._replace(height=each))
    return lines


def _mark_row(marks: Sequence[Mark], box: _Box) -> str:
    row = [" "] * box.width
    for number, mark in enumerate(marks, 1):
        column = round((mark.at_s - box.begin_s) / (box.end_s - box.begin_s) * (box.width - 1))
        if 0 <= column < box.width:
            row[column] = str(number % 10) if not mark.note else "*"
    return "".join(row)


def _top(one: LabCurve) -> float:
    known = [value for _, value in one.points if value is not None]
    return 100.0 if one.unit == "%" else round_top(max(known))


def _band(one: LabCurve, top: float, box: _Box) -> list[Line]:
    known = [(at, value) for at, value in one.points if value is not None]
    canvas = BrailleCanvas(box.width, box.height - 1, box.ascii_only)
    curve(canvas, known, (box.begin_s, box.end_s), (0.0, top), gap=3.0)
    title = f"{one.metric} {figure(known[-1][1], one.unit)} {one.unit}".rstrip()
    scale = f" 0 to {top:g}"
    if len(title) + len(scale) > box.width:
        scale = f" {top:g}"
    if len(title) + len(scale) > box.width:
        title = title.removesuffix(f" {one.unit}")
    head: Line = [(fit(title, max(box.width - len(scale), 4)), "strong"), (scale, "dim")]
    return [head, *([(row, "curve")] for row in canvas.rows())]
