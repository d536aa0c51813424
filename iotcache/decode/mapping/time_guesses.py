"""Guesses at which members of a message are times: its own, or those of the values beside them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, structs

from iotcache.decode.incoming import AHEAD_LIMIT_US, EARLIEST_US, epoch_us
from iotcache.decode.mapping.paths import NotThere, Step, path_text
from iotcache.decode.mapping.times import LOCAL, TimeReader
from iotcache.decode.outcomes import Refused

TIMES: Final = (
    "ts", "time", "timestamp", "Time", "Timestamp", "datetime", "date", "last_seen", "received_at", "at", "t",
    "tst", "measured_at", "created_at", "observedAt", "eventTime", "enqueuedTime", "publishTime",
    "SourceTimestamp",
)  # fmt: skip
_SURE_TIMES: Final = tuple(name for name in TIMES if name not in {"date", "at", "t"})
"""Names that a time has and a measurement has not."""
_TIME_ENDS: Final = ("time", "timestamp", "stamp", "date", "_at", "_ts", "epoch", "update", "updated")
"""How a name ends that is rather a time's, where what it says is one of these days."""
_THESE_DAYS_US: Final = 31 * 86_400_000_000
_DATE_ALONE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME_OF_DAY: Final = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")
ENVELOPE_DEPTH: Final = 3


class Time(Struct, frozen=True):
    """A time in a message."""

    steps: tuple[Step, ...]
    zone: str = ""
    joined: str = ""
    """The texts that make it up together, as a mapping has them."""
    is_wrong: bool = False
    """Of a clock that was never set, or is ahead."""


def objects_in(fields: dict[str, Any]) -> Iterator[tuple[tuple[Step, ...], dict[str, Any]]]:
    """An object and those in it, the outer ones first."""
    level: list[tuple[tuple[Step, ...], dict[str, Any]]] = [((), fields)]
    for _ in range(ENVELOPE_DEPTH):
        yield from level
        level = [
            ((*steps, name), one)
            for steps, inner in level
            for name, one in inner.items()
            if isinstance(one, dict) and name
        ]


def time_of(fields: dict[str, Any], received_us: int) -> Time | None:
    """The time of a record: one that can be taken before one that cannot."""
    wrong: Time | None = None
    for steps, inner in objects_in(fields):
        for name in TIMES if not steps else _SURE_TIMES:
            time, at_us = _read_time(steps, name, inner, received_us)
            if time is None or at_us is None:
                continue
            if EARLIEST_US <= at_us <= received_us + AHEAD_LIMIT_US:
                return time
            if wrong is None and name in _SURE_TIMES:
                wrong = structs.replace(time, is_wrong=True)
    for steps, inner in objects_in(fields):
        for name in inner:
            if isinstance(name, str) and name.lower().endswith(_TIME_ENDS):
                time, at_us = _read_time(steps, name, inner, received_us)
                if at_us is not None and abs(at_us - received_us) <= _THESE_DAYS_US:
                    return time
    return wrong


def _read_time(
    steps: tuple[Step, ...], name: str, inner: dict[str, Any], received_us: int
) -> tuple[Time | None, int | None]:
    """A member as a time, with its microseconds since the epoch; nothing where it is none."""
    found = inner.get(name)
    if found is None or isinstance(found, bool | dict | list):
        return None, None
    joined = ""
    if isinstance(found, str) and _DATE_ALONE.fullmatch(found):
        # Midnight is not meant: what comes every minute with a date has its time of day beside it, or none.
        clock = next((key for key, one in inner.items() if _is_time_of_day(one)), None)
        if clock is None:
            return None, None
        found = f"{found} {inner[clock]}"
        joined = f"{{{path_text((*steps, name))}}} {{{path_text((*steps, clock))}}}"
    for zone in ("", LOCAL):
        try:
            at_us = epoch_us(TimeReader("auto", zone).read(found, name), received_us)
        except Refused:  # past anything that a clock shows
            at_us = 0
        except (NotThere, TypeError, OverflowError, ValueError):
            continue
        return Time((*steps, name), zone, joined), at_us
    return None, None


def _is_time_of_day(found: Any) -> bool:
    return isinstance(found, str) and _TIME_OF_DAY.fullmatch(found) is not None


def own_times(fields: dict[str, Any], received_us: int) -> tuple[str, set[tuple[Step, ...]]]:
    """The member by which several objects in a message tell the time of their values, and its paths."""
    at: dict[str, set[tuple[Step, ...]]] = {}
    for steps, inner in objects_in(fields):
        for name in _SURE_TIMES if steps else ():
            _, at_us = _read_time(steps, name, inner, received_us)
            if at_us is not None and EARLIEST_US <= at_us <= received_us + AHEAD_LIMIT_US:
                at.setdefault(name, set()).add((*steps, name))
    name = max(at, key=lambda one: len(at[one]), default="")
    return (name, at[name]) if name and len(at[name]) > 1 else ("", set())
