"""Times in the forms that fleets write them, with the time zone of those that have none."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iotcache.decode.mapping.paths import NotThere, kind_of
from iotcache.decode.mapping.settings import TimeUnit
from iotcache.text import printable

LOCAL: Final = "local"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_UNIT: Final = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
_LONGEST_TEXT: Final = 80
_WITH_ZONE: Final = re.compile(r"\s*(.{10,40}?)\s?(?:\[|(?<=\s))([A-Za-z][A-Za-z0-9_+/-]{1,40})\]?\s*")
"""A time with its zone: ``2024-06-18 15:00:00 Europe/Berlin``, or in brackets as Java writes it."""


def check_zone(name: str) -> None:
    """Raises `ValueError` with what is allowed for a time zone that does not exist."""
    if name not in ("", LOCAL):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError('a time zone such as "Europe/Berlin" or "UTC", "local", or empty') from None


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _with_zone(text: str, zone: tzinfo | None, where: str) -> tuple[datetime, tzinfo | None]:
    """A time that names its zone, and the zone. Raises `NotThere`."""
    named = _WITH_ZONE.fullmatch(text)
    try:
        if named is None:
            raise ValueError(text)
        found = datetime.fromisoformat(named[1])
    except ValueError:
        raise NotThere(f"{where} is not ISO 8601, as 2024-06-18T15:00:00Z is") from None
    if found.tzinfo is not None:  # the offset says all
        return found, zone
    zone = _zone(named[2])
    if zone is None:
        raise NotThere(f"{where} has a time zone that is not known: {printable(named[2], 40)}")
    return found, zone


class TimeReader:
    """Reads times of one form."""

    def __init__(self, unit: TimeUnit, zone: str) -> None:
        """Raises `ValueError` for an unknown zone."""
        self._unit = unit
        self._local = zone == LOCAL
        self._zone: tzinfo | None = UTC if unit == "utc" and not zone else None
        if zone and not self._local:
            check_zone(zone)
            self._zone = ZoneInfo(zone)

    def read(self, found: Any, path: str) -> Any:
        """A time in a form that the default payload may have. Raises `NotThere`."""
        unit = self._unit
        where = f'the time at "{printable(path, 100)}"'
        if isinstance(found, str) and unit in ("auto", "s", "ms", "us", "ns") and len(found) <= _LONGEST_TEXT:
            try:
                found = float(found) if "." in found or "e" in found else int(found)
            except ValueError:
                if unit != "auto":
                    raise NotThere(f"{where} is no number") from None
        if isinstance(found, str | datetime) and unit in ("auto", "rfc3339", "utc"):
            return self._of_text(found, where)
        if unit in ("rfc3339", "utc"):
            raise NotThere(f"{where} is {kind_of(found)}, no text")
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotThere(f"{where} is {kind_of(found)}, no number")
        if unit == "auto":
            return found
        try:
            if isinstance(found, int) and unit == "ns":
                found //= 1_000
                return _EPOCH + timedelta(microseconds=found)
            return _EPOCH + timedelta(microseconds=round(found * _US_PER_UNIT[unit]))
        except (OverflowError, ValueError):
            raise NotThere("its time is past anything a clock shows") from None

    def _of_text(self, found: str | datetime, where: str) -> datetime:
        zone = self._zone
        if isinstance(found, str):
            text = found
            try:
                found = datetime.fromisoformat(text.strip())
            except ValueError:
                found, zone = _with_zone(text, zone, where)
        if found.tzinfo is not None:
            return found
        return self._in_zone(found, zone, where)

    def _in_zone(self, found: datetime, zone: tzinfo | None, where: str = "") -> datetime:
        try:
            # An hour that a clock shows twice is taken for the first of the two.
            if zone is not None:
                return found.replace(tzinfo=zone).astimezone(UTC)
            if self._local:
                return found.astimezone()
        except (OverflowError, ValueError, OSError):
            raise NotThere("its time is past anything a clock shows") from None
        raise NotThere(f'{where} has no time zone: set zone = "Europe/Berlin", say, or "local"')
