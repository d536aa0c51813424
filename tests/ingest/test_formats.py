"""CBOR, SenML and Sparkplug B: what each is read as, and that none ends in an exception."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.decode import cbor
from iotcache.decode.decoder import Decoder, decode_named
from iotcache.decode.outcomes import NothingInIt
from iotcache.decode.sparkplug import NotSparkplug, Origin, Sparkplug, parse_topic
from iotcache.decode.topics import Topics
from iotcache.model import DeadLetter, Reading
from tests.examples import examples

NOW_US = 1_795_348_800_000_000
TS_S = 1_795_348_790
DECODER = Decoder(Topics(["iot/{site}/{device}/{sensor}"]))


def readings(topic: str, payload: bytes, decoder: Decoder = DECODER) -> list[Reading]:
    found = decoder.decode(topic, payload, NOW_US)
    assert isinstance(found, list), found
    return found


def reason(topic: str, payload: bytes, decoder: Decoder = DECODER) -> str:
    found = decoder.decode(topic, payload, NOW_US)
    assert isinstance(found, DeadLetter), found
    return found.reason


def brief(found: list[Reading]) -> list[tuple[Any, ...]]:
    return [(one.device, one.sensor, one.value, one.unit, one.ts_us) for one in found]


# CBOR


def head(major: int, size: int) -> bytes:
    if size < 24:
        return bytes([major << 5 | size])
    for minor, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size < 1 << (8 * width):
            return bytes([major << 5 | minor]) + size.to_bytes(width, "big")
    raise ValueError(size)


def dumps(item: Any) -> bytes:
    """An encoder of the test's own, after RFC 8949."""
    if item is None or isinstance(item, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[item]
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, float):
        return b"\xfb" + struct.pack(">d", item)
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(dumps, item))
    return head(5, len(item)) + b"".join(dumps(key) + dumps(value) for key, value in item.items())


@pytest.mark.parametrize(
    ("hexed", "value"),
    [  # RFC 8949, appendix A
        ("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1b000000e8d4a51000", 10**12), ("20", -1),
        ("3903e7", -1000), ("c249010000000000000000", 2**64), ("c349010000000000000000", -(2**64) - 1),
        ("f93c00", 1.0), ("f93e00", 1.5), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1),
        ("f4", False), ("f5", True), ("f6", None), ("60", ""), ("6449455446", "IETF"), ("62c3bc", "ü"),
        ("4401020304", b"\1\2\3\4"), ("83010203", [1, 2, 3]), ("a201020304", {1: 2, 3: 4}),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("7f657374726561646d696e67ff", "streaming"),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}), ("c11a514b67b0", 1363896240),
        ("d9d9f7f5", True),
    ],
)  # fmt: skip
def test_examples_of_the_standard(hexed: str, value: Any) -> None:
    found = cbor.loads(bytes.fromhex(hexed))
    assert found == value
    assert type(found) is type(value)


def test_a_single_reads_as_the_decimal_it_stands_for() -> None:
    assert cbor.loads(b"\xfa" + struct.pack(">f", 21.3)) == 21.3


_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=examples(50), deadline=None)
@given(_ITEMS)
def test_what_was_encoded_is_decoded(item: Any) -> None:
    assert cbor.loads(dumps(item)) == item


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_cbor_or_refused(raw: bytes) -> None:
    with suppress(cbor.NotCbor):
        cbor.loads(raw)


