"""Properties of a metric (Eclipse Sparkplug 3.0.0, section 6.4.8): its engineering unit, and its quality."""

from __future__ import annotations

from typing import Final

from iotcache.decode.limits import UNIT_LIMIT
from iotcache.decode.sparkplug.protobuf import fields, text

_UNITS: Final = frozenset({"engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units"})
"""As Ignition and others call it, without regard to case and what stands between the words."""
_QUALITY: Final = "Quality"
_INT, _LONG, _STRING = 3, 4, 8
GOOD: Final = range(192, 256)
"""192 is good, 0 bad and 500 stale; programs with OPC's qualities have more that are good."""


def read_properties(properties: bytes) -> tuple[str, int | None]:
    """The unit that a set of properties names ("" for none, and for one that is too long to be one), and the
    quality (``None`` where it says none, which is good).

    Raises `NotSparkplug`.
    """
    keys: list[str] = []
    values: list[bytes] = []
    for number, content in fields(properties):
        if isinstance(content, bytes):
            if number == 1:
                keys.append(text(content))
            elif number == 2:
                values.append(content)
    unit, quality = "", None
    for key, value in zip(keys, values, strict=False):
        is_unit = not unit and "".join(filter(str.isalnum, key)).lower() in _UNITS
        if not is_unit and key != _QUALITY:
            continue
        for number, content in fields(value):
            if is_unit and number == _STRING and isinstance(content, bytes):
                found = text(content)
                unit = found if len(found) <= UNIT_LIMIT and "\0" not in found else ""
            elif not is_unit and number in {_INT, _LONG} and isinstance(content, int):
                quality = content
    return unit, quality
