"""Waveforms: what a sensor measures, as a pure function of its key and the time.

A *wave* is a description, read from a class file; `Wave.compile` makes of it a function
``(key, t) -> float``, where ``key`` is the 64-bit key of a device and ``t`` is virtual time in seconds
since the Unix epoch; what tells one sensor and one wave from another is the ``salt`` compiled in. No
function keeps anything between calls, so any reading can be made at any time, in any order and in any
process. A sensor's waves are added up.

`iotcache_simulator.fleet.rendering.arrays` has each of them once more, for many readings at a time.

The same digits must come out everywhere: sums are written as loops (`sum` of floats is compensated
since Python 3.12) and powers as products (libm's ``pow`` may differ in the last place).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from math import sqrt
from typing import Annotated

from msgspec import Meta, Struct

from iotcache_simulator.fleet.waves.noise import (
    GOLDEN,
    MASK64,
    NORMAL,
    normal,
    phase,
    sine,
    smooth,
    stream_key,
    unit,
)

Function = Callable[[int, float], float]
"""``(key of the device, virtual time in seconds) -> value``."""

DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S
KM_PER_DEGREE = 111.2
OCTAVE_SALT = 0x5555
"""The salts of a walk's octaves differ by multiples of this."""
_OU_TAPS = 8
OU_DECAY = 0.6065306597126334
"""exp(-1/2): the grid is half the relaxation time."""

Positive = Annotated[float, Meta(gt=0)]
Length = Annotated[float, Meta(ge=0.001)]
"""Seconds: what a wave does within less than a millisecond no payload could show."""
Share = Annotated[float, Meta(ge=0, le=1)]


def wave_salt(sensor: str, number: int) -> int:
    """What tells a sensor's wave from all others of its class."""
    return stream_key(0, "wave", sensor, str(number))