def test_the_default_payload_in_cbor() -> None:
    one = {"device": "d", "sensor": "t", "value": 21.5, "unit": "C", "ts": TS_S, "seq": 4, "boot": "b"}
    assert readings("iot/s/d/t", dumps(one)) == [
        Reading("d", "t", 21.5, TS_S * 10**6, "C", "s", 4, "b", NOW_US)
    ]  # fmt: skip
    assert [one.value for one in readings("iot/s/d/t", dumps([one, one | {"value": 3}]))] == [21.5, 3]
    assert readings("iot/s/d/t", b"\xc1\xfb" + struct.pack(">d", 2.5))[0].value == 2.5
    assert readings("iot/s/d/t", dumps({"value": 1}))[0].ts_us == NOW_US


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (dumps({"value": float("nan")}), "nan, which is no measurement"),
        (dumps({"value": None}), '"value" is null, and must be'),
        (dumps({"value": b"\1"}), '"value" is binary data, and must be'),
        (dumps({"unit": "C"}), 'no "value"'),
        (dumps({"value": 1, "device": "x"}), "names device 'x'"),
        (b"\xa1\xa0\x01", "neither a text nor an integer"),
        (b"\x81" * 200, "nested too deeply"),
        (b"\x9b" + b"\xff" * 8, "ends too early"),
        (b"\xbf\xff\x00", "more bytes follow"),
        (b"\xbb" + b"\x7f" * 9, "ends too early"),
    ],
    ids=range(10),
)
def test_cbor_that_is_no_reading(payload: bytes, says: str) -> None:
    assert says in reason("iot/s/d/t", payload)


# SenML


def senml(*records: dict[str, Any]) -> bytes:
    return json.dumps(records).encode()


def test_base_fields_hold_for_the_records_after_them() -> None:
    # RFC 8428, section 5.1.3, with times of now.
    pack = senml(
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": TS_S, "bu": "A", "bver": 5, "n": "voltage", "u": "V",
         "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "t": -4, "v": 1.3, "x": "unknown labels are passed over"},
        {"bv": 20, "bu": "Cel", "n": "temp", "v": 1.5},
    )  # fmt: skip
    device = "10e2073a01080063"
    assert brief(readings(f"iot/s/{device}/senml", pack)) == [
        (device, "voltage", 120.1, "V", TS_S * 10**6),
        (device, "current", 1.2, "A", (TS_S - 5) * 10**6),
        (device, "current", 1.3, "A", (TS_S - 4) * 10**6),
        (device, "temp", 21.5, "°C", TS_S * 10**6),
    ]


def test_times_are_relative_when_small_and_now_when_missing() -> None:
    found = readings("iot/s/d/pack", senml({"n": "a", "v": 1}, {"n": "b", "v": 2, "t": -30}))
    assert [one.ts_us for one in found] == [NOW_US, NOW_US - 30_000_000]


def test_values_of_every_kind() -> None:
    found = readings("iot/s/d/pack", senml({"bn": "d/"}, {"n": "a", "vb": True}, {"n": "b", "vs": "open"}))
    assert [(one.sensor, one.value) for one in found] == [("a", True), ("b", "open")]


def test_seq_and_boot_together_number_a_record_and_one_alone_may_be_anything() -> None:
    pack = senml(
        {"bn": "d/", "n": "a", "v": 1, "seq": 7, "boot": "b1"}, {"n": "b", "v": 1, "seq": 7},
        {"n": "c", "v": 1, "seq": "7", "boot": "b1"}, {"n": "d", "v": 1, "seq": -1, "boot": "b1"},
        {"n": "e", "v": 1, "seq": 7, "boot": None},
    )  # fmt: skip
    found = readings("iot/s/d/pack", pack)
    assert [(one.seq, one.boot) for one in found] == [(7, "b1"), *[(None, "")] * 4]


def test_a_pack_on_the_topic_of_its_one_sensor() -> None:
    assert brief(readings("iot/s/d/t", senml({"bn": "d:", "n": "t", "v": 5, "bt": TS_S}))) == [
        ("d", "t", 5, "", TS_S * 10**6)
    ]


def names_of(topic: str, *records: dict[str, Any], decoder: Decoder = DECODER) -> list[tuple[str, str]]:
    return [(one.device, one.sensor) for one in readings(topic, senml(*records), decoder)]


