"""The waves of `iotcache_simulator.fleet.waves.waves` for many readings at a time, in arrays.

The digits are the same to the last bit: every step is one correctly rounded operation on 64-bit floats, or
one on integers modulo 2^64, in the order in which the plain functions take them. A sum of products must
therefore stay a product and a sum, and nothing here may ask libm. Integers are drawn from times by `int64`,
which is exact while a wave's shortest length is at least a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final, cast

from numpy.typing import NDArray

from iotcache_simulator.fleet.rendering.single_threaded_numpy import np
from iotcache_simulator.fleet.waves import base, waves
from iotcache_simulator.fleet.waves.base import DAY_S, YEAR_S, Peers
from iotcache_simulator.fleet.waves.noise import GOLDEN, NORMAL, SINE, SINE_STEPS, TO_UNIT, TO_UNIT_53
from iotcache_simulator.fleet.waves.waves import BALANCE

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ArrayFunction = Callable[[Keys, Floats], Floats]
"""``(keys of the devices, virtual times in seconds) -> values``, all of one length."""
ArrayPeers = Peers[ArrayFunction]

_NORMAL: Final = np.array(NORMAL)
SINES: Final = np.array(SINE)
GOLDENS: Final = np.uint64(GOLDEN)
_MIX_1: Final = np.uint64(0xBF58_476D_1CE4_E5B9)
_MIX_2: Final = np.uint64(0x94D0_49BB_1331_11EB)
_ONE: Final = np.int64(1)
_11, _27, _30, _31, _52 = (np.uint64(n) for n in (11, 27, 30, 31, 52))


def normals(keys: Keys, k: Integers) -> Floats:
    """`iotcache_simulator.fleet.waves.noise.normal` of each."""
    return cast(Floats, _NORMAL.take(((keys ^ k.view(np.uint64)) * GOLDENS >> _52).view(np.int64)))


def _units(keys: Keys, k: Integers) -> Floats:
    x = (keys ^ k.view(np.uint64)) + GOLDENS
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return cast(Floats, ((x ^ (x >> _31)) >> _11) * TO_UNIT_53)


def phases(keys: Keys) -> Floats:
    return keys.astype(np.float64) * TO_UNIT


def _smooth(keys: Keys, x: Floats) -> Floats:
    k = x.astype(np.int64)
    f = x - k
    a = normals(keys, k)
    b = normals(keys, k + _ONE)
    return a + (b - a) * (f * f * (3.0 - 2.0 * f))


def sines(x: Floats) -> Floats:
    x = (x - x.astype(np.int64)) * SINE_STEPS
    k = x.astype(np.int64)
    a = SINES.take(k)
    return cast(Floats, a + (SINES.take(k + _ONE) - a) * (x - k))


def _constant(wave: waves.Constant, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    value, low, width = wave.value, wave.value - wave.spread, 2.0 * wave.spread
    if not wave.spread:
        return lambda keys, t: np.full(len(t), value)
    return lambda keys, t: low + width * phases(keys ^ salt)


def _diurnal(wave: waves.Diurnal, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    amplitude, shift = wave.amplitude, 1.25 - wave.peak_hour / 24.0
    return lambda keys, t: amplitude * sines(t / DAY_S + shift)


def _seasonal(wave: waves.Seasonal, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    amplitude, shift = wave.amplitude, 1.25 - wave.peak_day * DAY_S / YEAR_S
    return lambda keys, t: amplitude * sines(t / YEAR_S + shift)


def walk(wave: waves.Walk, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    """Of a balanced walk and of another."""
    if wave.balanced:
        return _balanced_walk(wave, salt)
    octaves = octave_parts(wave, salt)

    def function(keys: Keys, t: Floats) -> Floats:
        strength, step, own = octaves[0]
        total = strength * _smooth(keys ^ own, t / step)
        for strength, step, own in octaves[1:]:
            total = total + strength * _smooth(keys ^ own, t / step)
        return total

    return function


def added(parts: Sequence[ArrayFunction]) -> ArrayFunction:
    """The sum of functions, from left to right."""
    first, *others = parts
    if not others:
        return first

    def function(keys: Keys, t: Floats) -> Floats:
        total = first(keys, t)
        for other in others:
            total = total + other(keys, t)
        return total

    return function


def octave_parts(wave: waves.Walk, salt: np.uint64) -> list[tuple[float, float, np.uint64]]:
    """Amplitude, knot spacing and salt of each octave."""
    return [(strength, step, np.uint64(own)) for strength, step, own in wave.octave_parts(int(salt))]


def knots(keys: Keys, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The numbers of a balanced walk before, at and after ``x``, and how far ``x`` is past its knot."""
    k = x.astype(np.int64)
    return normals(keys, k - _ONE), normals(keys, k), normals(keys, k + _ONE), x - k


