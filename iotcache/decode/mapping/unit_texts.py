"""Texts that hold a number: ``21.5``, or one with its unit: ``21.5 °C``, ``45%``, ``0.0 kW``."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = frozenset({
    "°C", "°F", "°K", "K", "C", "F", "%", "%RH", "‰", "°", "deg", "rad", "V", "mV", "kV", "A", "mA",
    "kA", "W", "mW", "kW", "MW", "VA", "kVA", "var", "kvar", "Wh", "kWh", "MWh", "GWh", "J", "kJ", "MJ",
    "GJ", "Ah", "mAh", "Ω", "ohm", "kΩ", "Hz", "kHz", "MHz", "GHz", "Pa", "hPa", "kPa", "MPa", "bar",
    "mbar", "psi", "mmHg", "inHg", "N", "Nm", "kg", "g", "mg", "t", "lb", "mm", "cm", "m", "km", "in",
    "ft", "mi", "mm/h", "m/s", "km/h", "mph", "kn", "l", "L", "ml", "mL", "m³", "m3", "gal", "l/h",
    "l/min", "L/min", "l/s", "m³/h", "m3/h", "lx", "lm", "klx", "cd", "dB", "dBA", "dBm", "ppm", "ppb",
    "µg/m³", "μg/m³", "ug/m3", "mg/m³", "mg/l", "µS/cm", "μS/cm", "mS/cm", "pH", "NTU", "s", "ms", "µs",
    "μs", "us", "min", "h", "d", "rpm", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "bit/s", "kbit/s",
    "Mbit/s", "EUR", "€", "$", "€/kWh",
})  # fmt: skip
"""Others are more often a version, a model or a sentence."""
_DIGITS: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-][0-9]+)?"
"""As JSON writes a number, less ``58e034``: programs write 5.8e35 or 58E+34, and that is an identifier."""
_NUMBER: Final = re.compile(_DIGITS)
_WITH_UNIT: Final = re.compile(rf"({_DIGITS})[ \u00a0\u202f]?(\D\S{{0,9}})")
_LONGEST: Final = 64
"""In characters."""


def number_in(text: str) -> int | float | None:
    """The number that a text is; ``None`` for any other text, as are ``007`` and ``+5``."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def number_and_unit(text: str) -> tuple[int | float, str] | None:
    """The number and the unit that a text holds; ``None`` for any other text."""
    found = _WITH_UNIT.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found[2] not in UNITS:
        return None
    number = number_in(found[1])
    return None if number is None else (number, found[2])