def test_a_name_without_the_device_is_the_sensor_whole() -> None:
    # Paths of LwM2M resolve to one name, however base and own name share it; a gateway speaks for others.
    for record in ({"bn": "/3303/0/", "n": "5700", "v": 22.9}, {"n": "/3303/0/5700", "v": 22.9}):
        assert names_of("iot/s/dev1/senml", record) == [("dev1", "3303/0/5700")]
    assert names_of("iot/s/gw/senml", {"bn": "urn:dev:ow:10:", "n": "t", "v": 1}) == [
        ("gw", "urn:dev:ow:10:t")
    ]


def test_without_a_device_in_the_topic_the_name_holds_both() -> None:
    for record, device in (
        ({"bn": "2001:db8::1/", "n": "temp", "v": 1}, "2001:db8::1"),
        ({"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "v": 1}, "urn:dev:ow:10e2073a01080063"),
        ({"n": "urn:dev:ow:10e2073a01080063:temp", "v": 1}, "urn:dev:ow:10e2073a01080063"),
    ):
        (found,) = decode_named(senml(record), NOW_US)
        assert (found.device, found.sensor) == (device, "temp")


def test_a_name_without_a_sensor_takes_its_unit_for_one() -> None:
    # RFC 8428, section 5.1.1: a device of one sensor.
    record = {"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}
    (found,) = decode_named(senml(record), NOW_US)
    assert (found.device, found.sensor, found.unit) == ("urn:dev:ow:10e2073a01080063", "Cel", "°C")
    assert names_of("iot/s/10e2073a01080063/senml", record) == [("10e2073a01080063", "Cel")]
    assert names_of("iot/s/d/senml", {"bn": "d:", "v": 1}) == [("d", "value")]


def test_several_units_under_one_name_are_several_sensors() -> None:
    # RFC 8428, section 5.1.3, second example: position and humidity by one device, told apart by the unit.
    pack = senml(
        {"bn": "urn:dev:ow:10e2073a01080063", "bt": TS_S, "bu": "%RH", "v": 20},
        {"u": "lon", "v": 24.30621}, {"u": "lat", "v": 60.07965}, {"t": 60, "v": 20.3},
    )  # fmt: skip
    found = readings("iot/s/10e2073a01080063/where", pack)
    assert [(one.sensor, one.value) for one in found] == [
        ("where/%RH", 20), ("where/lon", 24.30621), ("where/lat", 60.07965), ("where/%RH", 20.3)
    ]  # fmt: skip


def test_records_that_are_no_readings_do_not_take_the_others_with_them() -> None:
    # RFC 8428, sections 5.1.5 and 4.2: binary data, and a sum without a value.
    pack = senml(
        {"bn": "d:", "n": "temp", "v": 23.1}, {"n": "nfc", "vd": "aGkgCg"}, {"n": "energy", "s": 1234.5},
        {"n": "open", "vb": False},
    )  # fmt: skip
    assert [(one.sensor, one.value) for one in readings("iot/s/d/senml", pack)] == [
        ("temp", 23.1), ("open", False)
    ]  # fmt: skip


def test_a_sensor_may_be_called_value() -> None:
    assert names_of("iot/s/d/senml", {"bn": "d:", "n": "value", "v": 1}) == [("d", "value")]


def test_decimal_fractions_in_cbor_are_numbers_and_bounded() -> None:
    pack = bytes.fromhex("81a3006474656d70016343656c02c4822018eb")
    (found,) = readings("iot/s/d/senml", pack)
    assert (found.sensor, found.value, found.unit) == ("temp", 23.5, "°C")
    huge = bytes.fromhex("81a200617402c4821a3b9aca0001")  # 1 x 10^1,000,000,000
    assert "exponent" in reason("iot/s/d/senml", huge)
    assert "array of two integers" in reason("iot/s/d/senml", bytes.fromhex("81a200617402c401"))


def test_labels_that_must_be_known_are_so_in_cbor_too() -> None:
    assert "'zone_'" in reason("iot/s/d/senml", dumps([{0: "t", 2: 1, "zone_": "x"}]))
    assert readings("iot/s/d/senml", dumps([{0: "t", 2: 1, "zone": "x_"}]))[0].value == 1


def test_senml_in_cbor_with_its_integer_labels() -> None:
    pack = dumps([{-2: "d:", -3: TS_S, 0: "t", 1: "Cel", 2: 21.5}, {0: "h", 1: "%RH", 2: 40}])
    assert brief(readings("iot/s/d/senml", pack)) == [
        ("d", "t", 21.5, "°C", TS_S * 10**6),
        ("d", "h", 40, "%RH", TS_S * 10**6),
    ]


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        (senml({"n": "a"}), "record no. 1 holds no value"),
        (senml({"n": "a", "vd": "YQ"}), "binary data"),
        (senml({"n": "a", "s": 5}), "only a sum"),
        (senml({"n": "a", "v": "5"}), '"v" of reading no. 1 is a text, and must be a number'),
        (senml({"n": "a", "v": 1, "bver": 11}), "version 11"),
        (senml({"n": "a", "v": 1, "zone_": "x"}), "'zone_'"),
        (senml({"bn": "d:", "n": "a", "bv": 10**400, "v": 0.5}), "a value that no number holds"),
        (senml({"bn": "d:", "n": "a", "bt": 10**400, "t": 0.5, "v": 1}), "a time that no number holds"),
        (senml({"n": "a", "v": 1, "t": 1e20}), "past anything"),
        (b'[{"n":"a","v":NaN}]', "NaN"),
    ],
    ids=range(10),
)
def test_packs_that_cannot_be_read(pack: bytes, says: str) -> None:
    assert says in reason("iot/s/d/senml", pack)


# Sparkplug B


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, byte = divmod(number, 128)
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def field(number: int, content: int | bytes | float, wire: int | None = None) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        fixed = struct.pack("<f" if wire == 5 else "<d", content)
        return varint(number << 3 | (5 if wire == 5 else 1)) + fixed
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(*metrics: bytes) -> bytes:
    return field(1, TS_S * 1_000) + b"".join(field(2, metric) for metric in metrics) + field(3, 0)


INT8, INT32, FLOAT, DOUBLE, BOOLEAN, STRING = 1, 3, 9, 10, 11, 12
BIRTH = message(
    field(1, b"bdSeq") + field(4, 8) + field(11, 3),
    field(1, b"Node Control/Rebirth") + field(4, BOOLEAN) + field(14, 0),
    field(1, b"temp") + field(2, 7) + field(4, FLOAT) + field(12, 21.3, 5),
    field(1, b"count") + field(2, 8) + field(4, INT32) + field(10, 0xFFFFFFFB),
    field(1, b"door") + field(2, 9) + field(4, BOOLEAN) + field(14, 1),
    field(1, b"mode") + field(2, 10) + field(4, STRING) + field(15, b"auto"),
    field(1, b"off") + field(2, 11) + field(4, DOUBLE) + field(7, 1),
)


def test_a_birth_and_the_data_after_it() -> None:
    decoder = Decoder(Topics(["iot/{site}/{device}/{sensor}"]))
    born = readings("spBv1.0/plant/DBIRTH/edge/pump-1", BIRTH, decoder)
    assert brief(born) == [
        ("plant/edge/pump-1", "temp", 21.3, "", TS_S * 10**6),
        ("plant/edge/pump-1", "count", -5, "", TS_S * 10**6),
        ("plant/edge/pump-1", "door", True, "", TS_S * 10**6),
        ("plant/edge/pump-1", "mode", "auto", "", TS_S * 10**6),
    ]
    assert {one.site for one in born} == {"plant"}
    later = message(
        field(2, 8) + field(3, TS_S * 1_000 + 5) + field(10, 0xFFFFFFFF), field(2, 11) + field(13, 2.5)
    )
    assert brief(readings("spBv1.0/plant/DDATA/edge/pump-1", later, decoder)) == [
        ("plant/edge/pump-1", "count", -1, "", TS_S * 10**6 + 5_000),
        ("plant/edge/pump-1", "off", 2.5, "", TS_S * 10**6),
    ]


def test_the_edge_node_itself_is_a_device() -> None:
    decoder = Decoder(Topics(["iot/{site}/{device}/{sensor}"]))
    assert readings("spBv1.0/plant/NBIRTH/edge", BIRTH, decoder)[0].device == "plant/edge"


def test_a_new_birth_of_the_node_forgets_old_aliases() -> None:
    decoder = Decoder(Topics(["iot/{site}/{device}/{sensor}"]))
    readings("spBv1.0/plant/NBIRTH/edge", BIRTH, decoder)
    readings("spBv1.0/plant/NBIRTH/edge", message(field(1, b"x") + field(2, 1) + field(10, 1)), decoder)
    assert "alias 7 has no name" in reason(
        "spBv1.0/plant/NDATA/edge", message(field(2, 7) + field(12, 1.0, 5)), decoder
    )


def test_deaths_commands_and_states_are_no_readings() -> None:
    for topic in ("spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/d", "spBv1.0/STATE/host"):
        assert readings(topic, b"\xff") == []
    for topic in ("spBv1.0/g/NDEATH/e", "spBv1.0/g/DDEATH/e/d"):
        assert readings(topic, message()) == []
        assert isinstance(DECODER.decode(topic, b"\xff", NOW_US), DeadLetter), "it may hide a death"


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        ("spBv1.0/g/NDATA/e", b"\x12\x05\x01", "ends too early"),
        ("spBv1.0/g/NDATA/e", b"\x80" * 11, "more than ten bytes"),
        ("spBv1.0/g/NDATA/e", b"\x0b", "wire type 3"),
        ("spBv1.0/g/NDATA/e", message(field(1, b"\xff") + field(10, 1)), "UTF-8"),
        ("spBv1.0/g/NDATA/e", message(field(1, b"x") + field(13, float("inf"))), "inf"),
        ("spBv1.0/g/NDATA/e", message(field(1, b"x") + field(4, 24) + field(16, b"\1")), "in pieces of 4"),
        (
            "spBv1.0/g/NDATA/e",
            message(field(1, b"x") + field(4, 32) + field(16, b"\x09\0\0\0\1")),
            "too early",
        ),
        ("spBv1.0/g/NDATA/e", message(field(1, b"x") + field(4, 33) + field(16, b"abc")), "too early"),
        ("spBv1.0/g/NDATA/e", message(field(1, b"x") + field(16, b"abc")), "what its bytes are"),
        ("spBv1.0/g/SOMETHING/e", b"", "the topic is not"),
        ("spBv1.0/g/NDATA", b"", "the topic is not"),
    ],
)
def test_sparkplug_that_cannot_be_read(topic: str, payload: bytes, says: str) -> None:
    assert says in reason(topic, payload)


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=120), st.sampled_from(["NBIRTH", "DDATA"]))
def test_any_bytes_are_sparkplug_or_refused(raw: bytes, kind: str) -> None:
    with suppress(NotSparkplug):
        Sparkplug().read(Origin("g", kind, "e", "d"), raw)


def test_topics_of_sparkplug() -> None:
    assert parse_topic("spBv1.0/g/DDATA/e/d") == Origin("g", "DDATA", "e", "d")


@settings(max_examples=examples(100), deadline=None)
@given(
    st.sampled_from(["iot/s/d/t", "iot/s/d/senml", "spBv1.0/g/DDATA/e/d"]),
    st.binary(max_size=60)
    | _ITEMS.map(dumps)
    | st.lists(
        st.dictionaries(
            st.sampled_from(["bn", "bt", "bu", "bv", "n", "u", "v", "vs", "vb", "vd", "s", "t", "bver"]),
            st.none() | st.integers() | st.floats() | st.text(max_size=8) | st.booleans(),
        ),
        max_size=4,
    ).map(lambda pack: json.dumps(pack).encode()),
)
def test_never_an_exception(topic: str, payload: bytes) -> None:
    found = DECODER.decode(topic, payload, NOW_US)
    assert isinstance(found, list | DeadLetter | NothingInIt)
