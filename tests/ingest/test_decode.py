"""Every payload ends as readings or as a dead letter that says what to mend; never as an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iotcache.decode.decoder import Decoder, decode_named
from iotcache.decode.incoming import AHEAD_LIMIT_US, epoch_us
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded, Refused, dead_letter
from iotcache.decode.topics import Topics
from iotcache.model import DeadLetter, Reading
from tests.examples import examples

NOW_US = 1_795_348_800_000_000
"""2026-11-22T12:00:00Z."""
TOPIC = "iot/plant-north/dev-1/temperature"
DECODER = Decoder(Topics(["iot/{site}/{device}/{sensor}"]))


def read(payload: bytes | dict[str, Any] | list[Any], topic: str = TOPIC) -> Reading:
    found = readings(payload, topic)
    assert len(found) == 1
    return found[0]


def readings(payload: bytes | dict[str, Any] | list[Any], topic: str = TOPIC) -> list[Reading]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = DECODER.decode(topic, raw, NOW_US)
    assert isinstance(found, list), found
    return found


def reason(payload: bytes | dict[str, Any] | list[Any], topic: str = TOPIC) -> str:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = DECODER.decode(topic, raw, NOW_US)
    assert isinstance(found, DeadLetter), found
    assert (found.topic, found.payload, found.received_us) == (topic, raw, NOW_US)
    assert found.reason.isprintable()
    return found.reason


def test_the_whole_default_payload() -> None:
    assert read(
        {"device": "dev-1", "sensor": "temperature", "value": 21.5, "unit": "°C",
         "ts": "2026-11-22T11:59:58.250Z", "seq": 7, "boot": "a1"}
    ) == Reading(
        "dev-1", "temperature", 21.5, NOW_US - 1_750_000, "°C", "plant-north", 7, "a1", NOW_US
    )  # fmt: skip


def test_what_the_payload_leaves_out_the_topic_and_the_receipt_say() -> None:
    assert read({"value": 1}) == Reading(
        "dev-1", "temperature", 1, NOW_US, site="plant-north", received_us=NOW_US
    )


def test_fields_of_no_concern_are_ignored() -> None:
    assert read({"value": 1, "battery": {"v": 3.1}, "tags": [1, None]}).value == 1


@pytest.mark.parametrize("value", [0, -3, 2.5, True, False, "open", ""])
def test_a_value_keeps_its_type(value: Any) -> None:
    found = read({"value": value}).value
    assert found == value
    assert type(found) is type(value)


def test_an_integer_past_64_bits_becomes_a_float() -> None:
    found = read(b'{"value": 123456789012345678901234567890}').value
    assert type(found) is float
    assert found == pytest.approx(1.2345678901234568e29)


@pytest.mark.parametrize(
    ("ts", "us"),
    [
        ("2026-11-22T12:00:00Z", NOW_US),
        ("2026-11-22T13:00:00+01:00", NOW_US),
        ("2026-11-22t12:00:00.123456789z", NOW_US + 123_457),
        (NOW_US // 1_000_000, NOW_US),
        (NOW_US / 1_000_000 + 0.25, NOW_US + 250_000),
        (NOW_US // 1_000, NOW_US),
        (NOW_US + 7, NOW_US + 7),
        (NOW_US * 1_000 + 7_999, NOW_US + 7),
        (None, NOW_US),
    ],
)
def test_every_form_of_time(ts: Any, us: int) -> None:
    assert read({"value": 1, "ts": ts}).ts_us == us


def test_the_unit_of_a_number_holds_over_the_years() -> None:
    for year in (2000, 2026, 2100, 2500):
        s = int(datetime(year, 3, 1, tzinfo=UTC).timestamp())
        assert {epoch_us(s, 0), epoch_us(s * 10**3, 0), epoch_us(s * 10**6, 0), epoch_us(s * 10**9, 0)} == {
            s * 10**6
        }


def test_an_array_is_taken_whole() -> None:
    found = readings([{"value": n, "ts": NOW_US + n} for n in range(3)])
    assert [(one.value, one.ts_us) for one in found] == [(n, NOW_US + n) for n in range(3)]
    assert '"value" of reading no. 2 is null' in reason([{"value": 1}, {"value": None}])
    assert isinstance(DECODER.decode(TOPIC, b"[]", NOW_US), NothingInIt)


def test_readings_without_a_time_in_one_array_stay_apart() -> None:
    assert [one.ts_us for one in readings([{"value": 1}, {"value": 1}])] == [NOW_US, NOW_US + 1]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b" -3\n", -3),
        (b"+.5", 0.5),
        (b"1e3", 1000.0),
        (b"true", True),
        (b'\t{"value":1}', 1),
    ],
)
def test_bare_numbers_and_white_space(payload: bytes, value: float) -> None:
    found = read(payload)
    assert (found.value, type(found.value), found.ts_us) == (value, type(value), NOW_US)


def test_an_empty_payload_is_nothing() -> None:
    assert readings(b"") == []
    assert readings(b" \r\n") == []


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b'{"value": NaN}', "NaN"),
        (b'{"value": -Infinity}', "Infinity"),
        (b"nan", "neither JSON nor a number"),
        (b'{"value": 1e999}', "out of range"),
        (b"1e999", "inf"),
        (b'{"value": ' + b"9" * 1000 + b"}", "value"),
        (b'{"value": null}', '"value" is null, and must be a number'),
        (b'{"value": [1]}', '"value" is an array'),
        (b'{"value": "' + b"x" * 2000 + b'"}', '"value" is longer than 1,024 characters'),
        (b'{"unit": "C"}', 'no "value"'),
        (b'{"value": 1', "not JSON: it ends too early"),
        (b'{"value": {}}', '"value" is an object, and must be a number, a truth value or a text'),
        (b'{"value": 1} trailing', "not JSON: something follows its end"),
        (b"{'value': 1}", "double quotes (\"value\"), at byte 1: 'value': 1}"),
        (b'{"value": TRUE}', "not JSON: invalid character, at byte 10: TRUE}"),
        (b'{"value": 1, "unit": 5}', '"unit" is a number, and must be a text'),
        (b'[{"value": 1}, {"valu": 2}]', 'reading no. 2 has no "value"'),
        (b'[{"value": 1}, {"value": 2, "boot": true}]', '"boot" of reading no. 2 is a truth value, and must'),
        (b"[1, 2]", 'reading no. 1 is a number, and must be an object with a "value"'),
        (
            b"[" + b'{"value":1},' * 10_000 + b'{"value":1}]',
            "more than 10,000 readings: send them in several",
        ),
        (b'{"value": "\xff"}', "UTF-8"),
        (b"\xff\xfe\x00", "neither text nor CBOR"),
        (b'{"value": "a\\u0000b"}', "NUL"),
        (b'{"value": 1, "unit": "\\u0000"}', "NUL"),
        (b'{"value": 1, "unit": "' + b"x" * 65 + b'"}', '"unit" is longer than 64 characters'),
        (b'{"value": 1, "boot": "' + b"x" * 65 + b'"}', '"boot" is longer than 64 characters'),
        (b'{"value": 1, "device": "' + b"x" * 257 + b'"}', '"device" is longer than 256 characters'),
        (b"\xa1\x65value\xf9\x7e\x00", "nan, which is no measurement"),
        (b"\xa1\x65value\xfb\xff\xf0\0\0\0\0\0\0", "-inf, which is no measurement"),
        (b'{"value": 1, "x": ' + b"[" * 100_000, "nested too deeply"),
        (b"21,5", "neither JSON nor a number"),
        (b'"21.5"', "neither JSON nor a number"),
        (b'{"value": 1, "ts": "yesterday"}', '"ts" is not an RFC 3339 text with a time zone'),
        (b'{"value": 1, "ts": "2026-11-22T12:00:00"}', '"ts" has no time zone: end it with Z'),
        (b'{"value": 1, "ts": true}', '"ts" is not an RFC 3339 text'),
        (b'{"value": 1, "ts": 1e300}', "past anything"),
        (b'{"value": 1, "ts": 0}', "1970-01-01T00:00:00Z: a device clock that was never set"),
        (b'{"value": 1, "ts": -5e15}', "never set"),
        (b'{"value": 1, "ts": "0001-01-01T00:00:00+12:00"}', "never set"),
        (b'{"value": 1, "ts": "2027-11-22T12:00:00Z"}', "365.0 days after"),
        (b'{"value": 1, "seq": -1}', '"seq" is below zero'),
        (b'{"value": 1, "seq": 9223372036854775808}', '"seq" is above 9,223,372,036,854,775,807'),
        (b'{"value": 1, "seq": 1.5}', '"seq" is not a whole number'),
        (b'{"value": 1, "device": ""}', '"device" is empty'),
        (b'{"value": 1, "device": "dev-2"}', "the payload names device 'dev-2', its topic 'dev-1'"),
        (b'{"value": 1, "sensor": "humidity"}', "sensor 'humidity'"),
        (b'{"value": 1, "site": "office"}', "site 'office'"),
        (b'{"value": 1, "device": "\\u001b[2J"}', "device '\\x1b[2J'"),
        (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    ],
    ids=lambda part: repr(part)[:40] if isinstance(part, bytes) else "",
)
def test_a_mistake_is_a_dead_letter_that_names_it(payload: bytes, says: str) -> None:
    found = reason(payload)
    assert says in found
    assert "`" not in found  # as the decoder's library quotes types and paths


def test_a_clock_a_little_ahead_is_believed() -> None:
    ts = NOW_US + AHEAD_LIMIT_US
    assert read({"value": 1, "ts": ts}).ts_us == ts
    assert "days after" in reason({"value": 1, "ts": ts + 1})


def test_a_payload_over_the_limit_keeps_its_head_only() -> None:
    found = DECODER.decode(TOPIC, b" " * 2_000_000, NOW_US)
    assert isinstance(found, DeadLetter)
    assert "2,000,000 bytes; 1,048,576 are allowed" in found.reason
    assert (len(found.payload), found.truncated) == (65_536, True)
    cut = DECODER.decode(TOPIC, b"1", NOW_US, size=5_000_000)
    assert isinstance(cut, DeadLetter)
    assert "5,000,000 bytes" in cut.reason
    assert cut.truncated
    whole = DECODER.decode(TOPIC, b"no number", NOW_US)
    assert isinstance(whole, DeadLetter)
    assert not whole.truncated


def test_a_dead_letter_holds_nothing_that_a_store_cannot() -> None:
    letter = dead_letter("a\0b", b"x\0", "because\0\x1b", 1)
    assert letter == DeadLetter("a\\0b", b"x\0", "because\\x00\\x1b", 1)


def test_hostile_names_pass_as_they_are() -> None:
    name = "a b\r\nset x 0 0 1\r\n\x1b[2J🌡"
    found = DECODER.decode(f"iot/s/{name}/t", b"1", NOW_US)
    assert isinstance(found, list)
    assert found[0].device == name


def test_without_a_topic_the_payload_must_name_its_series() -> None:
    one = decode_named(b'{"device": "d", "sensor": "s", "value": 1}', NOW_US)
    assert one == [Reading("d", "s", 1, NOW_US, received_us=NOW_US)]
    with pytest.raises(Refused, match="names a sensor"):
        decode_named(b'[{"device": "d", "value": 1}]', NOW_US)
    with pytest.raises(Refused, match="is empty"):
        decode_named(b"", NOW_US)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["value", "ts", "device", "sensor", "unit", "seq", "boot", "site", "x"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
_PAYLOADS = (
    st.binary(max_size=200)
    | _JSON.map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    | st.text('0123456789+-.eENaInf{}[]":, ', max_size=40).map(str.encode)
)
_TOPICS = st.text(max_size=60) | st.text(max_size=300).map(lambda name: f"iot/s/{name}/t")


@settings(max_examples=examples(200), deadline=None)
@given(_TOPICS, _PAYLOADS)
@example("iot/s/0/t", rb'{"device":"\u00a0","value":false}')
def test_never_an_exception(topic: str, payload: bytes) -> None:
    found = DECODER.decode(topic, payload, NOW_US)
    if isinstance(found, DeadLetter):
        assert found.reason
        assert found.reason.isprintable()
        assert found.payload == payload
    elif not isinstance(found, NothingInIt):
        for one in found.readings if isinstance(found, PartlyDecoded) else found:
            assert one.device
            assert one.sensor
            assert "\0" not in one.device + one.sensor + one.unit + one.boot + str(one.value)
            assert 0 < one.ts_us <= NOW_US + AHEAD_LIMIT_US
