"""A small plot as SVG, for the summary: one metric over time, with marks where something was done."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from iotcache_simulator.lab.state import Mark

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 240, 60, 36, 28


def plot(title: str, unit: str, points: Sequence[tuple[float, float | None]], marks: Sequence[Mark]) -> str:
    """An SVG document; a second without a figure leaves a gap."""
    known = [value for _, value in points if value is not None]
    top = max([*known, 1.0]) * 1.05
    end_s = max([at for at, _ in points], default=1.0) or 1.0

    def x(at: float) -> float:
        return _LEFT + at / end_s * (_WIDTH - _LEFT - 12)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - max(value, 0.0) / top * (_HEIGHT - _BOTTOM - _TOP)

    runs: list[list[str]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{x(at):.1f},{y(value):.1f}")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(f"{title}, {unit}".rstrip(", "))}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        value = top / 1.05 * share
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            'stroke="#d5dbe1"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for number, mark in enumerate(marks, 1):
        lines.append(
            f'<line x1="{x(mark.at_s):.1f}" x2="{x(mark.at_s):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
            'stroke="#b35c00" stroke-dasharray="3 3"/>'
            f'<text x="{x(mark.at_s) + 3:.1f}" y="{_TOP + 10}" fill="#b35c00">{number}'
            f"<title>{escape(mark.text)}</title></text>"
        )
    for run in runs:
        if len(run) == 1:
            left, upper = run[0].split(",")
            lines.append(f'<circle cx="{left}" cy="{upper}" r="2" fill="#0b7285"/>')
        elif run:
            lines.append(
                f'<polyline points="{" ".join(run)}" fill="none" stroke="#0b7285" stroke-width="2"/>'
            )
    lines.append(f'<text x="{_WIDTH - 12}" y="{_HEIGHT - 12}" text-anchor="end">{end_s:.0f} s</text></svg>')
    return "\n".join(lines) + "\n"
