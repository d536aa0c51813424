"""What a device's sensors say agrees with each other as it does in nature, over a simulated week."""

from __future__ import annotations

import itertools
import math
from array import array
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iotcache.errors import ConfigError
from iotcache_simulator.fleet.classes import parse_class, shipped_classes
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.rendering.array_classes import array_functions
from iotcache_simulator.fleet.rendering.value_blocks import Epoch, ValueBlocks
from iotcache_simulator.fleet.roster import Roster, plain_peers
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.noise import stream_key

WEEK_S = 7 * 86_400
START_US = 1_718_582_400_000_000
"""2024-06-17, a Monday in summer."""
WINTER_US = START_US + 210 * 86_400_000_000
CLASSES = {kind.name: kind for kind in shipped_classes()}
KEYS = [stream_key(1, "device", str(n)) for n in range(8)]

Values = NDArray[Any]


def reported(
    kind: DeviceClass, sensor: str, step_s: float, *, device: int = 0, length_s: float = WEEK_S,
    start_us: int = START_US,
) -> Values:  # fmt: skip
    """What a device reports every ``step_s`` for ``length_s``, with noise and decimals; a state's number."""
    roster = Roster(3, device + 1, [kind])
    names = [one.name for one in kind.sensor]
    place = names.index(sensor)
    blocks = ValueBlocks(
        kind.sensor[place], array_functions(kind)[place], roster.functions[0][place].noise_salt,
        keys=roster.keys, devices=array("I", [device]), phases=array("Q", [0]),
        interval_us=round(step_s * 1e6), counts=kind.sensor[place].kind != "number",
    )  # fmt: skip
    return np.array(blocks.numbers(0, int(length_s / step_s) + 1, Epoch(start_us), None))


def correlation(a: Values, b: Values) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def kilometres(lat: Values, lon: Values, lat_2: Values, lon_2: Values) -> Values:
    """Great-circle distance (haversine)."""
    a, b = np.radians(lat), np.radians(lat_2)
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_2 - lon) / 2) ** 2
    distance: Values = 2 * 6_371.0 * np.arcsin(np.sqrt(h))
    return distance


@pytest.mark.parametrize("device", range(3))
def test_a_meters_energy_is_the_integral_of_its_power(device: int) -> None:
    kind = CLASSES["power-meter"]
    power = reported(kind, "power", 5, device=device)
    energy = reported(kind, "energy", 60, device=device)
    hourly = np.diff(energy[::60])
    mean = ((power[:-1] + power[1:]) / 2).reshape(-1, 720).mean(axis=1)  # kW of each hour: kWh
    assert correlation(hourly, mean) > 0.9999
    assert np.abs(hourly - mean).max() < 0.05
    assert energy[-1] - energy[0] == pytest.approx(float(mean.sum()), rel=1e-4)


INTEGRABLE = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"kind": st.just("constant"), "value": st.floats(-9, 9), "spread": st.floats(0, 2)}
        ),
        st.fixed_dictionaries({"kind": st.just("diurnal"), "amplitude": st.floats(-9, 9)}),
        st.fixed_dictionaries({"kind": st.just("seasonal"), "amplitude": st.floats(-9, 9)}),
        st.fixed_dictionaries(
            {
                "kind": st.just("walk"), "amplitude": st.floats(-9, 9), "step_s": st.floats(100, 9_000),
                "octaves": st.integers(1, 3), "balanced": st.just(True),
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("duty"), "on": st.floats(-9, 9), "off": st.floats(-9, 9),
                "duty": st.floats(0.05, 0.95), "period_s": st.floats(300, 9_000), "ramp_s": st.floats(0, 400),
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("sawtooth"), "amplitude": st.floats(-9, 9),
                "period_s": st.floats(300, 9_000), "fall": st.just(0.0) | st.floats(0.05, 0.9),
            }
        ),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(INTEGRABLE, st.floats(0, WEEK_S), st.floats(100, 40_000), st.sampled_from(KEYS))
def test_an_integral_is_what_adding_up_its_source_comes_to(
    source: list[dict[str, object]], after_s: float, length_s: float, key: int
) -> None:
    """Every wave that has one, alone and added up, from any moment to any other."""
    made = {"x": source, "own": [{"kind": "integral", "sensor": "x", "per_s": 1.0, "since_day": 19_800.0}]}
    peers = plain_peers({name: msgspec.convert(waves, tuple[Wave, ...]) for name, waves in made.items()})
    x, total = peers["x"], peers["own"]
    begin_s = START_US / 1e6 + after_s
    steps = 4_000
    step_s = length_s / steps
    summed = math.fsum(x(key, begin_s + (n + 0.5) * step_s) for n in range(steps)) * step_s
    # Edges of steps and ramps fall within one summand, of at most 30 each in height.
    edges = 0.0
    for wave in source:
        edges += length_s / msgspec.convert(wave.get("period_s", 1e9), float) * 2 + 2
    assert total(key, begin_s + length_s) - total(key, begin_s) == pytest.approx(
        summed, abs=20.0 * step_s * edges**0.5 * 2 + 1e-3
    )


