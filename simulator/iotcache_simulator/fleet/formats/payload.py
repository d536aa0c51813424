"""Readings as bytes: the default JSON payload, put together from parts that many readings share.

``{"device","sensor","value","unit","ts","seq","boot"}``, ``ts`` in RFC 3339 UTC with milliseconds.
"""

from __future__ import annotations

import json
from functools import lru_cache

from iotcache.clock import utc_text
from iotcache_simulator.fleet.definition import Sensor

_KNOWN_MOMENTS = 256
_KNOWN_NUMBERS = 16_384


class JsonParts:
    """What stands between the values in a sensor's payloads."""

    __slots__ = ("parts",)

    def __init__(self, sensor: Sensor) -> None:
        name, unit = (json.dumps(text, ensure_ascii=False) for text in (sensor.name, sensor.unit))
        self.parts = (
            b'{"device":"',
            f'","sensor":{name},"value":'.encode(),
            f',"unit":{unit},"ts":"'.encode(),
        )
        """Before the device, before the value, before the time."""

    def tail(self, seq: int, boot: bytes) -> bytes:
        """All that follows the time."""
        return b'Z","seq":%d,"boot":"%b"}' % (seq, boot)

    def payload(self, device: bytes, value: bytes, stamp: bytes, tail: bytes) -> bytes:
        """One payload whole; ``stamp`` is a text of `TimeTexts`."""
        start, middle, after = self.parts
        return b"".join((start, device, middle, value, after, stamp, tail))


class TimeTexts(dict[int, bytes]):
    """Milliseconds since the Unix epoch -> RFC 3339 without the zone. Those near each other are kept."""

    def __missing__(self, ms: int) -> bytes:
        if len(self) >= _KNOWN_MOMENTS:
            self.clear()
        self[ms] = text = b"%b.%03d" % (_second_text(ms // 1_000), ms % 1_000)
        return text


class IntegerTexts(dict[int, bytes]):
    """Whole numbers in decimal. Those near each other are kept."""

    def __missing__(self, number: int) -> bytes:
        if len(self) >= _KNOWN_MOMENTS:
            self.clear()
        self[number] = text = b"%d" % number
        return text


class DecimalTexts(dict[int, bytes]):
    """Numbers in units of their last decimal, as texts: ``-5 -> -0.5`` for one decimal."""

    def __init__(self, precision: int) -> None:
        super().__init__()
        self._digits = f"%.{precision}f".encode()
        self._scale = float(10**precision)

    def __missing__(self, count: int) -> bytes:
        text = self._digits % (count / self._scale)
        if len(self) < _KNOWN_NUMBERS:
            self[count] = text
        return text


@lru_cache(maxsize=8)
def decimals(precision: int) -> DecimalTexts:
    """One for all sensors of this precision."""
    return DecimalTexts(precision)


def value_texts(sensor: Sensor) -> tuple[bytes, ...]:
    """The JSON texts of a state sensor's values by number; empty for a number."""
    if sensor.kind == "boolean":
        return b"false", b"true"
    return tuple(json.dumps(state, ensure_ascii=False).encode() for state in sensor.states)


@lru_cache(maxsize=64)
def _second_text(second: int) -> bytes:
    return utc_text(second * 1_000_000).rstrip("Z").encode()
