"""Waves that are made of another quantity of the same device: what physics ties together.

None keeps anything between calls. An integral is the closed form of its source's; inertia is a weighted mean
of its source's past, on a grid that hangs on the time alone.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Final

from msgspec import Meta

from iotcache_simulator.fleet.waves.base import DAY_S, Function, Length, Peers, Positive, WaveBase

LAG_STEPS: Final = 6
"""Grid points of inertia within its time constant."""
LAG_TAPS: Final = 24
"""Grid points that count: four time constants, after which less than 2 % is left."""
LAG_DECAY: Final = 0.846481724890614
"""exp(-1/6): what a grid step leaves."""


def lag_weights() -> list[float]:
    """What each grid point of the past counts, the latest first; together 1."""
    weights, total = [1.0], 1.0
    for _ in range(LAG_TAPS - 1):
        weights.append(weights[-1] * LAG_DECAY)
        total += weights[-1]
    return [weight / total for weight in weights]


class Follows(WaveBase, frozen=True, tag="follows"):
    """``gain`` times another quantity of the same device as it was ``lag_s`` ago, plus ``offset``."""

    sensor: str
    gain: float = 1.0
    offset: float = 0.0
    lag_s: Annotated[float, Meta(ge=0)] = 0.0

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        leader, gain, offset, lag = peers[self.sensor], self.gain, self.offset, self.lag_s
        if not lag:
            return lambda key, t: offset + gain * leader(key, t)
        return lambda key, t: offset + gain * leader(key, t - lag)

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        area, gain, offset, lag = peers.integral(self.sensor), self.gain, self.offset, self.lag_s
        return lambda key, t: offset * t + gain * area(key, t - lag)

    def why_no_integral(self) -> str:
        return ""


class Lag(WaveBase, frozen=True, tag="lag"):
    """``gain`` times another quantity through a first-order inertia of ``tau_s``, plus ``offset``.

    After a step of the source 63 % of the way is done within ``tau_s``, 95 % within three times that.
    """

    sensor: str
    tau_s: Length
    gain: float = 1.0
    offset: float = 0.0

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        source, gain, offset = peers[self.sensor], self.gain, self.offset
        step = self.tau_s / LAG_STEPS
        weights = lag_weights()

        def at_point(key: int, k: int) -> float:
            total = 0.0
            for n, weight in enumerate(weights):
                total += weight * source(key, (k - n) * step)
            return total

        def function(key: int, t: float) -> float:
            x = t / step
            k = int(x)
            before = at_point(key, k - 1)
            return offset + gain * (before + (at_point(key, k) - before) * (x - k))

        return function


class CurveWave(WaveBase, frozen=True, tag="curve"):
    """A characteristic curve: straight lines between ``points`` of (source, value), level beyond the ends."""

    sensor: str
    points: Annotated[tuple[tuple[float, float], ...], Meta(min_length=2)]

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def pieces(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """By piece: where the source is from, the value there, how far both go. The ends are pieces, too."""
        (x0, y0), *_ = self.points
        starts, values, widths, rises = [x0], [y0], [1.0], [0.0]
        ends = [*self.points[1:], self.points[-1]]
        for (x, y), (next_x, next_y) in zip(self.points, ends, strict=True):
            starts.append(x)
            values.append(y)
            widths.append(next_x - x or 1.0)
            rises.append(next_y - y)
        return starts, values, widths, rises

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        source = peers[self.sensor]
        starts, values, widths, rises = self.pieces()
        bounds = starts[1:]

        def function(key: int, t: float) -> float:
            x = source(key, t)
            n = bisect_right(bounds, x)
            return values[n] + rises[n] * ((x - starts[n]) / widths[n])

        return function


class StateValues(WaveBase, frozen=True, tag="state"):
    """A number for each state of an enum quantity; ``true`` and ``false`` are those of a boolean one."""

    sensor: str
    values: dict[str, float]

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        source, values = peers[self.sensor], [self.values[state] for state in peers.states(self.sensor)]
        return lambda key, t: values[int(source(key, t))]


class Bands(WaveBase, frozen=True, tag="bands"):
    """The state that another quantity's value lies in: the first below ``at[0]``, the last from the last on.

    Its function gives the state's number.
    """

    sensor: str
    states: Annotated[tuple[str, ...], Meta(min_length=2)]
    at: Annotated[tuple[float, ...], Meta(min_length=1)]

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def states_of(self) -> tuple[str, ...]:
        return self.states

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        source, bounds = peers[self.sensor], self.at
        return lambda key, t: float(bisect_right(bounds, source(key, t)))


class Integral(WaveBase, frozen=True, tag="integral"):
    """The integral of another quantity since ``since_day`` days after 1970, in units of ``per_s`` seconds.

    With the default of an hour, kW become kWh. It is of what the waves say, before noise and range.
    """

    sensor: str
    per_s: Positive = 3_600.0
    since_day: Annotated[float, Meta(ge=0)] = 19_700.0

    def references(self) -> tuple[str, ...]:
        return (self.sensor,)

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        area, since_s, per_s = peers.integral(self.sensor), self.since_day * DAY_S, self.per_s
        return lambda key, t: (area(key, t) - area(key, since_s)) / per_s
