"""The one clock: wall time and monotonic time, passed in so that tests can turn it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored and shown, monotonic time for every duration."""

    def now(self) -> float:
        """Wall time in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves only when told, for tests and virtual time."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks on by ``seconds``."""
        self._now += seconds
        self._monotonic += seconds


SYSTEM_CLOCK = SystemClock()


def utc_text(ts_us: int) -> str:
    """RFC 3339 in UTC of microseconds since the epoch, with as many decimals as it needs (0, 3 or 6).

    A time outside the years 1 to 9999 is given as plain epoch seconds.
    """
    seconds, micros = divmod(ts_us, 1_000_000)
    try:
        broken = time.gmtime(seconds)
        text = f"{broken.tm_year:04d}-{broken.tm_mon:02d}-{broken.tm_mday:02d}T"
    except (OverflowError, ValueError, OSError):
        return str(ts_us / 1_000_000)
    if not 1 <= broken.tm_year <= 9999:
        return str(ts_us / 1_000_000)
    text += f"{broken.tm_hour:02d}:{broken.tm_min:02d}:{broken.tm_sec:02d}"
    if micros:
        text += f".{micros // 1000:03d}" if micros % 1000 == 0 else f".{micros:06d}"
    return text + "Z"
