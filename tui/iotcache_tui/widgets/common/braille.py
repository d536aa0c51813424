"""Curves in braille dots, two by four a cell; or in asterisks, one a cell, where there is no Unicode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class BrailleCanvas:
    """``width`` by ``height`` cells; dots are counted from the lower left corner."""

    def __init__(self, width: int, height: int, ascii_only: bool = False) -> None:
        self._per_x, self._per_y = (1, 1) if ascii_only else (2, 4)
        self._ascii = ascii_only
        self._width, self._height = width, height
        self.dots_wide, self.dots_high = width * self._per_x, height * self._per_y
        self._cells = bytearray(width * height)

    def dot(self, x: int, y: int) -> None:
        """Set one; what lies outside is left out."""
        if 0 <= x < self.dots_wide and 0 <= y < self.dots_high:
            column, over = divmod(x, self._per_x)
            row, under = divmod(self.dots_high - 1 - y, self._per_y)
            self._cells[row * self._width + column] |= 1 if self._ascii else _DOTS[over][under]

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A straight line, both ends included (Bresenham)."""
        across, up = abs(x1 - x0), -abs(y1 - y0)
        step_x, step_y = (1 if x0 < x1 else -1), (1 if y0 < y1 else -1)
        error = across + up
        while True:
            self.dot(x0, y0)
            if x0 == x1 and y0 == y1:
                return
            twice = 2 * error
            if twice >= up:
                error += up
                x0 += step_x
            if twice <= across:
                error += across
                y0 += step_y

    def rows(self) -> list[str]:
        """The lines of text, the top first."""
        cells = self._cells
        glyphs = [" ", "*"] if self._ascii else None
        return [
            "".join(
                (glyphs[cell] if glyphs else chr(_BLANK + cell) if cell else " ")
                for cell in cells[row * self._width : (row + 1) * self._width]
            )
            for row in range(self._height)
        ]


def curve(
    canvas: BrailleCanvas,
    points: Iterable[tuple[float, float]],
    across: tuple[float, float],
    upward: tuple[float, float],
    *,
    gap: float,
    steps: bool = False,
) -> None:
    """Draw points, given by growing x, within the limits ``across`` and ``upward``.

    Two that are further apart than ``gap`` are not joined; ``steps`` keeps a value until the next one.
    """
    left, right = across
    low, high = upward
    to_x = (canvas.dots_wide - 1) / (right - left)
    to_y = (canvas.dots_high - 1) / (high - low) if high > low else 0.0
    before: tuple[float, int, int] | None = None
    for at, value in points:
        x, y = round((at - left) * to_x), round((value - low) * to_y)
        if before is None or at - before[0] > gap:
            canvas.dot(x, y)
        elif x >= 0 and before[1] < canvas.dots_wide:
            _, x0, y0 = before
            if x0 < 0 < x:  # it comes in from the left
                y0, x0 = (y0 if steps else round(y0 + (y - y0) * -x0 / (x - x0))), 0
            if steps:
                canvas.line(x0, y0, x, y0)
                canvas.line(x, y0, x, y)
            else:
                canvas.line(x0, y0, x, y)
        before = at, x, y


def round_limits(values: Sequence[float]) -> tuple[float, float, float]:
    """Low and high end of a scale around the values, and the step of its marks: all round, from few choices,
    so that they move seldom."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-6):
        reach = max(abs(high) * 0.05, 0.5)
        low, high = low - reach, high + reach
    step = 10.0 ** int(f"{high - low:e}".partition("e")[2])
    step = next((step * share for share in (0.1, 0.2, 0.5) if (high - low) / (step * share) <= 8), step)
    return floor(low / step + 1e-6) * step, ceil(high / step - 1e-6) * step, step