class _Wave(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        """The wave's function. ``salt`` is its own; ``peers`` are the sensors compiled before this one."""
        raise NotImplementedError


class Constant(_Wave, frozen=True, tag="constant"):
    """A fixed level; each device differs from it by up to ``spread``."""

    value: float
    spread: float = 0.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        value, low, width = self.value, self.value - self.spread, 2.0 * self.spread
        if not self.spread:
            return lambda key, t: value
        return lambda key, t: low + width * phase(key ^ salt)


class Diurnal(_Wave, frozen=True, tag="diurnal"):
    """A sine over the day (UTC), highest at ``peak_hour``."""

    amplitude: float
    peak_hour: Annotated[float, Meta(ge=0, lt=24)] = 15.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        amplitude, shift = self.amplitude, 1.25 - self.peak_hour / 24.0
        return lambda key, t: amplitude * sine(t / DAY_S + shift)


class Seasonal(_Wave, frozen=True, tag="seasonal"):
    """A sine over the year, highest ``peak_day`` days after 1 January 1970 (whole years ignored)."""

    amplitude: float
    peak_day: Annotated[float, Meta(ge=0, lt=366)] = 200.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        amplitude, shift = self.amplitude, 1.25 - self.peak_day * DAY_S / YEAR_S
        return lambda key, t: amplitude * sine(t / YEAR_S + shift)


class Walk(_Wave, frozen=True, tag="walk"):
    """A bounded random walk: smooth noise, each further octave half as long and half as strong.

    ``amplitude`` is the standard deviation of the first octave, ``step_s`` its knot spacing.
    """

    amplitude: float
    step_s: Length
    octaves: Annotated[int, Meta(ge=1, le=6)] = 2

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        a, s = self.amplitude, self.step_s
        if self.octaves == 1:
            return lambda key, t: a * smooth(key ^ salt, t / s)
        if self.octaves == 2:
            other, half_a, half_s = salt ^ OCTAVE_SALT, a / 2, s / 2

            def two(key: int, t: float) -> float:
                # `smooth` twice, written out: this is the wave that most sensors have.
                here, there = key ^ salt, key ^ other
                x = t / s
                k = int(x)
                f = x - k
                c = normals[(((here ^ k) * golden) & mask) >> 52]
                d = normals[(((here ^ (k + 1)) * golden) & mask) >> 52]
                y = t / half_s
                m = int(y)
                g = y - m
                p = normals[(((there ^ m) * golden) & mask) >> 52]
                q = normals[(((there ^ (m + 1)) * golden) & mask) >> 52]
                return a * (c + (d - c) * (f * f * (3.0 - 2.0 * f))) + half_a * (
                    p + (q - p) * (g * g * (3.0 - 2.0 * g))
                )

            normals, golden, mask = NORMAL, GOLDEN, MASK64
            return two
        octaves = [(a / (1 << n), s / (1 << n), salt ^ (n * OCTAVE_SALT)) for n in range(self.octaves)]

        def function(key: int, t: float) -> float:
            total = 0.0
            for strength, step, own in octaves:
                total += strength * smooth(key ^ own, t / step)
            return total

        return function


class OrnsteinUhlenbeck(_Wave, frozen=True, tag="ornstein-uhlenbeck"):
    """Noise that is drawn back to its mean within about ``tau_s``; standard deviation ``sigma``.

    The process is its own moving average: eight past shocks, weighted by exp(-age/tau).
    """

    sigma: float
    tau_s: Length

    def weights(self) -> list[float]:
        """What each shock of the past counts, the latest first."""
        weights, power = [1.0], 1.0
        for _ in range(_OU_TAPS - 1):
            weights.append(weights[-1] * OU_DECAY)
            power += weights[-1] * weights[-1]
        return [self.sigma * weight / sqrt(power) for weight in weights]

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        step, decay, weights = self.tau_s / 2.0, OU_DECAY, self.weights()
        first, *others = weights
        last = weights[-1]

        def function(key: int, t: float) -> float:
            key ^= salt
            x = t / step
            k = int(x)
            shock = normal(key, k)
            now = first * shock
            for n, weight in enumerate(others, 1):
                shock = normal(key, k - n)
                now += weight * shock
            # The next grid point: all shocks decay once more, the oldest drops out, a new one comes in.
            after = decay * (now - last * shock) + first * normal(key, k + 1)
            return now + (after - now) * (x - k)

        return function


class Duty(_Wave, frozen=True, tag="duty"):
    """A machine that runs ``duty`` of each period; between ``off`` and ``on`` it ramps for ``ramp_s``."""

    period_s: Length
    on: float
    off: float = 0.0
    duty: Share = 0.5
    ramp_s: Annotated[float, Meta(ge=0)] = 0.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        period, on, off, run_s, ramp = (
            self.period_s,
            self.on,
            self.off,
            self.duty * self.period_s,
            self.ramp_s,
        )

        def function(key: int, t: float) -> float:
            x = t / period + phase(key ^ salt)
            since_s = (x - int(x)) * period
            if since_s < run_s:
                return on if since_s >= ramp or not ramp else off + (on - off) * since_s / ramp
            since_s -= run_s
            return off if since_s >= ramp or not ramp else on + (off - on) * since_s / ramp

        return function


class Sawtooth(_Wave, frozen=True, tag="sawtooth"):
    """A rise from ``-amplitude`` to ``amplitude`` over the period, then the drop (``fall`` of it)."""

    amplitude: float
    period_s: Length
    fall: Annotated[float, Meta(ge=0, lt=1)] = 0.2

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        amplitude, period, rise, fall = self.amplitude, self.period_s, 1.0 - self.fall, self.fall

        def function(key: int, t: float) -> float:
            x = t / period + phase(key ^ salt)
            x -= int(x)
            return amplitude * (2.0 * x / rise - 1.0 if x < rise else 1.0 - 2.0 * (x - rise) / fall)

        return function


class StepWave(_Wave, frozen=True, tag="step"):
    """One of ``levels``, drawn anew every ``hold_s``."""

    levels: Annotated[tuple[float, ...], Meta(min_length=1)]
    hold_s: Length

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        levels, hold, count = self.levels, self.hold_s, len(self.levels)
        return lambda key, t: levels[int(unit(key ^ salt, int(t / hold + phase(key ^ salt))) * count)]


class Counter(_Wave, frozen=True, tag="counter"):
    """A meter that never runs backwards: ``per_hour`` on average, since ``since_day`` days after 1970.

    ``vary`` (below 1) is how far its pace goes up and down over the day.
    """

    per_hour: Positive
    since_day: float = 19_700.0
    vary: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        per_s, since_s, pace = self.per_hour / 3600.0, self.since_day * DAY_S, self.vary * DAY_S / 6.3
        return lambda key, t: (
            per_s
            * (t - since_s + (pace * sine(t / DAY_S + phase(key ^ salt)) if pace else 0.0))
            * (0.7 + 0.6 * phase(key ^ salt))
        )


class Boolean(_Wave, frozen=True, tag="boolean"):
    """True for ``chance`` of the time, drawn anew every ``hold_s``."""

    chance: Share
    hold_s: Length

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        chance, hold = self.chance, self.hold_s
        return lambda key, t: 1.0 if unit(key ^ salt, int(t / hold + phase(key ^ salt))) < chance else 0.0


class Enum(_Wave, frozen=True, tag="enum"):
    """One of ``states``, drawn by ``weights`` every ``hold_s``. Its function gives the state's number."""

    states: Annotated[tuple[str, ...], Meta(min_length=1)]
    hold_s: Length
    weights: tuple[Annotated[float, Meta(ge=0)], ...] = ()

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        weights = self.weights or (1.0,) * len(self.states)
        *parts, total = accumulate(weights)
        bounds = [part / total for part in parts]
        hold = self.hold_s

        def function(key: int, t: float) -> float:
            drawn = unit(key ^ salt, int(t / hold + phase(key ^ salt)))
            return float(sum([drawn >= bound for bound in bounds]))

        return function


class TrackWave(_Wave, frozen=True, tag="track"):
    """One axis of a drive, in degrees: from stop to stop within ``reach_km`` of ``center``."""

    center: float
    reach_km: Positive
    leg_s: Length

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        center, reach, leg = self.center, self.reach_km / KM_PER_DEGREE, self.leg_s

        def function(key: int, t: float) -> float:
            key ^= salt
            x = t / leg + phase(key)
            k = int(x)
            a = unit(key, k)
            return center + reach * (2.0 * (a + (unit(key, k + 1) - a) * (x - k)) - 1.0)

        return function


class Follows(_Wave, frozen=True, tag="follows"):
    """``gain`` times another sensor of the same device as it was ``lag_s`` ago, plus ``offset``."""

    sensor: str
    gain: float = 1.0
    offset: float = 0.0
    lag_s: Annotated[float, Meta(ge=0)] = 0.0

    def compile(self, salt: int, peers: Mapping[str, Function]) -> Function:
        leader, gain, offset, lag = peers[self.sensor], self.gain, self.offset, self.lag_s
        if not lag:
            return lambda key, t: offset + gain * leader(key, t)
        return lambda key, t: offset + gain * leader(key, t - lag)


Wave = (
    Constant | Diurnal | Seasonal | Walk | OrnsteinUhlenbeck | Duty | Sawtooth | StepWave | Counter | Boolean
    | Enum | TrackWave | Follows
)  # fmt: skip
"""Any wave a class file may name by its ``kind``."""
WAVE_KINDS = tuple(str(wave.__struct_config__.tag) for wave in Wave.__args__)
