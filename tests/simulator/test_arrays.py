"""The waves in arrays say what the plain functions say, to the last bit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache_simulator.fleet.classes import load_classes, parse_class
from iotcache_simulator.fleet.rendering.array_classes import array_functions, array_peers
from iotcache_simulator.fleet.roster import Roster, plain_peers
from iotcache_simulator.fleet.stream import Stream, Timeline
from iotcache_simulator.fleet.waves.kinds import WAVE_KINDS, Wave
from iotcache_simulator.fleet.waves.route import DriveRoute

FEW = st.floats(-1e3, 1e3)
LENGTH = st.floats(0.001, 1e7)
SHARE = st.floats(0.0, 1.0)
MADE: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "constant": {"value": FEW, "spread": st.just(0.0) | FEW},
    "diurnal": {"amplitude": FEW, "peak_hour": st.floats(0.0, 23.999)},
    "seasonal": {"amplitude": FEW, "peak_day": st.floats(0.0, 365.9)},
    "walk": {
        "amplitude": FEW, "step_s": LENGTH, "octaves": st.integers(1, 6), "balanced": st.booleans(),
    },
    "ornstein-uhlenbeck": {"sigma": FEW, "tau_s": LENGTH},
    "duty": {
        "period_s": LENGTH, "on": FEW, "off": FEW, "duty": SHARE, "ramp_s": st.just(0.0) | LENGTH,
    },
    "sawtooth": {"amplitude": FEW, "period_s": LENGTH, "fall": st.just(0.0) | st.floats(0.001, 0.99)},
    "step": {"levels": st.lists(FEW, min_size=1, max_size=5), "hold_s": LENGTH},
    "counter": {
        "per_hour": st.floats(0.001, 1e6), "since_day": st.floats(0.0, 2e4), "vary": st.floats(0.0, 0.99),
    },
    "boolean": {"chance": SHARE, "hold_s": LENGTH},
    "enum": {"states": st.lists(st.text("abc", min_size=1), min_size=1, max_size=4), "hold_s": LENGTH},
    "track": {"center": FEW, "reach_km": LENGTH, "leg_s": LENGTH},
    "follows": {"sensor": st.just("lead"), "gain": FEW, "offset": FEW, "lag_s": st.just(0.0) | LENGTH},
    "lag": {"sensor": st.just("lead"), "gain": FEW, "offset": FEW, "tau_s": LENGTH},
    "curve": {
        "sensor": st.just("lead"),
        "points": st.lists(st.tuples(FEW, FEW), min_size=2, max_size=5, unique_by=lambda p: p[0]).map(sorted),
    },
    "state": {"sensor": st.just("mode"), "values": st.fixed_dictionaries({"a": FEW, "b": FEW})},
    "bands": {
        "sensor": st.just("lead"), "states": st.just(["x", "y", "z"]),
        "at": st.lists(FEW, min_size=2, max_size=2, unique=True).map(sorted),
    },
    "integral": {
        "sensor": st.just("power"), "per_s": st.floats(0.001, 1e6), "since_day": st.floats(0.0, 2e4),
    },
    "route": {"gives": st.sampled_from(["lat", "lon", "speed", "heading", "odometer"])},
    "weather": {"gives": st.sampled_from(["temperature", "humidity", "sun"]), "gain": FEW, "offset": FEW},
}  # fmt: skip
PEERS = {
    "lead": [{"kind": "walk", "amplitude": 2.0, "step_s": 60.0}],
    "mode": [{"kind": "enum", "states": ["a", "b"], "hold_s": 40.0}],
    "power": [
        {"kind": "constant", "value": 3.0, "spread": 1.0},
        {"kind": "diurnal", "amplitude": 1.0},
        {"kind": "seasonal", "amplitude": 1.0},
        {"kind": "walk", "amplitude": 2.0, "step_s": 60.0, "balanced": True},
        {"kind": "duty", "period_s": 420.0, "on": 2.0, "ramp_s": 7.0},
        {"kind": "sawtooth", "amplitude": 2.0, "period_s": 900.0},
        {"kind": "follows", "sensor": "base", "gain": 2.0, "offset": 1.0, "lag_s": 5.0},
    ],
    "base": [{"kind": "duty", "period_s": 60.0, "on": 2.0}],
}
ROUTES = msgspec.convert(
    [
        {"point": [{"at": [52.0, 4.9], "kmh": 80, "stop_s": 60}, {"at": [52.1, 5.0], "kmh": 50}]},
        {"point": [{"at": [-10.0, 4.9], "kmh": 30}, {"at": [-10.0, 5.0], "kmh": 50}], "traffic": 0.1},
    ],
    tuple[DriveRoute, ...],
)


def test_every_wave_is_tried_here() -> None:
    assert sorted(MADE) == sorted(WAVE_KINDS)


@pytest.mark.parametrize("kind", WAVE_KINDS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_each_wave_in_arrays_is_the_plain_one(kind: str, data: st.DataObject) -> None:
    fields = data.draw(st.fixed_dictionaries(MADE[kind]))
    moments = st.tuples(st.integers(0, 2**64 - 1), st.integers(10**15, 4 * 10**15))
    slots = data.draw(st.lists(moments, min_size=1, max_size=20))
    made = {**PEERS, "own": [{"kind": kind, **fields}]}
    quantities = {name: msgspec.convert(waves, tuple[Wave, ...]) for name, waves in made.items()}
    plain, arrays = plain_peers(quantities, ROUTES)["own"], array_peers(quantities, ROUTES)["own"]
    keys, times = (np.array(column, np.uint64) for column in zip(*slots, strict=True))
    found = arrays(keys, times.astype(np.int64) / 1e6).tolist()
    assert found == [plain(key, t_us / 1e6) for key, t_us in slots]


def test_the_shipped_classes_have_an_array_function_for_each_sensor() -> None:
    for kind in load_classes():
        assert len(array_functions(kind)) == len(kind.sensor)


@pytest.mark.parametrize("devices", [1, 3, 700])
def test_a_stream_says_what_its_devices_measure_however_wide_its_stretches_are(devices: int) -> None:
    """Over the edges of what is made ahead, for stretches longer than that, and for a single device."""
    kind = parse_class(
        'name = "probe"\nsites = ["lab"]\n[[sensor]]\nname = "few"\ninterval_s = 1\nprecision = 1\n'
        'range = [-5, 5]\nnoise = 0.3\nwaves = [{ kind = "walk", amplitude = 4, step_s = 7 }]\n'
        '[[sensor]]\nname = "many"\ninterval_s = 1\nprecision = 6\n'
        'waves = [{ kind = "follows", sensor = "few", gain = 1e5 }]\n'
        '[[sensor]]\nname = "state"\ninterval_s = 1\n'
        'waves = [{ kind = "enum", states = ["a", "b"], hold_s = 3 }]\n',
        "probe.toml",
    )
    roster, timeline = Roster(3, devices, [kind]), Timeline()
    stream = Stream(roster, timeline)
    found = 0
    for until_us in (1_400_000, 1_490_000, 4_490_000, 4_490_001, 4_500_000 + 60_000_000 // devices):
        for sent_us, series, _, _, line in stream.window(until_us):
            number, device = divmod(series, devices)
            _, name, sensor, _, text = line.decode().split()
            function = roster.functions[0][number]
            value = function.measure(roster.keys[device], timeline.start_us + sent_us)
            assert (name, sensor) == (roster.names[device], ("few", "many", "state")[number])
            assert text == (f'"{value}"' if sensor == "state" else f"{value:.{(1, 6)[number]}f}")
            found += 1
    assert found > 150
