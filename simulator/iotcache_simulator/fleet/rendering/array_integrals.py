"""The antiderivatives of `iotcache_simulator.fleet.waves` for many readings at a time, digit for digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from iotcache_simulator.fleet.rendering.array_waves import (
    SINES,
    ArrayFunction,
    ArrayPeers,
    Floats,
    Keys,
    knots,
    octave_parts,
    phases,
)
from iotcache_simulator.fleet.rendering.single_threaded_numpy import np
from iotcache_simulator.fleet.waves import derived, waves
from iotcache_simulator.fleet.waves.base import DAY_S, YEAR_S
from iotcache_simulator.fleet.waves.noise import SINE_AREA, SINE_STEPS
from iotcache_simulator.fleet.waves.waves import BALANCE

_SINE_AREA: Final = np.array(SINE_AREA)
_ONE: Final = np.int64(1)


def _sine_areas(x: Floats) -> Floats:
    x = (x - x.astype(np.int64)) * SINE_STEPS
    k = x.astype(np.int64)
    f = x - k
    a = SINES.take(k)
    return cast(Floats, (_SINE_AREA.take(k) + (a + (SINES.take(k + _ONE) - a) * f * 0.5) * f) / SINE_STEPS)


def _constant(wave: waves.Constant, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    value, low, width = wave.value, wave.value - wave.spread, 2.0 * wave.spread
    if not width:
        return lambda keys, t: value * t
    return lambda keys, t: (low + width * phases(keys ^ salt)) * t


def _diurnal(wave: waves.Diurnal, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    area, shift = wave.amplitude * DAY_S, 1.25 - wave.peak_hour / 24.0
    return lambda keys, t: area * _sine_areas(t / DAY_S + shift)


def _seasonal(wave: waves.Seasonal, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    area, shift = wave.amplitude * YEAR_S, 1.25 - wave.peak_day * DAY_S / YEAR_S
    return lambda keys, t: area * _sine_areas(t / YEAR_S + shift)


def walk_integral(wave: waves.Walk, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    """Of a balanced walk."""
    octaves = octave_parts(wave, salt)

    def function(keys: Keys, t: Floats) -> Floats:
        total: Floats | float = 0.0
        for strength, step, own in octaves:
            before, here, after, f = knots(keys ^ own, t / step)
            a = here - before
            area = a * f + (after - here - a) * (f * f * f * (1.0 - 0.5 * f))
            total = total + strength * step * BALANCE * (0.5 * (before + here) + area)
        return cast(Floats, total)

    return function


def _duty(wave: waves.Duty, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    period, on, off, ramp = wave.period_s, wave.on, wave.off, wave.ramp_s
    run_s = wave.duty * wave.period_s

    def area(since_s: Floats, before: float, after: float) -> Floats:
        beyond = after * since_s + (before - after) * ramp * 0.5
        if not ramp:
            return beyond
        within = since_s * (before + (after - before) * (since_s / ramp) * 0.5)
        return np.where(since_s < ramp, within, beyond)

    run_area = area(np.array(run_s), off, on)
    whole = run_area + area(np.array(period - run_s), on, off)

    def function(keys: Keys, t: Floats) -> Floats:
        x = t / period + phases(keys ^ salt)
        n = x.astype(np.int64)
        since_s = (x - n) * period
        part = np.where(since_s < run_s, area(since_s, off, on), run_area + area(since_s - run_s, on, off))
        return n * whole + part

    return function


def _sawtooth(wave: waves.Sawtooth, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    area, period, rise, fall = wave.amplitude * wave.period_s, wave.period_s, 1.0 - wave.fall, wave.fall

    def function(keys: Keys, t: Floats) -> Floats:
        x = t / period + phases(keys ^ salt)
        x = x - x.astype(np.int64)
        rising = x * (x / rise - 1.0)
        if not fall:
            return area * rising
        u = x - rise
        return area * np.where(x < rise, rising, u * (1.0 - u / fall))

    return function


def _follows(wave: derived.Follows, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    area, gain, offset, lag = peers.integral(wave.sensor), wave.gain, wave.offset, wave.lag_s
    return lambda keys, t: offset * t + gain * area(keys, t - lag)


INTEGRALS: Final[Mapping[type, Callable[..., ArrayFunction]]] = {
    waves.Constant: _constant,
    waves.Diurnal: _diurnal,
    waves.Seasonal: _seasonal,
    waves.Walk: walk_integral,
    waves.Duty: _duty,
    waves.Sawtooth: _sawtooth,
    derived.Follows: _follows,
}
