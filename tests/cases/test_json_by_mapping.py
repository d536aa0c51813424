"""JSON that is built from its grammar, read by mappings: the reference is plain json and a naive walk."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.flatten import (
    BESIDE_A_UNIT,
    ID_MEMBERS,
    NAME_MEMBERS,
    UNIT_MEMBERS,
    VALUE_MEMBERS,
)
from iotcache.decode.mapping.outcome import Mapping
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.mapping.unit_texts import UNITS
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.decode.topics import MappedTopics, Topics
from iotcache.model import DeadLetter, Reading
from tests.examples import examples

NOW_US = 1_795_348_800_000_000


def decoded(mapping: IngestMapping, topic: str, payload: bytes) -> Any:
    topics = Topics((), [MappedTopics(mapping.topics)])
    return Decoder(topics, None, [Mapping(mapping, 1)]).decode(topic, payload, NOW_US)


def naming_member(content: list[Any]) -> str:
    """By which of their members the objects of an array are named."""
    if not content or not all(isinstance(one, dict) for one in content):
        return ""
    own = {*VALUE_MEMBERS, "v", "val"}
    valued = all(any(one[key] is not None for key in own & one.keys()) for one in content)
    for naming in NAME_MEMBERS + (ID_MEMBERS if valued else ()):
        names = [one.get(naming) for one in content]
        if naming in ID_MEMBERS:
            names = [str(one) if type(one) is int and 0 <= one < 2**16 else one for one in names]
        if all(isinstance(one, str) and one for one in names) and len({*names}) == len(names):
            return naming
    return ""


def walk(content: Any, depth: int, name: str = "") -> list[tuple[str, Any, str]]:
    """What the documents say becomes of a payload, as simply as it can be written: name, value and unit."""
    found: list[tuple[str, Any, str]] = []
    own = unit_name = None
    if isinstance(content, list):
        naming = naming_member(content) if depth > 1 else ""
        members: Any = list(enumerate(content))
        if naming:
            members = [(one[naming], {key: one[key] for key in one if key != naming}) for one in content]
    else:
        members = list(content.items())
        has_unit = any(isinstance(content.get(one), str) for one in UNIT_MEMBERS)
        own_names = VALUE_MEMBERS + (BESIDE_A_UNIT if has_unit else ())
        own = next(
            (one for one in own_names if not isinstance(content.get(one), None | dict | list)),
            None,
        )
        unit_name = next((one for one in UNIT_MEMBERS if own and isinstance(content.get(one), str)), None)
    for key, value in members:
        path = (f"{name}/" if name else "") + (str(key) or "_")
        if own and key == own:
            found.append((name or "value", value, content[unit_name] if unit_name else ""))
        elif value is None or key == unit_name:
            continue
        elif isinstance(value, dict | list):
            found += walk(value, depth - 1, path) if depth > 1 else []
        else:
            found.append((path, value, ""))
    return found


def as_number(value: Any) -> Any:
    """A text that is a number in JSON is that number, unless it may as well be an identifier."""
    if isinstance(value, str) and value == value.strip() and not re.fullmatch(r"-?[0-9]+[eE][0-9]+", value):
        try:
            number = json.loads(value)
        except ValueError:
            return value
        if isinstance(number, int | float) and not isinstance(number, bool) and value[-1:] not in "yN":
            return number
    return value


_KEYS = st.sampled_from(
    ["temp", "value", "Value", "unit", "uom", "name", "id", "v", "a.b", "1", "", "état", "x y"]
) | st.text(st.characters(codec="utf-8", exclude_characters="/", min_codepoint=32), max_size=5)
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.integers(-1, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=10)
    | st.sampled_from(["21.5", "-3", "007", "1e3", "58e034", "1E+3", "1.5e3", "+5", "ON", "NaN", " 5",
                       "1_000", "", "0x1f", "٣"])
)  # fmt: skip
_OBJECTS = st.dictionaries(
    _KEYS,
    st.recursive(
        _LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)  # fmt: skip
_SPACES = st.sampled_from([(None, (",", ":")), (2, None), (None, None)])


@settings(max_examples=examples(40), deadline=None)
@given(_OBJECTS, st.integers(1, 5), _SPACES, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]),
       st.sampled_from([b"", b"\0", b"\r\n"]))  # fmt: skip
def test_every_member_is_what_a_naive_walk_finds(  # noqa: PLR0917
    content: dict[str, Any], depth: int, spaces: Any, ascii_only: bool, before: bytes, after: bytes
) -> None:
    indent, separators = spaces
    text = json.dumps(content, indent=indent, separators=separators, ensure_ascii=ascii_only)
    wanted = [(name, as_number(value), unit) for name, value, unit in walk(content, depth)]
    found = decoded(IngestMapping(topic="m/{device}", depth=depth), "m/d", before + text.encode() + after)
    if len({name for name, _, _ in wanted}) != len(wanted):
        assert isinstance(found, DeadLetter)  # {"": 1, "_": 2}: told apart by nothing
        assert "both called" in found.reason
        return
    if not wanted:
        assert isinstance(found, NothingInIt)
        return
    storable = [one for one in wanted if not isinstance(one[1], float) or math.isfinite(one[1])]
    readings = found if isinstance(found, list) else found.readings
    assert [(one.sensor, one.value, one.unit) for one in readings] == storable
    assert all(type(one.value) is type(value) for one, (_, value, _) in zip(readings, storable, strict=True))


@pytest.mark.parametrize(
    ("text", "zone", "hour"),
    [
        ("2026-07-01 12:00:00", "Europe/Berlin", 10), ("2026-01-15T12:00:00.25", "Europe/Berlin", 11),
        ("2026-07-01 12:00:00 Europe/Berlin", "", 10), ("2026-07-01 12:00:00 America/New_York", "UTC", 16),
        ("2026-07-01T12:00:00[Asia/Tokyo]", "", 3), ("2026-07-01T12:00:00+02:00[Europe/Berlin]", "", 10),
        ("2026-07-01 12:00:00 UTC", "Asia/Tokyo", 12), ("2026-07-01 12:00:00Z", "Asia/Tokyo", 12),
        ("2026-10-25 02:30:00", "Europe/Berlin", 0), ("2026-07-01 12:00:00+0200", "Asia/Tokyo", 10),
    ],
)  # fmt: skip
def test_a_local_time_is_of_its_zone(text: str, zone: str, hour: int) -> None:
    mapping = IngestMapping(topic="m/{device}", ts="time", zone=zone)
    (one,) = decoded(mapping, "m/d", json.dumps({"time": text, "t": 1}).encode())
    assert one.ts_us // 3_600_000_000 % 24 == hour


@pytest.mark.parametrize(
    ("text", "says"),
    [("2026-07-01 12:00:00", "no time zone"), ("2026-07-01 12:00:00 Mars/Base", "not known: Mars/Base"),
     ("01.07.2026 12:00", "not ISO 8601"), ("noon", "not ISO 8601"),
     ("2026-07-01 12:00:00 ../../etc/passwd", "not ISO 8601")],
)  # fmt: skip
def test_a_local_time_without_its_zone_is_a_dead_letter(text: str, says: str) -> None:
    mapping = IngestMapping(topic="m/{device}", ts="time")
    found = decoded(mapping, "m/d", json.dumps({"time": text, "t": 1}).encode())
    assert isinstance(found, DeadLetter)
    assert says in found.reason


def test_quantities_that_change_their_places_stay_in_their_series() -> None:
    one, two = {"name": "t", "value": 20.5, "unit": "°C"}, {"name": "h", "value": 40, "unit": "%"}
    for many in ([one, two], [two, one], [{"id": 7} | two, one]):
        mapping = IngestMapping(topic="m/{device}", ignore=("*/id",))
        found = decoded(mapping, "m/d", json.dumps({"m": many}).encode())
        assert {(reading.sensor, reading.value, reading.unit) for reading in found} == {
            ("m/t", 20.5, "°C"), ("m/h", 40, "%")
        }  # fmt: skip
    tags = [{"id": "Ch1.Temp", "v": 21.5, "q": True}, {"id": "Ch1.Run", "v": False, "q": True}]
    found = decoded(IngestMapping(topic="m/{device}"), "m/d", json.dumps({"values": tags}).encode())
    assert [one.sensor for one in found] == [f"values/Ch1.{n}/{m}" for n in ("Temp", "Run") for m in "vq"]
    events = [{"id": "9f3a", "code": 7}]  # an identifier that is another in each message names no sensor
    found = decoded(IngestMapping(topic="m/{device}"), "m/d", json.dumps({"events": events}).encode())
    assert [one.sensor for one in found] == ["events/0/id", "events/0/code"]


@settings(max_examples=examples(40), deadline=None)
@given(
    st.integers(-(10**6), 10**6) | st.integers(-(2**20), 2**20).map(lambda n: n / 64),
    st.sampled_from(["", " ", "\u00a0", "\u202f"]),
    st.sampled_from(sorted(UNITS)),
    st.booleans(),
)
def test_a_text_of_a_number_and_a_unit_is_both_where_the_mapping_says_so(
    number: float, gap: str, unit: str, is_bare: bool
) -> None:
    text = f"{number}{gap}{unit}"
    payload = text.encode() if is_bare else json.dumps({"t": text}).encode()
    topic = "m/d/t" if is_bare else "m/d"
    template = "m/{device}/{sensor}" if is_bare else "m/{device}"
    for quoted in (True, False):
        mapping = IngestMapping(topic=template, quoted_units=quoted, units={"t": "other"})
        (one,) = decoded(mapping, topic, payload)
        assert (one.value, one.unit) == ((number, unit) if quoted else (text, "other"))


@pytest.mark.parametrize(
    "text", ["1.2 beta", "3 of 4", "007 °C", "21,5 °C", "1.2.3 V", "12:30", "5m3s", "-", "V", "4  V",
             "٣ V", "21.5 °C ", "10 V (max)"],
)  # fmt: skip
def test_any_other_text_stays_one(text: str) -> None:
    mapping = IngestMapping(topic="m/{device}", quoted_units=True)
    (one,) = decoded(mapping, "m/d", json.dumps({"t": text}).encode())
    assert (one.value, one.unit) == (text, "")


_TAG = {"id": "a", "v": 1.5, "t": NOW_US // 1_000}


@pytest.mark.parametrize(
    ("beside", "says"),
    [({"id": "b", "v": None}, ""), ({"id": "b"}, "record no. 2"), ({"id": "b", "v": [1]}, "an array"),
     ({"id": "b", "v": 2, "t": 5}, "never set"), ({"id": "b", "v": "x" * 2_000}, "longer than"),
     ({"id": 1.5, "v": 2}, "no name"), ({"id": "b", "v": 2, "t": "noon"}, "ISO 8601"), (7, "record no. 2")],
)  # fmt: skip
def test_one_record_of_a_list_does_not_take_the_others_with_it(beside: Any, says: str) -> None:
    mapping = IngestMapping(topic="m/{device}", readings="values", value="v", sensor="id", ts="t")
    found = decoded(mapping, "m/d", json.dumps({"values": [_TAG, beside, _TAG | {"id": "c"}]}).encode())
    assert isinstance(found, PartlyDecoded) == bool(says), found
    readings = found.readings if says else found
    assert [(one.sensor, one.value) for one in readings] == [("a", 1.5), ("c", 1.5)]
    assert not says or says in found.dead_letter.reason, found.dead_letter.reason


@pytest.mark.parametrize("bad", ["nan", "NaN", "-NAN", "inf", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_one_number_that_is_none_does_not_take_the_others_with_it(bad: str) -> None:
    payload = f'{{"a": {bad}, "inf": {{"nan": 1.5}}, "t": "x nan: {{\\"inf"}}'.encode()
    found = decoded(IngestMapping(topic="m/{device}"), "m/d", payload)
    assert isinstance(found, PartlyDecoded), found
    assert [(one.sensor, one.value) for one in found.readings] == [("inf/nan", 1.5), ("t", 'x nan: {"inf')]
    assert '"a"' in found.dead_letter.reason
    assert "no measurement" in found.dead_letter.reason


@pytest.mark.parametrize(
    "text", ['{"a": nanny}', '{"a": 1nan}', '{"a": -}', "{nan: 1}", '{"a": nan', "[1, NaN]]"]
)
def test_what_is_no_json_otherwise_stays_a_dead_letter(text: str) -> None:
    assert isinstance(decoded(IngestMapping(topic="m/{device}"), "m/d", text.encode()), DeadLetter)


def test_a_text_that_holds_json_is_what_it_holds() -> None:
    inner = json.dumps({"t": 21.5, "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]})
    payload = json.dumps({"o": inner, "n": json.dumps({"o": inner}), "e": "", "x": "{"}).encode()
    for value, wanted in (
        ("o.t", [21.5]),
        ("n.o.t", [21.5]),
        ("o.list[1].v", [2]),
        ("o.*", None),
        ("e.*", []),
    ):
        found = decoded(IngestMapping(topic="m/{device}", value=value, sensor="=s"), "m/d", payload)
        values = [one.value for one in found] if isinstance(found, list) else []
        assert values == wanted or (wanted is None and 21.5 in values), found
    records = IngestMapping(topic="m/{device}", readings="o.list", sensor="k", value="v")
    assert [(one.sensor, one.value) for one in decoded(records, "m/d", payload)] == [("a", 1), ("b", 2)]
    assert isinstance(decoded(IngestMapping(topic="m/{device}", value="x.*"), "m/d", payload), DeadLetter)


def test_records_of_a_bad_quality_are_left_out_where_the_mapping_says_so() -> None:
    content = {"tags": [{"n": "a", "v": 1, "q": 192}, {"n": "b", "v": 2, "q": 0}, {"n": "c", "v": 3}, 7]}
    mapping = IngestMapping(topic="m/{device}", readings="tags", sensor="n", value="v", where={"q": 192})
    assert [one.sensor for one in decoded(mapping, "m/d", json.dumps(content).encode())] == ["a"]
    content = {"tags": [{"n": "a", "v": 1, "q": True}, {"n": "b", "v": 2, "q": 1}]}
    mapping = IngestMapping(topic="m/{device}", readings="tags", sensor="n", value="v", where={"q": True})
    assert [one.sensor for one in decoded(mapping, "m/d", json.dumps(content).encode())] == ["a"]
    mapping = IngestMapping(topic="m/{device}", readings="tags", sensor="n", value="v", where={"q": 5})
    assert isinstance(decoded(mapping, "m/d", json.dumps(content).encode()), NothingInIt)


def test_records_that_all_lack_a_value_are_left_to_the_next_mapping() -> None:
    mapping = IngestMapping(
        topic="m/{device}", readings="values", value="v", sensor="id", on_missing="pass_over"
    )
    assert decoded(mapping, "m/d", b'{"values": [{"id": "a"}, {"id": "b"}]}') == []
    found = decoded(mapping, "m/d", b'{"values": [{"id": "a", "v": null}, {"id": "b", "v": null}]}')
    assert found == []


def test_what_is_said_of_an_array_is_said_of_its_members() -> None:
    mapping = IngestMapping(
        topic="m/{device}", units={"Power": "W", "*/Total": "kWh", "x": "V"}, ignore=("raw", "*/by_minute")
    )
    content = {"E": {"Power": [100, 50], "Total": [[1], 2], "by_minute": [1, 2]}, "raw": [1], "x": {"7": 3}}
    found = decoded(mapping, "m/d", json.dumps(content).encode())
    assert [(one.sensor, one.unit) for one in found] == [
        ("E/Power/0", "W"), ("E/Power/1", "W"), ("E/Total/0/0", "kWh"), ("E/Total/1", "kWh"), ("x/7", "V")
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [{"pass_over": True}, {"when": {"x": 1}, "pass_over": True}])
@pytest.mark.parametrize(
    ("first", "content", "says"),
    [
        ({"ts": "ts", "ts_unit": "s"}, {"ts": 1.5, "t": 1, "x": 1}, "never set"),
        ({"ts": "ts", "ts_unit": "s"}, {"ts": NOW_US // 10**3, "t": 1, "x": 1}, "days after|past"),
        ({"ts": "ts", "on_missing": "pass_over"}, {"ts": "noon", "t": 1, "x": 1}, "not ISO 8601"),
        ({"device": "id"}, {"id": 1.5, "t": 1, "x": 1}, "no name"),
        ({"ignore": ("x",)}, {"t": "y" * 2_000, "x": 1}, "longer than"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_kept_are_never_passed_over_in_silence(
    first: dict[str, Any], content: dict[str, Any], says: str, ending: dict[str, Any]
) -> None:
    mappings = [IngestMapping(**{"topic": "m/{device}"} | each) for each in (first, ending)]
    topics = Topics((), [MappedTopics(mapping.topics) for mapping in mappings])
    decoder = Decoder(topics, None, [Mapping(mapping, n) for n, mapping in enumerate(mappings)])
    found = decoder.decode("m/d", json.dumps(content).encode(), NOW_US)
    assert isinstance(found, DeadLetter), found
    assert re.search(says, found.reason), found.reason


def test_each_value_has_the_nearest_time_above_it_and_a_wrong_one_takes_no_other_with_it() -> None:
    mapping = IngestMapping(topic="m/{device}", ts="sent", each_ts="t")
    content = {
        "sent": NOW_US - 1_000_000, "a": {"value": 1, "t": NOW_US - 2_000_000}, "b": 2,
        "c": {"value": 3, "t": None},
        "d": {"t": NOW_US - 3_000_000, "x": [4, {"y": 5}], "e": {"t": NOW_US - 4_000_000, "value": 6}},
        "f": {"t": "noon", "value": 7}, "t": {"t": NOW_US - 5_000_000, "z": 8},
    }  # fmt: skip
    topics = Topics((), [MappedTopics(mapping.topics)])
    found = Decoder(topics, None, [Mapping(mapping, 1)]).decode("m/d", json.dumps(content).encode(), NOW_US)
    assert isinstance(found, PartlyDecoded)
    assert [(one.sensor, one.value, (NOW_US - one.ts_us) // 1_000_000) for one in found.readings] == [
        ("a", 1, 2), ("b", 2, 1), ("c", 3, 1), ("d/x/0", 4, 3), ("d/x/1/y", 5, 3), ("d/e", 6, 4),
        ("t/z", 8, 5),
    ]  # fmt: skip
    assert '"f": the time at "t" is not ISO 8601' in found.dead_letter.reason


@pytest.mark.parametrize(
    ("topic", "sensors"), [("m/{device}", None), ("m/{device}/{sensor}", {"t", "t/value"})]
)
def test_two_members_that_would_be_one_series_are_refused(topic: str, sensors: set[str] | None) -> None:
    content = {"Value": 1, "value": {"value": 2}}
    found = decoded(
        IngestMapping(topic=topic), topic.format(device="d", sensor="t"), json.dumps(content).encode()
    )
    if sensors is None:
        assert isinstance(found, DeadLetter)
        assert 'two of its members are both called "value"' in found.reason
    else:
        assert {one.sensor for one in found} == sensors


def test_records_that_nothing_tells_apart_are_told_apart_by_their_places() -> None:
    payload = b'[{"t": 1}, {"t": 2}]'
    found = decoded(IngestMapping(topic="m/{device}"), "m/d", payload)
    assert [(one.sensor, one.value) for one in found] == [("0/t", 1), ("1/t", 2)]
    named = b'[{"id": 7, "t": 1}, {"id": 8, "t": 2}]'
    found = decoded(IngestMapping(topic="m", device="id"), "m", named)
    assert [(one.device, one.sensor) for one in found] == [("7", "t"), ("8", "t")]


_STEPS = st.text("abc .'", min_size=1, max_size=4).filter(lambda text: "'" not in text)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(_STEPS | st.integers(0, 2), min_size=1, max_size=5), st.integers(-(10**9), 10**9))
def test_a_path_leads_where_its_steps_do(steps: list[str | int], value: int) -> None:
    content: Any = value
    for step in reversed(steps):
        content = {step: content} if isinstance(step, str) else [None] * step + [content]
    path = "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in steps)
    mapping = IngestMapping(topic="m/{device}", value=path, sensor="=t")
    found = decoded(mapping, "m/d", json.dumps(content).encode())
    assert [(one.value, one.sensor) for one in found] == [(value, "t")]


@settings(max_examples=examples(50), deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["ON", "on", "1e400", "-.5", "null"])
)
def test_a_bare_text_is_a_number_a_state_or_a_mistake(text: str) -> None:
    mapping = IngestMapping(topic="m/{device}/{sensor}", states={"ON": True})
    found = decoded(mapping, "m/d/t", text.encode())
    if isinstance(found, list):
        (one,) = found
        assert isinstance(one, Reading)
        assert "\0" not in str(one.value)
        if text.strip() == "ON":
            assert one.value is True
    else:
        assert isinstance(found, DeadLetter | NothingInIt)
