"""Waveforms: what a sensor measures, as a pure function of its key and the time.

A *wave* is a description, read from a class file; `Wave.compile` makes of it a function
``(key, t) -> float``, where ``key`` is the 64-bit key of a device and ``t`` is virtual time in seconds
since the Unix epoch; what tells one sensor and one wave from another is the ``salt`` compiled in. No
function keeps anything between calls, so any reading can be made at any time, in any order and in any
process. A sensor's waves are added up.

`iotcache_simulator.fleet.rendering.array_waves` has each of them once more, for many readings at a time.

The same digits must come out everywhere: sums are written as loops (`sum` of floats is compensated
since Python 3.12) and powers as products (libm's ``pow`` may differ in the last place).
"""

from __future__ import annotations

from itertools import accumulate
from math import sqrt
from typing import Annotated, Final

from msgspec import Meta

from iotcache_simulator.fleet.waves.base import (
    DAY_S,
    KM_PER_DEGREE,
    YEAR_S,
    Function,
    Length,
    Peers,
    Positive,
    Share,
    WaveBase,
)
from iotcache_simulator.fleet.waves.noise import (
    GOLDEN,
    MASK64,
    NORMAL,
    normal,
    phase,
    sine,
    sine_area,
    smooth,
    unit,
)

OCTAVE_SALT: Final = 0x5555
"""The salts of a walk's octaves differ by multiples of this."""
_OU_TAPS: Final = 8
OU_DECAY: Final = 0.6065306597126334
"""exp(-1/2): the grid is half the relaxation time."""
BALANCE: Final = sqrt(0.5)
"""Brings the difference of two numbers of variance 1 back to variance 1."""


class Constant(WaveBase, frozen=True, tag="constant"):
    """A fixed level; each device differs from it by up to ``spread``."""

    value: float
    spread: float = 0.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        value, low, width = self.value, self.value - self.spread, 2.0 * self.spread
        if not self.spread:
            return lambda key, t: value
        return lambda key, t: low + width * phase(key ^ salt)

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        value, low, width = self.value, self.value - self.spread, 2.0 * self.spread
        return lambda key, t: (low + width * phase(key ^ salt)) * t if width else value * t

    def why_no_integral(self) -> str:
        return ""


class Diurnal(WaveBase, frozen=True, tag="diurnal"):
    """A sine over the day (UTC), highest at ``peak_hour``."""

    amplitude: float
    peak_hour: Annotated[float, Meta(ge=0, lt=24)] = 15.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        amplitude, shift = self.amplitude, 1.25 - self.peak_hour / 24.0
        return lambda key, t: amplitude * sine(t / DAY_S + shift)

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        area, shift = self.amplitude * DAY_S, 1.25 - self.peak_hour / 24.0
        return lambda key, t: area * sine_area(t / DAY_S + shift)

    def why_no_integral(self) -> str:
        return ""


class Seasonal(WaveBase, frozen=True, tag="seasonal"):
    """A sine over the year, highest ``peak_day`` days after 1 January 1970 (whole years ignored)."""

    amplitude: float
    peak_day: Annotated[float, Meta(ge=0, lt=366)] = 200.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        amplitude, shift = self.amplitude, 1.25 - self.peak_day * DAY_S / YEAR_S
        return lambda key, t: amplitude * sine(t / YEAR_S + shift)

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        area, shift = self.amplitude * YEAR_S, 1.25 - self.peak_day * DAY_S / YEAR_S
        return lambda key, t: area * sine_area(t / YEAR_S + shift)

    def why_no_integral(self) -> str:
        return ""


def _knots(key: int, x: float) -> tuple[float, float, float, float]:
    """The numbers of a balanced walk before, at and after ``x``, and how far ``x`` is past its knot."""
    k = int(x)
    return normal(key, k - 1), normal(key, k), normal(key, k + 1), x - k


class Walk(WaveBase, frozen=True, tag="walk"):
    """A bounded random walk: smooth noise, each further octave half as long and half as strong.

    ``amplitude`` is the standard deviation of the first octave, ``step_s`` its knot spacing. A ``balanced``
    walk makes good within a few steps what it was above or below zero, so that its integral is known.
    """

    amplitude: float
    step_s: Length
    octaves: Annotated[int, Meta(ge=1, le=6)] = 2
    balanced: bool = False

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        a, s = self.amplitude, self.step_s
        if self.balanced:
            return self._balanced(salt)
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
        octaves = self.octave_parts(salt)

        def function(key: int, t: float) -> float:
            total = 0.0
            for strength, step, own in octaves:
                total += strength * smooth(key ^ own, t / step)
            return total

        return function

    def octave_parts(self, salt: int) -> list[tuple[float, float, int]]:
        """Amplitude, knot spacing and salt of each octave."""
        return [
            (self.amplitude / (1 << n), self.step_s / (1 << n), salt ^ (n * OCTAVE_SALT))
            for n in range(self.octaves)
        ]

    def _balanced(self, salt: int) -> Function:
        """A knot is the difference of two neighbouring numbers, so that the sum of many is that of two."""
        octaves = self.octave_parts(salt)

        def function(key: int, t: float) -> float:
            total = 0.0
            for strength, step, own in octaves:
                before, here, after, f = _knots(key ^ own, t / step)
                a = here - before
                total += strength * BALANCE * (a + (after - here - a) * (f * f * (3.0 - 2.0 * f)))
            return total

        return function

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        octaves = self.octave_parts(salt)

        def function(key: int, t: float) -> float:
            total = 0.0
            for strength, step, own in octaves:
                before, here, after, f = _knots(key ^ own, t / step)
                a = here - before
                area = a * f + (after - here - a) * (f * f * f * (1.0 - 0.5 * f))
                total += strength * step * BALANCE * (0.5 * (before + here) + area)
            return total

        return function

    def why_no_integral(self) -> str:
        return "" if self.balanced else "of a walk there is an integral only with balanced = true"


