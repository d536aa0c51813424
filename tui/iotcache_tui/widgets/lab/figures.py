"""Figures of the Lab as text: the same form in lights, figures, plots and big type."""

from __future__ import annotations

from iotcache_tui.format import milliseconds, rate


def figure(value: float | None, unit: str) -> str:
    """A value without its unit; a dash while nothing is measured."""
    if value is None:
        return "–"
    if unit == "ms":
        return milliseconds(value)
    if unit == "%":
        return f"{value:.1f}"
    return rate(value)


def counted(value: float | None, unit: str) -> str:
    """A value with its unit; one node is no nodes."""
    if value == 1 and unit.endswith("s") and "/" not in unit and unit not in ("s", "ms"):
        unit = unit[:-1]
    return f"{figure(value, unit)} {unit}".rstrip()
