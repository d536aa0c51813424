"""Readings as bytes: the default JSON payload, rendered by a template per sensor.

``{"device","sensor","value","unit","ts","seq","boot"}``, ``ts`` in RFC 3339 UTC with milliseconds.
"""

from __future__ import annotations

import json
from functools import lru_cache

from iotcache.clock import utc_text
from simulator.fleet.classes import Sensor


def json_templates(sensor: Sensor) -> tuple[bytes, bytes]:
    """Two ``%`` templates whose results, one behind the other, are a payload.

    The first takes (device, text of the value); the second (time to the second, milliseconds, seq, boot),
    and is the same for every device measured in one millisecond.
    """
    name, unit = (
        json.dumps(text, ensure_ascii=False).replace("%", "%%") for text in (sensor.name, sensor.unit)
    )
    return (
        f'{{"device":"%b","sensor":{name},"value":%b'.encode(),
        f',"unit":{unit},"ts":"%b.%03dZ","seq":%d,"boot":"%b"}}'.encode(),
    )


def value_texts(sensor: Sensor) -> tuple[bytes, ...]:
    """The JSON texts of a state sensor's values by number; empty for a number."""
    if sensor.kind == "boolean":
        return b"false", b"true"
    return tuple(json.dumps(state, ensure_ascii=False).encode() for state in sensor.states)


@lru_cache(maxsize=64)
def second_text(second: int) -> bytes:
    """RFC 3339 of a whole second since the Unix epoch, without the zone: ``2026-11-22T12:00:00``."""
    return utc_text(second * 1_000_000).rstrip("Z").encode()