class OrnsteinUhlenbeck(WaveBase, frozen=True, tag="ornstein-uhlenbeck"):
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

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
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


class Duty(WaveBase, frozen=True, tag="duty"):
    """A machine that runs ``duty`` of each period; between ``off`` and ``on`` it ramps for ``ramp_s``."""

    period_s: Length
    on: float
    off: float = 0.0
    duty: Share = 0.5
    ramp_s: Annotated[float, Meta(ge=0)] = 0.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
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

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        period, on, off, run_s, ramp = (
            self.period_s,
            self.on,
            self.off,
            self.duty * self.period_s,
            self.ramp_s,
        )

        def area(since_s: float, before: float, after: float) -> float:
            if since_s < ramp:
                return since_s * (before + (after - before) * (since_s / ramp) * 0.5)
            return after * since_s + (before - after) * ramp * 0.5

        run_area = area(run_s, off, on)
        whole = run_area + area(period - run_s, on, off)

        def function(key: int, t: float) -> float:
            x = t / period + phase(key ^ salt)
            n = int(x)
            since_s = (x - n) * period
            part = area(since_s, off, on) if since_s < run_s else run_area + area(since_s - run_s, on, off)
            return n * whole + part

        return function

    def why_no_integral(self) -> str:
        return ""


class Sawtooth(WaveBase, frozen=True, tag="sawtooth"):
    """A rise from ``-amplitude`` to ``amplitude`` over the period, then the drop (``fall`` of it)."""

    amplitude: float
    period_s: Length
    fall: Annotated[float, Meta(ge=0, lt=1)] = 0.2

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        amplitude, period, rise, fall = self.amplitude, self.period_s, 1.0 - self.fall, self.fall

        def function(key: int, t: float) -> float:
            x = t / period + phase(key ^ salt)
            x -= int(x)
            return amplitude * (2.0 * x / rise - 1.0 if x < rise else 1.0 - 2.0 * (x - rise) / fall)

        return function

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        area, period, rise, fall = self.amplitude * self.period_s, self.period_s, 1.0 - self.fall, self.fall

        def function(key: int, t: float) -> float:
            x = t / period + phase(key ^ salt)
            x -= int(x)
            u = x - rise
            return area * (x * (x / rise - 1.0) if x < rise else u * (1.0 - u / fall))

        return function

    def why_no_integral(self) -> str:
        return ""


class StepWave(WaveBase, frozen=True, tag="step"):
    """One of ``levels``, drawn anew every ``hold_s``."""

    levels: Annotated[tuple[float, ...], Meta(min_length=1)]
    hold_s: Length

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        levels, hold, count = self.levels, self.hold_s, len(self.levels)
        return lambda key, t: levels[int(unit(key ^ salt, int(t / hold + phase(key ^ salt))) * count)]


class Counter(WaveBase, frozen=True, tag="counter"):
    """A meter that never runs backwards: ``per_hour`` on average, since ``since_day`` days after 1970.

    ``vary`` (below 1) is how far its pace goes up and down over the day.
    """

    per_hour: Positive
    since_day: float = 19_700.0
    vary: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        per_s, since_s, pace = self.per_hour / 3600.0, self.since_day * DAY_S, self.vary * DAY_S / 6.3
        return lambda key, t: (
            per_s
            * (t - since_s + (pace * sine(t / DAY_S + phase(key ^ salt)) if pace else 0.0))
            * (0.7 + 0.6 * phase(key ^ salt))
        )


class Boolean(WaveBase, frozen=True, tag="boolean"):
    """True for ``chance`` of the time, drawn anew every ``hold_s``."""

    chance: Share
    hold_s: Length

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        chance, hold = self.chance, self.hold_s
        return lambda key, t: 1.0 if unit(key ^ salt, int(t / hold + phase(key ^ salt))) < chance else 0.0


class Enum(WaveBase, frozen=True, tag="enum"):
    """One of ``states``, drawn by ``weights`` every ``hold_s``. Its function gives the state's number."""

    states: Annotated[tuple[str, ...], Meta(min_length=1)]
    hold_s: Length
    weights: tuple[Annotated[float, Meta(ge=0)], ...] = ()

    def states_of(self) -> tuple[str, ...]:
        return self.states

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        weights = self.weights or (1.0,) * len(self.states)
        *parts, total = accumulate(weights)
        bounds = [part / total for part in parts]
        hold = self.hold_s

        def function(key: int, t: float) -> float:
            drawn = unit(key ^ salt, int(t / hold + phase(key ^ salt)))
            return float(sum([drawn >= bound for bound in bounds]))

        return function


class TrackWave(WaveBase, frozen=True, tag="track"):
    """One axis of a drive, in degrees: from stop to stop within ``reach_km`` of ``center``."""

    center: float
    reach_km: Positive
    leg_s: Length

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        center, reach, leg = self.center, self.reach_km / KM_PER_DEGREE, self.leg_s

        def function(key: int, t: float) -> float:
            key ^= salt
            x = t / leg + phase(key)
            k = int(x)
            a = unit(key, k)
            return center + reach * (2.0 * (a + (unit(key, k + 1) - a) * (x - k)) - 1.0)

        return function
