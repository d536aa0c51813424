"""Load profiles: how the fleet's rate changes in the course of a run.

A profile bends time. The fleet works through its readings evenly in *work time*, and the profile says how
much work time passes in a microsecond of virtual time: 1.0 where the rate is as asked for, 2.0 where it is
twice that. It is made of pieces of even rate, in whole numbers, so that bending there and back is exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct

from iotcache.errors import UsageError
from iotcache_simulator.fleet.waves.noise import sine

_MICRO = 1_000_000
_ONE = 1_000
"""A rate as asked for; pieces are in thousandths of it."""
_PIECES = 240
"""Pieces of even rate that a curve is made of."""
_ENDLESS_US = 1 << 50
_ENDLESS_S = 60.0
"""The length of a profile whose run has no end: it is repeated."""


class Load(Struct, frozen=True):
    """Pieces of (microseconds, thousandths of the rate), repeated for ever."""

    name: str
    pieces: tuple[tuple[int, int], ...]
    run_us: int | None = None
    """How long the run lasts, when it has an end: it may stop in the middle of the pieces."""

    def work_clock(self) -> WorkClock:
        return WorkClock(self.pieces)

    @property
    def mean(self) -> float:
        """The mean rate over the run, or over all pieces when it has no end, as a factor."""
        if self.run_us:
            return self.work_clock().work(self.run_us) / self.run_us
        return sum(us * rate for us, rate in self.pieces) / sum(us for us, _ in self.pieces) / _ONE


class WorkClock:
    """From virtual time to work time and back, both in whole microseconds from the start."""

    even = False
    """Whether both are the same throughout."""
    turns = 0
    """How often it was changed."""

    def __init__(self, pieces: tuple[tuple[int, int], ...]) -> None:
        self._rates = [rate for _, rate in pieces]
        self._times, self._works = [0], [0]
        for us, rate in pieces:
            self._times.append(self._times[-1] + us)
            self._works.append(self._works[-1] + us * rate)
        self._round_us = self._times.pop()
        self._round_work = self._works.pop()

    def work(self, time_us: int) -> int:
        """The least work time that is not reached before ``time_us``."""
        rounds, rest = divmod(time_us, self._round_us)
        n = bisect_right(self._times, rest) - 1
        done = rounds * self._round_work + self._works[n] + (rest - self._times[n]) * self._rates[n]
        return -(-done // _ONE)

    def time(self, work_us: int) -> int:
        """The virtual time at which ``work_us`` is reached."""
        rounds, rest = divmod(work_us * _ONE, self._round_work)
        n = bisect_right(self._works, rest) - 1
        return rounds * self._round_us + self._times[n] + (rest - self._works[n]) // self._rates[n]


class LiveLoad:
    """A load that is turned up and down while the fleet runs. Begins at the rate asked for."""

    mean = 1.0

    def __init__(self) -> None:
        self._work_clock = LiveWorkClock()

    def work_clock(self) -> WorkClock:
        return self._work_clock

    @property
    def factor(self) -> float:
        """The rate that holds, as a factor."""
        return self._work_clock.rate / _ONE

    def turn(self, at_us: int, factor: float) -> bool:
        """From virtual time ``at_us`` on the rate is ``factor`` times that asked for; whether that is new.

        Nothing before the last turn, and nothing that has been sent, may lie behind ``at_us``.
        """
        return self._work_clock.turn(at_us, max(round(factor * _ONE), 1))

    def as_it_was(self) -> Load | None:
        """The same as a profile, for who goes over the run once more; ``None`` when it never turned."""
        pieces = self._work_clock.pieces()
        return Load("live", pieces) if len(pieces) > 1 else None


class LiveWorkClock(WorkClock):
    """A bend whose last piece has no end."""

    def __init__(self) -> None:
        super().__init__(((1, _ONE),))

    @property
    def rate(self) -> int:
        return self._rates[-1]

    @property
    def turns(self) -> int:  # type: ignore[override]
        return len(self._rates) - 1

    @property
    def even(self) -> bool:  # type: ignore[override]
        return len(self._rates) == 1

    def turn(self, at_us: int, rate: int) -> bool:
        if rate == self._rates[-1]:
            return False
        self._works.append(self._works[-1] + (at_us - self._times[-1]) * self._rates[-1])
        self._times.append(at_us)
        self._rates.append(rate)
        return True

    def pieces(self) -> tuple[tuple[int, int], ...]:
        ends = [*self._times[1:], self._times[-1] + _ENDLESS_US]
        return tuple(
            (end - begin, rate)
            for begin, end, rate in zip(self._times, ends, self._rates, strict=True)
            if end > begin
        )

    def work(self, time_us: int) -> int:
        n = bisect_right(self._times, time_us) - 1
        return -(-(self._works[n] + (time_us - self._times[n]) * self._rates[n]) // _ONE)

    def time(self, work_us: int) -> int:
        n = bisect_right(self._works, work_us * _ONE) - 1
        return self._times[n] + (work_us * _ONE - self._works[n]) // self._rates[n]


def _curve(seconds: float, rate: Callable[[float], float]) -> tuple[tuple[int, int], ...]:
    """Pieces along a curve over 0 to 1."""
    total = round(seconds * _MICRO)
    cuts = [total * n // _PIECES for n in range(_PIECES + 1)]
    return tuple(
        (after - before, max(0, round(rate((n + 0.5) / _PIECES) * _ONE)))
        for n, (before, after) in enumerate(pairwise(cuts))
        if after > before
    )


def _burst(length_s: float, given: dict[str, float]) -> tuple[tuple[int, int], ...]:
    every, lasts = round(given["every"] * _MICRO), round(given["for"] * _MICRO)
    return ((max(1, every - lasts), _ONE), (lasts, round(given["times"] * _ONE)))


def _spike(length_s: float, given: dict[str, float]) -> tuple[tuple[int, int], ...]:
    total, lasts = round(length_s * _MICRO), round(given["for"] * _MICRO)
    before = min(round(given["at"] * _MICRO), total - 1)
    lasts = min(lasts, total - before)
    after = total - before - lasts
    pieces = ((before, _ONE), (lasts, round(given["times"] * _ONE)), (after, _ONE))
    return tuple(piece for piece in pieces if piece[0])


def _step(length_s: float, given: dict[str, float]) -> tuple[tuple[int, int], ...]:
    steps = int(given["steps"])
    return _curve(length_s, lambda x: (int(x * steps) + 1) / steps)


_PROFILES: dict[
    str, tuple[dict[str, float], Callable[[float, dict[str, float]], tuple[tuple[int, int], ...]]]
] = {
    "ramp": (
        {"from": 0.1, "to": 1.0},
        lambda length, given: _curve(length, lambda x: given["from"] + (given["to"] - given["from"]) * x),
    ),
    "step": ({"steps": 4.0}, _step),
    "burst": ({"every": 30.0, "for": 5.0, "times": 5.0}, _burst),
    "spike": ({"at": -1.0, "for": 2.0, "times": 10.0}, _spike),
    "diurnal": (
        {"low": 0.2, "period": 0.0},
        lambda length, given: _curve(
            given["period"] or length,
            lambda x: given["low"] + (1.0 - given["low"]) * 0.5 * (1.0 + sine(x + 0.75)),
        ),
    ),
}
PROFILES = ("constant", *_PROFILES)


def parse_load(text: str, duration_s: float | None) -> Load | None:
    """``NAME`` or ``NAME:key=value,…``; ``None`` for ``constant``. Raises `UsageError`.

    A curve (``ramp``, ``step``, ``diurnal``) is as long as the run; in one without an end it takes a minute
    and is repeated.
    """
    name, _, rest = text.partition(":")
    if name == "constant" and not rest:
        return None
    if name not in _PROFILES:
        raise UsageError(f"--profile {text!r}: there is no such profile; there are {', '.join(PROFILES)}")
    defaults, make = _PROFILES[name]
    given = dict(defaults)
    length_s = duration_s or _ENDLESS_S
    for item in filter(None, rest.split(",")):
        key, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if key not in defaults:
            raise UsageError(f"--profile {text!r}: {name} has no {key!r}; it has {', '.join(defaults)}")
        if not 0.0 <= value <= 1e6:
            raise UsageError(f"--profile {text!r}: {key} cannot be {number!r}: it is a number from 0 to 1e6")
        given[key] = value
    if given.get("at", 0.0) < 0.0:
        given["at"] = length_s / 2
    if given.get("steps", 1.0) < 1.0:
        raise UsageError(f"--profile {text!r}: 'steps' must be 1 or more")
    if "every" in given and not 0.0 < given["for"] < given["every"]:
        raise UsageError(f"--profile {text!r}: 'for' must be above 0 and below 'every'")
    run_us = None if duration_s is None else round(duration_s * _MICRO)
    load = Load(text, make(length_s, given), run_us)
    if not load.mean:
        raise UsageError(f"--profile {text!r}: its rate is 0 throughout")
    return load
