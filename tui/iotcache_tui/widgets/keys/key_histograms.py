"""The histograms of the key browser: three beside each other, or one below the other where it is narrow."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache_tui.format import bar, count, data_size, duration, fit
from iotcache_tui.state.keys.histograms import Spread
from iotcache_tui.widgets.common.panel import Line, Piece

LEAST_BESIDE = 84
"""Cells that three beside each other need."""
_LABEL, _COUNT = 6, 6


def spread_lines(spreads: Sequence[Spread], width: int, height: int, ascii_only: bool) -> list[Line]:
    """A line a range of values that has keys; the longest ranges of empty ones at both ends are left out."""
    if width >= LEAST_BESIDE:
        each = (width - 2) // len(spreads)
        columns = [_column(one, each - 2, height, ascii_only) for one in spreads]
        blank: list[Piece] = [(" " * (each - 2), "row")]
        lines: list[Line] = []
        for at in range(min(max(map(len, columns)), height)):
            line: list[Piece] = []
            for column in columns:
                line += [*(column[at] if at < len(column) else blank), ("  ", "row")]
            lines.append(line)
        return lines
    return [line for one in spreads for line in _column(one, width - 2, height, ascii_only)]


def _column(one: Spread, width: int, height: int, ascii_only: bool) -> list[Line]:
    held = [at for at, number in enumerate(one.counts) if number]
    if not held:
        return [[(fit(f"{one.name}: no keys", width), "dim")]]
    ranges = list(range(held[0], held[-1] + 1))
    groups = _merged(ranges, max(height - 1, 1))
    most = max(sum(one.counts[at] for at in group) for group in groups)
    lines: list[Line] = [[(fit(one.name, width), "strong")]]
    for group in groups:
        number = sum(one.counts[at] for at in group)
        label = one.last if group[-1] == len(one.bounds) else f"<{_bound(one, group[-1])}"
        lines.append(
            [
                (fit(label, _LABEL, right=True) + " ", "dim"),
                (bar(number / most, max(width - _LABEL - _COUNT - 2, 4), ascii_only), "bar"),
                (" " + fit(count(number), _COUNT, right=True), "row"),
            ]
        )
    return lines


def _bound(one: Spread, at: int) -> str:
    value = one.bounds[at]
    return duration(value) if one.seconds else data_size(value)


def _merged(ranges: list[int], most: int) -> list[list[int]]:
    """Neighbours together, so that there are no more than ``most``."""
    each = -(-len(ranges) // most)
    return [ranges[first : first + each] for first in range(0, len(ranges), each)]