@pytest.mark.parametrize("device", range(3))
def test_a_trucks_speed_is_what_its_track_says(device: int) -> None:
    kind = CLASSES["truck"]
    lat, lon = (reported(kind, name, 4, device=device) for name in ("lat", "lon"))
    speed = reported(kind, "speed", 4, device=device)
    minute = kilometres(lat[:-1], lon[:-1], lat[1:], lon[1:])
    by_track = minute[: len(minute) // 15 * 15].reshape(-1, 15).sum(axis=1) * 60
    said = ((speed[:-1] + speed[1:]) / 2)[: len(by_track) * 15].reshape(-1, 15).mean(axis=1)
    moving = said > 5
    assert correlation(by_track, said) > 0.998
    assert np.abs(by_track - said)[moving].max() < 6, "on average over a minute"
    assert abs(by_track[moving].mean() - said[moving].mean()) < 0.5
    assert by_track[said < 0.5].max() < 4, "who says that he stands does not move but for GPS noise"
    assert speed.max() <= 90


@pytest.mark.parametrize("device", range(3))
def test_a_truck_stays_on_its_route_stops_and_looks_where_it_goes(device: int) -> None:
    kind = CLASSES["truck"]
    lat, lon, speed, heading = (
        reported(kind, name, 20, device=device) for name in ("lat", "lon", "speed", "heading")
    )
    assert min(off_route(kind, n, lat, lon).max() for n in range(len(kind.route))) < 0.02, "km"
    standing = float((speed < 1).mean())
    assert 0.2 < standing < 0.7
    stops = int(((speed[:-1] >= 1) & (speed[1:] < 1)).sum())
    assert stops > 7 * 8
    north = np.diff(lat) * 111.2
    east = np.diff(lon) * 111.2 * math.cos(math.radians(52))
    course = np.degrees(np.arctan2(east, north)) % 360
    steady = (speed[:-1] > 40) & (speed[1:] > 40) & (heading[:-1] == heading[1:])
    turned = np.abs((course - heading[:-1] + 180) % 360 - 180)[steady]
    assert np.percentile(turned, 99) < 3


def off_route(kind: DeviceClass, number: int, lat: Values, lon: Values) -> Values:
    """How many kilometres each fix lies beside one of the routes of a class."""
    at = [point.at for point in kind.route[number].point]
    east = 111.2 * math.cos(math.radians(52))
    x, y = lon * east, lat * 111.2
    nearest = np.full(len(lat), np.inf)
    for (a_lat, a_lon), (b_lat, b_lon) in zip(at, [*at[1:], at[0]], strict=True):
        ax, ay = a_lon * east, a_lat * 111.2
        dx, dy = b_lon * east - ax, b_lat * 111.2 - ay
        part = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - part * dx, y - ay - part * dy))
    return nearest


@pytest.mark.parametrize("device", range(2))
def test_a_bearing_has_thermal_inertia(device: int) -> None:
    kind = CLASSES["pump"]
    bearing = reported(kind, "bearing", 10, device=device)
    pressure = reported(kind, "pressure", 10, device=device)
    assert np.abs(np.diff(bearing)).max() < 1.5, "its noise, and some tenths of a degree in ten seconds"
    slope = bearing[6:] - bearing[:-6]
    assert slope[pressure[3:-3] > 5].mean() > 0.1, "it warms up while the pump runs"
    assert slope[pressure[3:-3] < 2].mean() < -0.3, "and cools down while it stands"
    assert 35 < bearing.min() < bearing.max() < 75


def test_a_cold_room_warms_up_slowly_while_its_door_is_open() -> None:
    kind = CLASSES["cold-room"]
    temperature, door = reported(kind, "temperature", 10), reported(kind, "door", 10)
    assert np.abs(np.diff(temperature)).max() < 0.9
    opened = np.flatnonzero((door[1:-30] == 1) & (door[:-31] == 0)) + 1
    rise = np.mean([temperature[at + 6] - temperature[at] for at in opened])
    assert 0.7 < rise < 2.5, "°C within a minute"
    assert 0 < temperature.min() < temperature.max() < 13


@pytest.mark.parametrize(("start_us", "season"), [(START_US, "summer"), (WINTER_US, "winter")])
def test_an_air_conditioner_does_what_the_weather_asks(start_us: int, season: str) -> None:
    kind = CLASSES["hvac"]
    mode = reported(kind, "mode", 60, start_us=start_us)
    temperature = reported(kind, "temperature", 60, start_us=start_us)
    heating, _, _, cooling = (mode == n for n in range(4))
    assert heating.mean() < 0.02 if season == "summer" else heating.mean() > 0.2
    assert cooling.mean() > 0.2 if season == "summer" else cooling.mean() < 0.02
    hours = len(mode) // 60 * 60
    both = heating[:hours].reshape(-1, 60).any(axis=1) & cooling[:hours].reshape(-1, 60).any(axis=1)
    assert not both.any(), "it does not heat and cool within one hour"
    slope = temperature[5:] - temperature[:-5]
    busy = cooling if season == "summer" else heating
    started = busy[1:-5] & ~busy[:-6]
    assert (slope[1:][started].mean() < 0) == (season == "summer")
    assert 18 < temperature.min() < temperature.max() < 26


