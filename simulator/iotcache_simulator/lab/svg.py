"""A small plot as SVG, for the summary: one metric over time, with marks where something was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from iotcache_simulator.lab.state import Mark

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 720, 280, 64, 16, 44, 44
_COLOURS: Final = (("#0b7285", ""), ("#b35c00", "6 3"))
"""Line and dashes of the first and the second side: they can be told without colour."""
_TICKS: Final = (1, 2, 2.5, 5, 10)
_LABEL_PX: Final = 6.2
"""About the width of a letter."""
Points = Sequence[tuple[float, float | None]]


def plot(title: str, unit: str, curves: Mapping[str, Points], marks: Sequence[Mark]) -> str:
    """An SVG document with a line for each of ``curves``; a second without a figure leaves a gap."""
    known = [value for points in curves.values() for _, value in points if value is not None]
    step = _round_step(max([*known, 1.0]) / 4)
    top = step * 4 if step * 4 >= max([*known, 1.0]) else step * 5
    end_s = max([at for points in curves.values() for at, _ in points], default=1.0) or 1.0

    def x(at: float) -> float:
        return _LEFT + at / end_s * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - max(value, 0.0) / top * (_HEIGHT - _BOTTOM - _TOP)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(f"{title}, {unit}".rstrip(", "))}</text>',
    ]
    for number in range(round(top / step) + 1):
        value = step * number
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            'stroke="#d5dbe1"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.10g}</text>'
        )
    every_s = _round_step(end_s / 6)
    for number in range(int(end_s / every_s) + 1):
        at = every_s * number
        lines.append(
            f'<text x="{x(at):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{at:g} s</text>'
        )
    lines += _named_marks(marks, x)
    for number, (name, points) in enumerate(curves.items()):
        colour, dashes = _COLOURS[number % len(_COLOURS)]
        lines += _line(points, x, y, colour, dashes)
        if len(curves) > 1:
            left = _LEFT + number * (_WIDTH - _LEFT) / 2
            dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
            lines.append(
                f'<line x1="{left:.0f}" x2="{left + 24:.0f}" y1="{_HEIGHT - 10}" y2="{_HEIGHT - 10}" '
                f'stroke="{colour}" stroke-width="2"{dashed}/>'
                f'<text x="{left + 30:.0f}" y="{_HEIGHT - 6}">{escape(name)}</text>'
            )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _round_step(least: float) -> float:
    """The least round number that is not below ``least``."""
    size = 10.0 ** int(f"{max(least, 1e-9):e}".partition("e")[2])
    return next(size * factor for factor in _TICKS if size * factor >= least * (1 - 1e-9))


def _named_marks(marks: Sequence[Mark], x: Callable[[float], float]) -> list[str]:
    """A line for each, numbered as in the summary; those of one moment share a label."""
    lines: list[str] = []
    groups: list[tuple[float, list[int]]] = []
    for number, mark in enumerate(marks, 1):
        at = x(mark.at_s)
        lines.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{_HEIGHT - _BOTTOM}" stroke="#8a8f98" '
            f'stroke-dasharray="3 3"><title>{escape(mark.text)}</title></line>'
        )
        if groups and at - groups[-1][0] < _LABEL_PX * (len(", ".join(map(str, groups[-1][1]))) + 1):
            groups[-1][1].append(number)
        else:
            groups.append((at, [number]))
    lines += [
        f'<text x="{at:.1f}" y="{_TOP - 10}" fill="#5c6370">{", ".join(map(str, numbers))}</text>'
        for at, numbers in groups
    ]
    return lines


def _line(
    points: Points, x: Callable[[float], float], y: Callable[[float], float], colour: str, dashes: str
) -> list[str]:
    runs: list[list[str]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{x(at):.1f},{y(value):.1f}")
    drawn: list[str] = []
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    for run in runs:
        if len(run) == 1:
            left, upper = run[0].split(",")
            drawn.append(f'<circle cx="{left}" cy="{upper}" r="2" fill="{colour}"/>')
        elif run:
            drawn.append(
                f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
            )
    return drawn
