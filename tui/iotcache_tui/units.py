"""Units as the reader likes them: only what is shown is converted, never what is stored or exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from iotcache.model import Value

System = Literal["as sent", "metric", "imperial"]
_TO_IMPERIAL: Final = {
    "°C": ("°F", 1.8, 32.0),
    "km/h": ("mph", 1 / 1.609344, 0.0),
    "m/s": ("mph", 3.6 / 1.609344, 0.0),
    "km": ("mi", 1 / 1.609344, 0.0),
    "m": ("ft", 1 / 0.3048, 0.0),
    "bar": ("psi", 14.5037738, 0.0),
    "kPa": ("psi", 0.145037738, 0.0),
    "kg": ("lb", 1 / 0.45359237, 0.0),
    "L": ("gal", 1 / 3.785411784, 0.0),
    "m³/h": ("gpm", 4.402867539, 0.0),
}
"""Factor, then what is added. The foot, the mile, the pound and the US gallon are exact by definition."""
_TO_METRIC: Final = {
    "°F": ("°C", 1 / 1.8, -32.0 / 1.8),
    "mph": ("km/h", 1.609344, 0.0),
    "mi": ("km", 1.609344, 0.0),
    "ft": ("m", 0.3048, 0.0),
    "psi": ("bar", 1 / 14.5037738, 0.0),
    "lb": ("kg", 0.45359237, 0.0),
    "gal": ("L", 3.785411784, 0.0),
}


def shown_unit(unit: str, system: System) -> str:
    """The unit that values of ``unit`` are shown in."""
    known = {"imperial": _TO_IMPERIAL, "metric": _TO_METRIC}.get(system, {})
    return known[unit][0] if unit in known else unit


def shown_value(value: Value | None, unit: str, system: System) -> Value | None:
    """The value in `shown_unit`; what is no number, or of another unit, is as it was."""
    known = {"imperial": _TO_IMPERIAL, "metric": _TO_METRIC}.get(system, {})
    if unit not in known or isinstance(value, bool | str) or value is None:
        return value
    _, factor, added = known[unit]
    return value * factor + added