def test_weather_is_shared_by_a_site_and_differs_from_the_next() -> None:
    text = (
        'name = "{0}"\nsites = ["north", "south"]\n[[sensor]]\nname = "out"\ninterval_s = 60\n'
        'waves = [{{ kind = "weather" }}]\n[[sensor]]\nname = "sun"\ninterval_s = 60\n'
        'waves = [{{ kind = "weather", gives = "sun" }}]\n'
    )
    mast, roof = (parse_class(text.format(name), f"{name}.toml") for name in ("mast", "roof"))
    north = reported(mast, "out", 600)
    assert (north == reported(roof, "out", 600, device=2)).all()
    assert (north != reported(mast, "out", 600, device=1)).mean() > 0.9
    assert 3 < north.min() < north.max() < 35
    winter = reported(mast, "out", 600, start_us=WINTER_US)
    assert winter.mean() < north.mean() - 8
    sun = reported(mast, "sun", 600)
    days = sun[:-1].reshape(7, 144)
    assert (days[:, 60:85].mean(axis=1) > 100).all()
    assert (days[:, :10] == 0).all(), "no sun at midnight"


COUNTING = [
    [{"kind": "counter", "per_hour": 44, "vary": 0.99}],
    [{"kind": "counter", "per_hour": 0.01, "vary": 0.5}, {"kind": "constant", "value": 5, "spread": 3}],
    [{"kind": "follows", "sensor": "count", "gain": 0.3, "lag_s": 40}],
    [{"kind": "integral", "sensor": "power"}, {"kind": "counter", "per_hour": 2}],
]


def counting_class(waves: list[dict[str, object]], noise: float = 0.0) -> str:
    def inline(wave: dict[str, object]) -> str:
        pairs = [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in wave.items()
        ]
        return "{ " + ", ".join(pairs) + " }"

    return (
        'name = "meter"\nsites = ["a"]\n'
        '[[sensor]]\nname = "power"\ninterval_s = 5\nrange = [0, 99]\n'
        'waves = [{ kind = "duty", period_s = 300, on = 9 }, { kind = "constant", value = 2 }]\n'
        '[[sensor]]\nname = "count"\ninterval_s = 5\nwaves = [{ kind = "counter", per_hour = 9 }]\n'
        f'[[sensor]]\nname = "total"\ninterval_s = 5\nnoise = {noise}\nprecision = 3\n'
        f"waves = [{', '.join(map(inline, waves))}]\n"
    )


@pytest.mark.parametrize("waves", COUNTING)
def test_counters_never_fall(waves: list[dict[str, object]]) -> None:
    kind = parse_class(counting_class(waves), "meter.toml")
    for device in range(3):
        assert (np.diff(reported(kind, "total", 60, device=device)) >= 0).all()


@pytest.mark.parametrize("waves", COUNTING)
def test_noise_that_would_make_a_counter_fall_is_refused(waves: list[dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match="a counter never falls, so it takes no noise"):
        parse_class(counting_class(waves, noise=0.5), "meter.toml")
    with pytest.raises(ConfigError, match="only constant waves may be added"):
        parse_class(counting_class([*waves, {"kind": "walk", "amplitude": 1, "step_s": 60}]), "meter.toml")


def test_the_shipped_counters_never_fall() -> None:
    for device in range(5):
        assert (np.diff(reported(CLASSES["power-meter"], "energy", 60, device=device)) > 0).all()


@pytest.mark.parametrize("tau_s", [5.0, 120.0, 3_600.0])
def test_inertia_does_63_percent_of_a_step_within_its_time_constant(tau_s: float) -> None:
    made = {
        "x": [{"kind": "duty", "period_s": tau_s * 40, "on": 1.0}],
        "own": [{"kind": "lag", "sensor": "x", "tau_s": tau_s}],
    }
    peers = plain_peers({name: msgspec.convert(waves, tuple[Wave, ...]) for name, waves in made.items()})
    x, y = peers["x"], peers["own"]
    step_s = tau_s / 50
    for key in KEYS[:4]:
        begin_s = START_US / 1e6
        while not (x(key, begin_s) == 0.0 and x(key, begin_s + step_s) == 1.0):
            begin_s += step_s
        after = [y(key, begin_s + n * step_s) for n in range(300)]
        assert after[0] == pytest.approx(0.0, abs=0.01)
        assert 0.52 < after[50] < 0.70
        assert 0.93 < after[150] < 0.99
        assert all(b >= a - 1e-12 for a, b in itertools.pairwise(after))
