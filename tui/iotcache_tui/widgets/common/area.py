"""A filled curve in block characters, eight steps a cell: the small plots of figures over time."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#"


def area(
    values: Sequence[float | None], height: int, low: float, high: float, ascii_only: bool = False
) -> list[str]:
    """``height`` lines, the top first; a column a value, filled from ``low``; ``None`` leaves a gap.

    A known value never vanishes: the least of them has one step.
    """
    glyphs = _ASCII if ascii_only else _EIGHTHS
    steps = len(glyphs) - 1
    span = max(high - low, 1e-12)
    levels = [
        None if value is None else max(1, round(min(max((value - low) / span, 0.0), 1.0) * height * steps))
        for value in values
    ]
    return [
        "".join(
            " " if level is None else glyphs[min(max(level - floor * steps, 0), steps)] for level in levels
        )
        for floor in range(height - 1, -1, -1)
    ]


def round_top(most: float, least: float = 1.0) -> float:
    """A round end for a scale, from few choices, so that it moves seldom."""
    top = 10.0 ** int(f"{max(most, least):e}".partition("e")[2])
    for factor in (1, 2, 5, 10):
        if top * factor >= most:
            return top * factor
    return top * 10
