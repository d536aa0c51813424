"""Payloads of fleets that we did not write, read by the paths of [ingest.fields]."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from iotcache.config import load
from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.paths import parse_steps
from iotcache.decode.mapping.reader import FieldReader, reader_for
from iotcache.decode.mapping.settings import FieldPaths
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.decode.topics import Topics
from iotcache.errors import ConfigError
from iotcache.model import DeadLetter, Reading
from tests.examples import examples

NOW_US = 1_795_348_800_000_000
TOPICS = Topics(["up/{device}"])


def decode(
    fields: FieldPaths, content: Any, topic: str = "up/d"
) -> list[Reading] | DeadLetter | PartlyDecoded | NothingInIt:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Decoder(TOPICS, reader_for(fields)).decode(topic, raw, NOW_US)


def readings(fields: FieldPaths, content: Any, topic: str = "up/d") -> list[Reading]:
    found = decode(fields, content, topic)
    assert isinstance(found, list), found
    return found


def reason(fields: FieldPaths, content: Any) -> str:
    found = decode(fields, content)
    assert isinstance(found, DeadLetter), found
    assert found.reason.isprintable()
    return found.reason


def paths(**given: Any) -> FieldPaths:
    return FieldPaths(**given)


def test_the_default_needs_no_reader() -> None:
    assert reader_for(FieldPaths()) is None


def test_nested_fields_constants_and_places_in_arrays() -> None:
    fields = paths(
        value="data[-1].v", ts="meta.time", device="meta['dev.id']", sensor="=flow", unit="data[0].u",
        seq="meta.n", boot="",
    )  # fmt: skip
    content = {
        "meta": {"time": "2026-11-22T11:59:59Z", "dev.id": "d", "n": 7},
        "data": [{"u": "l/s"}, {"v": 1.5}],
        "boot": {"not": "ours"},
    }
    assert readings(fields, content) == [
        Reading("d", "flow", 1.5, NOW_US - 1_000_000, "l/s", "", 7, "", NOW_US)
    ]


def test_an_array_within_takes_what_stands_beside_it() -> None:
    fields = paths(readings="m", ts="$.t", ts_unit="s", device="id", sensor="k", value="v[0]", unit="v[1]")
    content = {
        "t": NOW_US // 1_000_000,
        "m": [{"id": 17, "k": "flow", "v": [1.5, "l/s"]}, {"id": 17, "k": "on", "v": [True, ""]}],
    }
    found = readings(fields, content, "up/17")
    assert [(one.device, one.sensor, one.value, one.unit, one.ts_us) for one in found] == [
        ("17", "flow", 1.5, "l/s", NOW_US),
        ("17", "on", True, "", NOW_US),
    ]


def test_every_member_is_a_reading() -> None:
    fields = paths(value="*", ts="at", seq="n")
    content = {"at": NOW_US / 1e6, "n": 3, "temp": 21.5, "state": "ON", "off": None, "more": {"x": 1}}
    assert [(one.sensor, one.value, one.seq) for one in readings(fields, content)] == [
        ("temp", 21.5, 3),
        ("state", "ON", 3),
        ("more/x", 1, 3),
    ]
    assert isinstance(decode(paths(value="$.s.*"), {"s": {}}), NothingInIt)
    assert "is no object" in reason(paths(value="s.*"), {"s": 5})


def test_an_array_is_many_readings_or_one_record() -> None:
    assert [one.value for one in readings(paths(value="v", sensor="=t"), [{"v": 1}, {"v": 2}])] == [1, 2]
    found = readings(paths(value="[1]", ts="[0]", sensor="=t"), [NOW_US // 1_000, 5])
    assert [(one.value, one.ts_us) for one in found] == [(5, NOW_US)]


@pytest.mark.parametrize(
    ("unit", "ts"),
    [
        ("s", NOW_US // 1_000_000), ("s", str(NOW_US // 1_000_000)), ("ms", NOW_US // 1_000), ("us", NOW_US),
        ("ns", NOW_US * 1_000), ("rfc3339", "2026-11-22T12:00:00Z"), ("utc", "2026-11-22T12:00:00"),
        ("utc", "2026-11-22 13:00:00+01:00"), ("auto", str(NOW_US // 1_000)),
    ],
)  # fmt: skip
def test_a_time_in_each_form(unit: Any, ts: Any) -> None:
    (one,) = readings(paths(ts_unit=unit, sensor="=t"), {"value": 1, "ts": ts})
    assert one.ts_us == NOW_US


@pytest.mark.parametrize(
    ("unit", "ts", "why"),
    [
        ("s", "yesterday", "is no number"), ("ms", True, "a truth value"), ("s", 1e300, "past anything"),
        ("s", 10**30, "past anything"), ("rfc3339", 5, "no text"), ("utc", "noon", "not ISO 8601"),
        ("rfc3339", "2026-11-22T12:00:00", "has no time zone"), ("s", NOW_US, "past anything"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_a_dead_letter(unit: Any, ts: Any, why: str) -> None:
    assert why in reason(paths(ts_unit=unit, sensor="=t"), {"value": 1, "ts": ts})


def test_what_the_paths_miss_is_said_in_their_words() -> None:
    fields = paths(value="data.v", sensor="=t")
    assert reason(fields, {"data": {"w": 1}}) == 'the payload has nothing at "data.v"'
    assert reason(fields, {"data": 5}) == 'the payload has nothing at "data.v"'
    assert reason(fields, {"data": {"v": [1]}}) == 'what stands at "data.v" is an array'
    assert 'nothing at "m.n"' in reason(paths(readings="m.n"), {"m": 1})
    assert "no name" in reason(paths(value="v", sensor="s"), {"v": 1, "s": 1.5})
    assert "names device" in reason(paths(sensor="=t"), {"value": 1, "device": "another"})
    assert "10,000 are allowed" in reason(paths(value="v"), [{"v": 1}] * 10_001)
    assert "more than 10,000" in reason(paths(value="*"), {str(n): n for n in range(10_001)})
    assert "nan" in reason(fields, b'{"data": {"v": NaN}}')


def test_cbor_and_bare_numbers() -> None:
    fields = paths(value="data.v", sensor="=t")
    assert readings(fields, b"\xa1\x64data\xa1\x61v\x05")[0].value == 5
    assert isinstance(decode(fields, b"21.5"), DeadLetter)  # nothing names its sensor
    assert decode(fields, b"  ") == []


@pytest.mark.parametrize(
    "text", ["a..b", ".a", "a.", "a[b]", "a[", "[0]a", "a b.[", "*", "a.*.b", "a['']", "$"]
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="a path such as"):
        parse_steps(text)


def test_the_configuration_names_the_key_and_what_is_allowed() -> None:
    assert load({"ingest.fields.value": "state.*"}, environ={}).settings.ingest.fields.value == "state.*"
    for key, value in (("value", ""), ("value", "=5"), ("ts", "a..b"), ("readings", "=x"), ("unit", "a.*")):
        with pytest.raises(ConfigError, match=f"ingest.fields.{key}.*a path such as"):
            load({f"ingest.fields.{key}": value}, environ={})
    with pytest.raises(ConfigError, match="ts_unit"):
        load({"ingest.fields.ts_unit": "days"}, environ={})


_NAMES = st.sampled_from(["a", "b", "ts", "value"])
_PATHS = st.sampled_from(["a", "a.b", "a[0]", "[0]", "$.a", "b[-1].a", "=x", "", "value"])
_CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(160), deadline=None)
@given(
    content=_CONTENT.map(lambda it: json.dumps(it).encode("utf-8", "surrogatepass")) | st.binary(max_size=60),
    value=st.sampled_from(["a", "a.b", "a.*", "*", "[0]", "$.*", "$.a[0].*"]),
    at=st.sampled_from(["", "a", "a[0].b"]),
    rest=st.fixed_dictionaries(dict.fromkeys(("ts", "device", "sensor", "unit", "seq", "boot"), _PATHS)),
    unit=st.sampled_from(["auto", "s", "ms", "us", "ns", "rfc3339", "utc"]),
)
def test_never_an_exception(content: bytes, value: str, at: str, rest: dict[str, str], unit: Any) -> None:
    reader = FieldReader(structs.replace(FieldPaths(), value=value, readings=at, ts_unit=unit, **rest))
    found = Decoder(TOPICS, reader).decode("up/d", content, NOW_US)
    if isinstance(found, DeadLetter):
        assert found.reason
        assert found.reason.isprintable()
    elif not isinstance(found, NothingInIt):
        decoded = found.readings if isinstance(found, PartlyDecoded) else found
        assert all(one.device and one.sensor for one in decoded)