def _balanced_walk(wave: waves.Walk, salt: np.uint64) -> ArrayFunction:
    octaves = octave_parts(wave, salt)

    def function(keys: Keys, t: Floats) -> Floats:
        total: Floats | float = 0.0
        for strength, step, own in octaves:
            before, here, after, f = knots(keys ^ own, t / step)
            a = here - before
            total = total + strength * BALANCE * (a + (after - here - a) * (f * f * (3.0 - 2.0 * f)))
        return cast(Floats, total)

    return function


def _ornstein_uhlenbeck(wave: waves.OrnsteinUhlenbeck, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    step, decay, weights = wave.tau_s / 2.0, waves.OU_DECAY, wave.weights()
    first, *others = weights
    last = weights[-1]

    def function(keys: Keys, t: Floats) -> Floats:
        keys = keys ^ salt
        x = t / step
        k = x.astype(np.int64)
        shock = normals(keys, k)
        now = first * shock
        for n, weight in enumerate(others, 1):
            shock = normals(keys, k - n)
            now = now + weight * shock
        after = decay * (now - last * shock) + first * normals(keys, k + _ONE)
        return now + (after - now) * (x - k)

    return function


def _duty(wave: waves.Duty, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    period, on, off, ramp = wave.period_s, wave.on, wave.off, wave.ramp_s
    run_s = wave.duty * wave.period_s

    def ramped(since_s: Floats, before: float, after: float) -> Floats | float:
        if not ramp:
            return after
        return np.where(since_s >= ramp, after, before + (after - before) * since_s / ramp)

    def function(keys: Keys, t: Floats) -> Floats:
        x = t / period + phases(keys ^ salt)
        since_s = (x - x.astype(np.int64)) * period
        return np.where(since_s < run_s, ramped(since_s, off, on), ramped(since_s - run_s, on, off))

    return function


def _sawtooth(wave: waves.Sawtooth, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    amplitude, period, rise, fall = wave.amplitude, wave.period_s, 1.0 - wave.fall, wave.fall

    def function(keys: Keys, t: Floats) -> Floats:
        x = t / period + phases(keys ^ salt)
        x = x - x.astype(np.int64)
        rising = 2.0 * x / rise - 1.0
        if not fall:
            return amplitude * rising
        return amplitude * np.where(x < rise, rising, 1.0 - 2.0 * (x - rise) / fall)

    return function


def _held(keys: Keys, t: Floats, hold_s: float) -> Floats:
    """A uniform number that each device draws anew every ``hold_s``."""
    return _units(keys, (t / hold_s + phases(keys)).astype(np.int64))


def _step(wave: waves.StepWave, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    levels, count, hold_s = np.array(wave.levels), len(wave.levels), wave.hold_s
    return lambda keys, t: levels.take((_held(keys ^ salt, t, hold_s) * count).astype(np.int64))


def _counter(wave: waves.Counter, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    per_s, since_s, pace = wave.per_hour / 3600.0, wave.since_day * DAY_S, wave.vary * DAY_S / 6.3

    def function(keys: Keys, t: Floats) -> Floats:
        own = phases(keys ^ salt)
        varied = pace * sines(t / DAY_S + own) if pace else 0.0
        return per_s * (t - since_s + varied) * (0.7 + 0.6 * own)

    return function


def _boolean(wave: waves.Boolean, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    chance, hold_s = wave.chance, wave.hold_s
    return lambda keys, t: (_held(keys ^ salt, t, hold_s) < chance).astype(np.float64)


def _enum(wave: waves.Enum, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    *parts, total = accumulate(wave.weights or (1.0,) * len(wave.states))
    bounds, hold_s = np.array([part / total for part in parts]), wave.hold_s

    def function(keys: Keys, t: Floats) -> Floats:
        return bounds.searchsorted(_held(keys ^ salt, t, hold_s), "right").astype(np.float64)

    return function


def _track(wave: waves.TrackWave, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    center, reach, leg = wave.center, wave.reach_km / base.KM_PER_DEGREE, wave.leg_s

    def function(keys: Keys, t: Floats) -> Floats:
        keys = keys ^ salt
        x = t / leg + phases(keys)
        k = x.astype(np.int64)
        a = _units(keys, k)
        return center + reach * (2.0 * (a + (_units(keys, k + _ONE) - a) * (x - k)) - 1.0)

    return function


ELEMENTARY: Final[Mapping[type, Callable[..., ArrayFunction]]] = {
    waves.Constant: _constant,
    waves.Diurnal: _diurnal,
    waves.Seasonal: _seasonal,
    waves.Walk: walk,
    waves.OrnsteinUhlenbeck: _ornstein_uhlenbeck,
    waves.Duty: _duty,
    waves.Sawtooth: _sawtooth,
    waves.StepWave: _step,
    waves.Counter: _counter,
    waves.Boolean: _boolean,
    waves.Enum: _enum,
    waves.TrackWave: _track,
}
