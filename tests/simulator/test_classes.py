"""Device class files: the shipped ones hold, and a mistake in a user's is named with line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from iotcache.errors import ConfigError
from iotcache_simulator.fleet.classes import load_classes, parse_class, shipped_classes
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.toml_file import read

GOOD = """\
name = "tank"
sites = ["plant-north"]

[[sensor]]
name = "level"
unit = "m"
range = [0, 12]
interval_s = 5
waves = [{ kind = "constant", value = 6 }]

[[sensor]]
name = "valve"
interval_s = 10
waves = [
    { kind = "enum", states = ["open", "shut"], hold_s = 60 },
]
"""


def test_the_shipped_classes_are_the_six_of_the_fleet() -> None:
    assert [kind.name for kind in shipped_classes()] == [
        "cold-room", "hvac", "pump", "power-meter", "truck", "gateway",
    ]  # fmt: skip
    assert {site for kind in shipped_classes() for site in kind.sites} == {
        "plant-north", "warehouse-east", "office-hq", "fleet",
    }  # fmt: skip


@pytest.mark.parametrize("kind", shipped_classes(), ids=lambda kind: kind.name)
def test_a_shipped_class_stays_in_range_and_moves(kind: DeviceClass) -> None:
    roster = Roster(11, 5, (kind,))
    for sensor in kind.sensor:
        assert 1 <= sensor.interval_s <= 60
        for device in roster.names:
            values = [
                roster.measure(device, sensor.name, 1_718_722_800_000_000 + n * 120_000_000)
                for n in range(200)
            ]
            assert len(set(values)) > 1, (device, sensor.name)
            if sensor.kind == "number":
                low, high = sensor.range
                inside = [value for value in values if low < float(value) < high]
                assert all(low <= float(value) <= high for value in values)
                assert len(inside) > 0.8 * len(values) or sensor.name == "speed", "it sticks to its limits"


def test_a_users_file_needs_no_code(tmp_path: Path) -> None:
    file = tmp_path / "tank.toml"
    file.write_text(GOOD)
    (kind,) = load_classes([str(file)])
    roster = Roster(1, 2, (kind,))
    assert roster.names == ["tank-0001", "tank-0002"]
    assert roster.measure("tank-0001", "level", 0) == 6.0
    assert roster.measure("tank-0002", "valve", 0) in {"open", "shut"}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('unit = "m"', 'unitt = "m"', 6, ["sensor[0].unitt", "no such key here; did you mean unit?"]),
        ('unit = "m"', 'x = "m"', 6, ["sensor[0].x", "there are name, waves, interval_s, unit, range"]),
        ('unit = "m"', f'unit = "{"m" * 17}"', 6, ["sensor[0].unit", "at most 16 characters"]),
        ('sites = ["plant-north"]', "sites = []", 2, ["sites: it must not be empty"]),
        ('name = "level"', 'name = "birth"', 5, ["sensor[0].name", "'birth'", "no reading"]),
        ('unit = "m"', 'unit = "m"\nunit = "l"', 7, ["a key stands there for the second time"]),
        ("interval_s = 5", "interval_s = 1e9", 8, ["sensor[0].interval_s: 1", "at most 86400"]),
        ("interval_s = 5", "interval_s = -5", 8, ["sensor[0].interval_s: -5", "a number of at least 0.01"]),
        ("interval_s = 10", 'interval_s = "10"', 13, ["sensor[1].interval_s", "'10'"]),
        ("value = 6", 'value = "six"', 9, ["sensor[0].waves[0].value", "'six'"]),
        ("value = 6", "value = nan", 9, ["sensor[0].waves[0].value", "nan"]),
        ("interval_s = 5", "interval_s = inf", 8, ["sensor[0].interval_s", "inf"]),
        ('kind = "enum"', 'kind = "enumm"', 15, ["sensor[1].waves[0].kind", "enum", "walk"]),
        (
            "hold_s = 60",
            "hold_s = 60, chance = 1",
            15,
            ["sensor[1].waves[0].chance", "no such key here: there are", "weights"],
        ),
        ("range = [0, 12]", "range = [12, 0]", 7, ["sensor[0].range", "below"]),
        ("range = [0, 12]", "range = [0, 1e305]", 7, ["sensor[0].range", "within 1e+15 of zero"]),
        ("hold_s = 60", "hold_s = 0.0001", 15, ["sensor[1].waves[0].hold_s", "at least 0.001"]),
        ('name = "valve"', 'name = "level"', 12, ["sensor[1].name", "two sensors"]),
        ('name = "level"\n', "", 4, ["sensor[0]", "'name' is missing"]),
        ('name = "tank"', 'name = "ta/nk"', 1, ["name", "'ta/nk'", "letters, digits and . _ -"]),
        ('name = "tank"', 'name = "tank', 1, ["line 1"]),
        (
            '{ kind = "constant", value = 6 }',
            '{ kind = "follows", sensor = "valve" }',
            9,
            ["'valve'", "is a text, not a number"],
        ),
    ],
)
def test_a_mistake_gets_one_sentence_with_line_and_key(
    old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_class(GOOD.replace(old, new, 1), "mine.toml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("mine.toml")
    assert f"line {line}" in text
    for word in words:
        assert word in text


def test_an_unknown_class_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'pumpe'.*pump"):
        load_classes(["pumpe"])
    with pytest.raises(ConfigError, match="cannot be read"):
        load_classes([str(tmp_path / "none.toml")])
    with pytest.raises(ConfigError, match="cannot be read"):
        load_classes([f"{tmp_path}/"])


class _Wanted(msgspec.Struct):
    level: Literal["basic", "advanced", "expert"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('level = "easy"', "level: 'easy' cannot be used: it is one of advanced, basic, expert"),
        ("level = 3", "level: 3 cannot be used: it must be a text, and is a whole number"),
    ],
)
def test_a_choice_and_a_type_are_named_in_plain_words(line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"x.toml, line 1: {says}"):
        read(line, "x.toml", _Wanted)


PHYSICS = """\
name = "plant"
sites = ["a"]
[[quantity]]
name = "mode"
waves = [{ kind = "bands", sensor = "power", states = ["low", "high"], at = [5] }]
[[sensor]]
name = "power"
interval_s = 5
waves = [{ kind = "duty", period_s = 60, on = 9 }]
[[sensor]]
name = "energy"
interval_s = 60
waves = [{ kind = "integral", sensor = "power" }]
[[sensor]]
name = "speed"
interval_s = 5
waves = [{ kind = "route", gives = "speed" }]
[[sensor]]
name = "heat"
interval_s = 5
waves = [{ kind = "state", sensor = "mode", values = { low = 1, high = 2 } }]
[[route]]
point = [{ at = [52, 4], kmh = 50 }, { at = [52, 5], kmh = 50 }]
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('sensor = "power", states', 'sensor = "powr", states', ["quantity[0].waves[0].sensor", "'powr'"]),
        ('sensor = "power", states', 'sensor = "mode", states', ["'mode' and itself are made of each other"]),
        ("at = [5]", "at = [5, 6]", ["quantity[0].waves[0].at", "one limit between two states"]),
        ('kind = "duty", period_s = 60, on = 9', 'kind = "lag", sensor = "heat", tau_s = 9', ["each other"]),
        (
            'kind = "duty", period_s = 60, on = 9',
            'kind = "walk", amplitude = 1, step_s = 9',
            ["balanced = true"],
        ),
        (
            'kind = "duty", period_s = 60, on = 9',
            'kind = "step", levels = [1], hold_s = 9',
            ["sensor[1].waves[0].sensor", "of a step wave there is no integral"],
        ),
        ("low = 1, high = 2", "low = 1", ["sensor[3].waves[0].values", "each of low, high"]),
        ('"state", sensor = "mode"', '"state", sensor = "power"', ["'power' has no states"]),
        ("at = [52, 5]", "at = [52, 4]", ["route[0].point[0].at", "elsewhere"]),
        ("at = [52, 5]", "at = [99, 4]", ["route[0].point[1].at", "at most 85"]),
        ("[[route]]\npoint = [{ at = [52, 4], kmh = 50 }, { at = [52, 5], kmh = 50 }]\n", "", ["[[route]]"]),
    ],
)
def test_a_mistake_between_sensors_gets_one_sentence(old: str, new: str, words: list[str]) -> None:
    parse_class(PHYSICS, "plant.toml")
    assert old in PHYSICS
    with pytest.raises(ConfigError) as caught:
        parse_class(PHYSICS.replace(old, new, 1), "plant.toml")
    text = str(caught.value)
    assert text.startswith("plant.toml, line ")
    assert "\n" not in text
    for word in words:
        assert word in text
