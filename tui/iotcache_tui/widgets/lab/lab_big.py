"""Big type for the back row: what a step changed, in block digits, over the plot that proves it."""

from __future__ import annotations

from typing import Final

from iotcache_simulator.lab.definition.metrics import label_of, metric_name, unit_of
from iotcache_tui.state.lab import LabView
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.lab.lab_plot import plot_lines, step_metrics

_FONT: Final = {
    "0": ("###", "#.#", "#.#", "#.#", "###"), "1": (".#.", "##.", ".#.", ".#.", "###"),
    "2": ("###", "..#", "###", "#..", "###"), "3": ("###", "..#", "###", "..#", "###"),
    "4": ("#.#", "#.#", "###", "..#", "..#"), "5": ("###", "#..", "###", "..#", "###"),
    "6": ("###", "#..", "###", "#.#", "###"), "7": ("###", "..#", "..#", "..#", "..#"),
    "8": ("###", "#.#", "###", "#.#", "###"), "9": ("###", "#.#", "###", "..#", "###"),
    "k": ("#.#", "#.#", "##.", "#.#", "#.#"), "M": ("#.#", "###", "###", "#.#", "#.#"),
    ".": (".", ".", ".", ".", "#"), "–": ("...", "...", "###", "...", "..."),
    "-": ("...", "...", "###", "...", "..."), "→": ("..#.", "...#", "####", "...#", "..#."),
    "|": ("#", "#", "#", "#", "#"), " ": (".", ".", ".", ".", "."),
}  # fmt: skip
_TALL: Final = (0, 1, 1, 2, 2, 3, 3, 4)
"""Which lines of the font make the eight of a high window."""
_TALL_FROM: Final = (100, 34)
"""Cells and lines from which the digits are eight lines high."""


def big_metrics(view: LabView) -> list[str]:
    """What the step is about; of both sides, where it is about one of them."""
    about = step_metrics(view) or [one.metric for one in view.curves[:1]]
    if not about:
        return []
    name, side = metric_name(about[0])
    return [f"{one}.{name}" for one in view.sides] if side else [about[0]]


def big_lines(view: LabView, width: int, height: int, ascii_only: bool) -> list[Line]:
    """Before → now, or the two sides of a comparison; what it is; and its plot over the rest."""
    metrics = big_metrics(view)
    if not metrics:
        return [[("figures come once a second", "dim")]]
    values = [_short(view.state.figures.get(metric)) for metric in metrics]
    state = view.state
    step = state.steps[state.shown] if state.shown < len(state.steps) else None
    before = step.before.get(metrics[0]) if step is not None else None
    unit = unit_of(metrics[0])
    if len(metrics) > 1:
        text = f"{values[0]} | {values[1]}"
        caption = f"{label_of(metric_name(metrics[0])[0])}: {' | '.join(view.sides)}"
    elif before is not None:
        text, caption = f"{_short(before)} → {values[0]}", f"{label_of(metrics[0])}: before this step → now"
    else:
        text, caption = values[0], label_of(metrics[0])
    tall = width >= _TALL_FROM[0] and height >= _TALL_FROM[1]
    rows = block_rows(text, width, tall)
    if not rows:  # too long for the window: what it has become matters most
        rows = block_rows(values[-1], width, False)
    lines: list[Line] = [[("", "row")]] if height > 16 else []
    lines += [[(row.center(width).rstrip(), "strong")] for row in rows]
    lines += [[(f"{caption}{f', {unit}' if unit else ''}".center(width).rstrip(), "dim")], [("", "row")]]
    return [*lines, *plot_lines(view, width, height - len(lines), ascii_only, metrics)]


def block_rows(text: str, width: int, tall: bool) -> list[str]:
    """``text`` in block digits; empty where it is too wide even with narrow ones."""
    for wide in (3, 2, 1) if tall else (2, 1):
        rows = [
            (" " * wide).join(
                "".join(("█" if pixel == "#" else " ") * wide for pixel in _FONT[char][line]) for char in text
            )
            for line in (_TALL if tall else range(5))
        ]
        if len(rows[0]) <= width:
            return rows
    return []


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.1f}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.0f}k"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
