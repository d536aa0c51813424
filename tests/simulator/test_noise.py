"""Deterministic randomness: fixed vectors, because another platform must find the very same numbers."""

from __future__ import annotations

import math
from hashlib import sha256

from iotcache_simulator.fleet.waves.noise import (
    NORMAL,
    normal,
    phase,
    scramble,
    sine,
    smooth,
    stream_key,
    unit,
)


def test_vectors_that_no_platform_may_change() -> None:
    assert scramble(0) == 0xE220A8397B1DCDAF  # SplitMix64's first output for seed 0
    assert stream_key(1, "device", "pump-0001") == 0x8AC526CE6B26F302
    assert sha256(repr(NORMAL).encode()).hexdigest().startswith("7ad5afb340032195")
    assert (
        sha256(repr([sine(n / 777) for n in range(777)]).encode()).hexdigest().startswith("d8f156019d60b192")
    )


def test_the_normal_table_is_normal_enough() -> None:
    mean = math.fsum(NORMAL) / len(NORMAL)
    variance = math.fsum(x * x for x in NORMAL) / len(NORMAL)
    within_one = sum(abs(x) < 1 for x in NORMAL) / len(NORMAL)
    assert abs(mean) < 1e-12
    assert abs(variance - 1) < 1e-12
    assert 0.65 < within_one < 0.71
    assert max(map(abs, NORMAL)) < 4


def test_the_sine_is_a_sine() -> None:
    assert all(abs(sine(n / 997) - math.sin(2 * math.pi * n / 997)) < 1e-5 for n in range(3 * 997))


def test_smooth_noise_passes_through_its_knots_without_steps() -> None:
    key = stream_key(7, "x")
    assert smooth(key, 41.0) == normal(key, 41)
    steps = [abs(smooth(key, 40 + (n + 1) / 500) - smooth(key, 40 + n / 500)) for n in range(5_000)]
    assert max(steps) < 0.05


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    key = stream_key(3, "u")
    counts = [0] * 10
    for k in range(20_000):
        counts[int(unit(key, k) * 10)] += 1
    assert all(1_800 < count < 2_200 for count in counts)
    assert all(0 <= phase(stream_key(n, "p")) < 1 for n in range(100))
    assert phase(2**64 - 1) <= 1.0


def test_neighbouring_numbers_do_not_hang_together() -> None:
    key = stream_key(5, "white")
    values = [normal(key, k) for k in range(10_000)]
    for lag in (1, 2, 3, 7, 60):
        pairs = zip(values, values[lag:], strict=False)
        assert abs(math.fsum(a * b for a, b in pairs) / len(values)) < 0.08
