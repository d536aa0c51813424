"""Properties of a metric (Eclipse Sparkplug 3.0.0, section 6.4.8): of them the engineering unit is read."""

from __future__ import annotations

from typing import Final

from iotcache.decode.limits import UNIT_LIMIT
from iotcache.decode.sparkplug.protobuf import fields, text

_NAMES: Final = frozenset({"engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units"})
"""As Ignition and others call it, without regard to case and what stands between the words."""
_STRING: Final = 8


def engineering_unit(properties: bytes) -> str:
    """The unit that a set of properties names; "" for none, and for one that is too long to be one.

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
    for key, value in zip(keys, values, strict=False):
        if "".join(filter(str.isalnum, key)).lower() in _NAMES:
            for number, content in fields(value):
                if number == _STRING and isinstance(content, bytes):
                    unit = text(content)
                    return unit if len(unit) <= UNIT_LIMIT and "\0" not in unit else ""
    return ""
