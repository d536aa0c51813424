"""Each waveform has the shape that its name claims."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import msgspec
import pytest

from iotcache_simulator.fleet.roster import plain_peers
from iotcache_simulator.fleet.waves.base import Function
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.noise import stream_key

KEYS = [stream_key(1, "device", str(n)) for n in range(40)]
START = 1_718_722_800.0


def wave(**fields: object) -> Function:
    return quantity(own=[fields])


def quantity(**waves: list[dict[str, object]]) -> Function:
    """The quantity ``own``, beside those that it refers to."""
    return plain_peers({name: msgspec.convert(made, tuple[Wave, ...]) for name, made in waves.items()})["own"]


def over(function: Function, seconds: float, step_s: float, key: int = KEYS[0]) -> list[float]:
    return [function(key, START + n * step_s) for n in range(int(seconds / step_s))]


def deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / len(values))


def test_constant_spreads_devices_but_not_times() -> None:
    function = wave(kind="constant", value=4.0, spread=0.8)
    levels = {function(key, START) for key in KEYS}
    assert len(levels) == len(KEYS)
    assert all(3.2 <= level <= 4.8 for level in levels)
    assert function(KEYS[0], START) == function(KEYS[0], START + 12_345)


def test_diurnal_peaks_at_its_hour() -> None:
    function = wave(kind="diurnal", amplitude=2.0, peak_hour=15)
    midnight = 1_718_668_800.0
    by_hour = [function(KEYS[0], midnight + 3_600 * hour) for hour in range(24)]
    assert by_hour.index(max(by_hour)) == 15
    assert by_hour.index(min(by_hour)) == 3
    assert max(by_hour) == pytest.approx(2.0, abs=1e-4)


def test_seasonal_differs_between_half_years() -> None:
    function = wave(kind="seasonal", amplitude=5.0, peak_day=180)
    year = 365.25 * 86_400
    assert function(KEYS[0], 50 * year + 180 * 86_400) == pytest.approx(5.0, abs=1e-3)
    assert function(KEYS[0], 50 * year + 180 * 86_400 + year / 2) == pytest.approx(-5.0, abs=1e-3)


def test_walk_moves_smoothly_and_as_far_as_it_says() -> None:
    function = wave(kind="walk", amplitude=2.0, step_s=60)
    values = over(function, 200_000, 7)
    assert 1.2 < deviation(values) < 2.6
    fine = over(function, 300, 0.1)
    assert max(abs(b - a) for a, b in itertools.pairwise(fine)) < 0.1


def test_ornstein_uhlenbeck_forgets_within_tau() -> None:
    function = wave(kind="ornstein-uhlenbeck", sigma=3.0, tau_s=30)
    values = over(function, 300_000, 15)
    variance = deviation(values) ** 2
    assert 2.2 < variance**0.5 < 3.4

    def correlation(steps: int) -> float:
        products = [a * b for a, b in zip(values, values[steps:], strict=False)]
        return math.fsum(products) / len(products) / variance

    assert 0.5 < correlation(1) < 0.75  # exp(-15/30) = 0.61
    assert abs(correlation(12)) < 0.1


def test_duty_runs_its_share_and_ramps() -> None:
    function = wave(kind="duty", period_s=100, duty=0.7, on=6.0, off=1.0, ramp_s=5)
    values = over(function, 10_000, 0.5)
    assert 0.63 < sum(value == 6.0 for value in values) / len(values) < 0.68
    assert 0.23 < sum(value == 1.0 for value in values) / len(values) < 0.28
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= 0.5 + 1e-6


def test_sawtooth_rises_slowly_and_falls_fast() -> None:
    values = over(wave(kind="sawtooth", amplitude=2.0, period_s=100, fall=0.2), 1_000, 1)
    rising = sum(b > a for a, b in itertools.pairwise(values))
    assert 0.77 < rising / len(values) < 0.83
    assert max(values) == pytest.approx(2.0, abs=0.1)
    assert min(values) == pytest.approx(-2.0, abs=0.2)


def test_step_holds_its_levels() -> None:
    values = over(wave(kind="step", levels=[1.0, 5.0, 9.0], hold_s=20), 20_000, 1)
    assert set(values) == {1.0, 5.0, 9.0}
    changes = sum(a != b for a, b in itertools.pairwise(values))
    assert changes <= 1_000


@pytest.mark.parametrize("vary", [0.0, 0.5, 0.95])
def test_a_counter_never_runs_backwards(vary: float) -> None:
    function = wave(kind="counter", per_hour=44, vary=vary)
    for key in KEYS[:5]:
        values = over(function, 2 * 86_400, 60, key)
        assert all(b > a for a, b in itertools.pairwise(values))
        assert 0.6 < (values[-1] - values[0]) / (44 * 48) < 1.4


def test_boolean_is_true_for_its_share() -> None:
    values = over(wave(kind="boolean", chance=0.2, hold_s=10), 100_000, 5)
    assert set(values) == {0.0, 1.0}
    assert 0.18 < sum(values) / len(values) < 0.22


def test_enum_follows_its_weights() -> None:
    values = over(wave(kind="enum", states=["a", "b", "c"], weights=[6, 3, 1], hold_s=10), 200_000, 10)
    shares = [values.count(float(n)) / len(values) for n in range(3)]
    assert shares == [
        pytest.approx(0.6, abs=0.03),
        pytest.approx(0.3, abs=0.03),
        pytest.approx(0.1, abs=0.02),
    ]


def test_a_track_stays_in_reach_and_drives_no_faster_than_a_leg() -> None:
    values = over(wave(kind="track", center=52.0, reach_km=40, leg_s=1_500), 50_000, 2)
    degrees = 40 / 111.2
    assert all(52 - degrees <= value <= 52 + degrees for value in values)
    assert deviation(values) > 0.05
    fastest = max(abs(b - a) for a, b in itertools.pairwise(values))
    assert fastest <= 2 * degrees * 2 / 1_500 + 1e-9


def test_follows_is_its_leader_shifted_and_scaled() -> None:
    made: dict[str, object] = {"kind": "walk", "amplitude": 2.0, "step_s": 60.0}
    lead = [made]
    leader = quantity(own=[{"kind": "follows", "sensor": "lead"}], lead=lead)
    follows = {"kind": "follows", "sensor": "lead", "gain": -2.0, "offset": 90.0, "lag_s": 30.0}
    follower = quantity(own=[follows], lead=lead)
    assert follower(KEYS[3], START + 30) == 90.0 - 2.0 * leader(KEYS[3], START)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "walk", "amplitude": 1.0, "step_s": 60.0, "octaves": 4},
        {"kind": "duty", "period_s": 100.0, "on": 1.0},
        {"kind": "sawtooth", "amplitude": 1.0, "period_s": 100.0},
        {"kind": "step", "levels": [1.0, 2.0, 3.0, 4.0], "hold_s": 50.0},
        {"kind": "track", "center": 4.8, "reach_km": 10.0, "leg_s": 100.0},
    ],
    ids=lambda fields: str(fields["kind"]),
)
def test_devices_differ_and_nothing_depends_on_the_order_of_calls(fields: dict[str, object]) -> None:
    function: Callable[[int, float], float] = wave(**fields)
    moments = [START + 13.7 * n for n in range(50)]
    forward = [function(KEYS[1], t) for t in moments]
    backward = [function(KEYS[1], t) for t in reversed(moments)]
    assert forward == backward[::-1]
    assert forward != [function(KEYS[2], t) for t in moments]
