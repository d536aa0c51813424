"""Sparkplug B as a host application reads it: types, names, compression, templates, and what it may keep."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from iotcache.clock import ManualClock
from iotcache.decode.decoder import Decoder
from iotcache.decode.outcomes import PartlyDecoded
from iotcache.decode.sparkplug import NotSparkplug, Sparkplug, parse_topic
from iotcache.decode.sparkplug.births import Births
from iotcache.decode.sparkplug.reader import BirthWanted, Born, PassedOver
from iotcache.decode.topics import Topics
from iotcache.ingest.rebirth import EVERY_S, PER_S, RebirthRequests
from iotcache.ingest.sparkplug_host import (
    STALL_S,
    STALLED_S,
    STALLED_UNACKNOWLEDGED,
    WAIT_S,
    SparkplugHost,
)
from iotcache.model import DeadLetter, Message, Reading
from tests.ingest.test_formats import NOW_US, field, message

INT32, UINT32, DOUBLE, STRING, TEMPLATE = 3, 7, 10, 12, 19


def decoder(**options: object) -> Decoder:
    return Decoder(Topics(["spBv1.0/#"]), **options)  # type: ignore[arg-type]


def named(name: str, kind: int, value: bytes, alias: int | None = None) -> bytes:
    return field(1, name.encode()) + (b"" if alias is None else field(2, alias)) + field(4, kind) + value


def untyped(name: str, value: bytes) -> bytes:
    return field(1, name.encode()) + value


def read(reader: Decoder, topic: str, payload: bytes) -> list[Reading]:
    found = reader.decode(topic, payload, NOW_US)
    assert isinstance(found, list), found
    return found


@pytest.mark.parametrize("alias", [None, 7])
def test_a_birth_fixes_the_type_of_data_by_name(alias: int | None) -> None:
    reader = decoder()
    birth = message(named("temp", INT32, field(10, 5), alias), named("count", UINT32, field(10, 5)))
    read(reader, "spBv1.0/G/DBIRTH/E/dev1", birth)
    data = message(untyped("temp", field(10, 4_294_967_284)), untyped("count", field(10, 4_294_967_284)))
    found = read(reader, "spBv1.0/G/DDATA/E/dev1", data)
    assert [(one.sensor, one.value) for one in found] == [("temp", -12), ("count", 4_294_967_284)]


def test_a_number_that_may_be_negative_is_not_guessed_without_its_birth() -> None:
    asked: list[tuple[str, str]] = []
    reader = decoder(on_sparkplug=lambda event: asked.append((event.group, event.node)))
    data = message(untyped("temp", field(10, 4_294_967_284)), untyped("level", field(10, 5)))
    found = reader.decode("spBv1.0/G/DDATA/E/dev1", data, NOW_US)
    assert isinstance(found, PartlyDecoded)
    assert [(one.sensor, one.value) for one in found.readings] == [("level", 5)]
    assert 'the type of the metric "temp" is not known' in found.dead_letter.reason
    assert asked == [("G", "E")]


def test_types_are_of_one_device_of_one_edge_node() -> None:
    reader = decoder()
    read(reader, "spBv1.0/G/DBIRTH/E1/d", message(named("x", INT32, field(10, 1))))
    read(reader, "spBv1.0/G/DBIRTH/E2/d", message(named("x", UINT32, field(10, 1))))
    data = message(untyped("x", field(10, 4_294_967_295)))
    assert read(reader, "spBv1.0/G/DDATA/E1/d", data)[0].value == -1
    assert read(reader, "spBv1.0/G/DDATA/E2/d", data)[0].value == 4_294_967_295


@pytest.mark.parametrize(
    ("naming", "names"),
    [
        ("group/node/device", ["G1/E1/pump1", "G1/E2/pump1", "G2/E1/pump1", "G1/E1"]),
        ("node/device", ["E1/pump1", "E2/pump1", "E1/pump1", "E1"]),
        ("device", ["pump1", "pump1", "pump1", "E1"]),
    ],
)
def test_a_device_is_named_by_the_levels_that_the_setting_says(naming: str, names: list[str]) -> None:
    reader = decoder(sparkplug_device=naming)
    topics = ["G1/DBIRTH/E1/pump1", "G1/DBIRTH/E2/pump1", "G2/DBIRTH/E1/pump1", "G1/NBIRTH/E1"]
    birth = message(named("temp", DOUBLE, field(13, 10.0)))
    assert [read(reader, f"spBv1.0/{topic}", birth)[0].device for topic in topics] == names


def compressed(body: bytes, algorithm: str) -> bytes:
    named_so = message(named("algorithm", STRING, field(15, algorithm.encode())))
    return named_so + field(4, b"SPBV1.0_COMPRESSED") + field(5, body)


INNER = message(named("temp", DOUBLE, field(13, 21.5)))


@pytest.mark.parametrize(
    ("algorithm", "body"),
    [("GZIP", gzip.compress(INNER, mtime=0)), ("DEFLATE", zlib.compress(INNER))],
    ids=["GZIP", "DEFLATE"],
)
def test_compressed_payloads_are_read(algorithm: str, body: bytes) -> None:
    (found,) = read(decoder(), "spBv1.0/G/DBIRTH/E/d", compressed(body, algorithm))
    assert (found.sensor, found.value) == ("temp", 21.5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(bytes(5_000_000)), "more than 1,048,576 bytes"),
        (b"no such thing", "cannot be read"),
        (zlib.compress(INNER)[:-5], "ends too early"),
        (zlib.compress(compressed(zlib.compress(INNER), "DEFLATE")), "compressed twice"),
    ],
    ids=range(4),
)
def test_a_compressed_body_is_bounded_and_must_be_whole(body: bytes, says: str) -> None:
    found = decoder().decode("spBv1.0/G/DBIRTH/E/d", compressed(body, "GZIP"), NOW_US)
    assert isinstance(found, DeadLetter)
    assert says in found.reason


def template(*members: bytes, definition: bool = False) -> bytes:
    return b"".join(field(2, member) for member in members) + field(5, int(definition))


def test_members_of_a_template_are_sensors_below_its_name() -> None:
    motor = template(
        named("temp", INT32, field(10, 7)),
        named("drive", TEMPLATE, field(18, template(named("rpm", INT32, field(10, 900))))),
    )
    definition = template(named("temp", INT32, b""), definition=True)
    reader = decoder()
    birth = message(
        named("_types_/Motor", TEMPLATE, field(18, definition)), named("Motor1", TEMPLATE, field(18, motor))
    )
    found = read(reader, "spBv1.0/G/DBIRTH/E/d", birth)
    assert [(one.sensor, one.value) for one in found] == [("Motor1/temp", 7), ("Motor1/drive/rpm", 900)]
    later = template(untyped("temp", field(10, 4_294_967_295)))
    data = message(untyped("Motor1", field(18, later)))
    assert read(reader, "spBv1.0/G/DDATA/E/d", data)[0].value == -1


def test_templates_are_nested_so_deep_and_no_deeper() -> None:
    inner = named("x", INT32, field(10, 1))
    for _ in range(200):
        inner = named("t", TEMPLATE, field(18, template(inner)))
    with pytest.raises(NotSparkplug, match="nested too deeply"):
        Sparkplug().read(parse_topic("spBv1.0/G/DBIRTH/E/d"), message(inner))


def test_one_bad_metric_does_not_take_the_good_ones_with_it() -> None:
    bad = {
        "nan": named("a", DOUBLE, field(13, float("nan"))),
        "text": named("a", STRING, field(15, b"y" * 900_000)),
        "name": named("n" * 257, DOUBLE, field(13, 1.0)),
        "time": field(1, b"a") + field(3, 0) + field(4, DOUBLE) + field(13, 1.0),
        "alias": field(2, 99) + field(13, 1.0),
    }
    for metric in bad.values():
        data = message(metric, named("null", DOUBLE, field(7, 1)), named("good", DOUBLE, field(13, 2.5)))
        found = decoder().decode("spBv1.0/G/DDATA/E/d", data, NOW_US)
        assert isinstance(found, PartlyDecoded)
        assert [(one.sensor, one.value) for one in found.readings] == [("good", 2.5)]
        assert found.dead_letter.payload == data


def quality(code: int) -> bytes:
    return field(9, field(1, b"Quality") + field(2, field(1, INT32) + field(3, code)))


@pytest.mark.parametrize(("code", "is_good"), [(192, True), (216, True), (0, False), (500, False)])
def test_values_that_their_sender_calls_bad_or_stale_are_passed_over(code: int, is_good: bool) -> None:
    seen: list[object] = []
    reader = decoder(on_sparkplug=seen.append)
    motor = template(named("rpm", INT32, field(10, 900)))
    marks = (
        named("a", DOUBLE, quality(code) + field(13, 1.5)), named("b", DOUBLE, field(13, 2.5)),
        named("M", TEMPLATE, quality(code) + field(18, motor)),
    )  # fmt: skip
    for kind in ("DBIRTH", "DDATA"):
        found = read(reader, f"spBv1.0/G/{kind}/E/d", message(*marks))
        assert [one.sensor for one in found] == (["a", "b", "M/rpm"] if is_good else ["b"])
    told = [event.metric for event in seen if isinstance(event, PassedOver) and event.kind == "bad or stale"]
    assert told == ([] if is_good else ["a", "M/rpm"] * 2)


def test_devices_that_number_their_metrics_alike_are_told_apart() -> None:
    reader = decoder()
    for device, name in (("d1", "temp"), ("d2", "level")):
        birth = message(named(name, INT32, field(2, 0) + field(10, 5)))
        read(reader, f"spBv1.0/G/DBIRTH/E/{device}", birth)
    for device, name in (("d1", "temp"), ("d2", "level")):
        (found,) = read(
            reader, f"spBv1.0/G/DDATA/E/{device}", message(field(2, 0) + field(10, 4_294_967_295))
        )
        assert (found.device, found.sensor, found.value) == (f"G/E/{device}", name, -1)
    read(reader, "spBv1.0/G/DBIRTH/E/d1", message(named("hum", INT32, field(2, 1) + field(10, 5))))
    unread = reader.decode("spBv1.0/G/DDATA/E/d1", message(field(2, 0) + field(10, 7)), NOW_US)
    assert isinstance(unread, DeadLetter), "an alias that the new birth leaves out stands for nothing"


def test_an_alias_that_a_birth_gives_to_two_metrics_is_neithers() -> None:
    """Who writes 0 for an alias that is not used, and the name with the data, is read all the same."""
    reader = decoder()
    birth = message(*(named(name, INT32, field(2, 0) + field(10, 5)) for name in ("a", "b")))
    assert len(read(reader, "spBv1.0/G/DBIRTH/E/d", birth)) == 2
    unread = reader.decode("spBv1.0/G/DDATA/E/d", message(field(2, 0) + field(10, 7)), NOW_US)
    assert isinstance(unread, DeadLetter)
    assert "the alias 0 stands for two metrics" in unread.reason
    (found,) = read(
        reader, "spBv1.0/G/DDATA/E/d", message(field(1, b"a") + field(2, 0) + field(10, 4_294_967_295))
    )
    assert (found.sensor, found.value) == ("a", -1)


def test_metrics_that_are_no_measurement_are_told_of_and_passed_over() -> None:
    metrics = (named("doc", 17, field(16, b"\1\2")), named("good", DOUBLE, field(13, 2.5)))
    seen: list[object] = []
    reader = decoder(on_sparkplug=seen.append)
    assert len(read(reader, "spBv1.0/G/DBIRTH/E/d", message(*metrics))) == 1
    assert len(read(reader, "spBv1.0/G/DDATA/E/d", message(*metrics))) == 1
    told = [event for event in seen if isinstance(event, PassedOver)]
    assert told == [PassedOver("bytes", "G/E/d", "doc")] * 2


@pytest.mark.parametrize("level", range(3))
def test_names_in_topics_are_bounded(level: int) -> None:
    names = ["g", "e", "d"]
    names[level] = "x" * 257
    topic = f"spBv1.0/{names[0]}/DDATA/{names[1]}/{names[2]}"
    assert isinstance(decoder().decode(topic, INNER, NOW_US), DeadLetter)


# What a stranger can make us keep


def birth_of(count: int, size: int) -> bytes:
    return message(*(named(f"{n:0{size}d}", INT32, field(10, 1), alias=n) for n in range(count)))


def test_births_take_a_bounded_memory_and_the_last_heard_are_kept() -> None:
    limit = 600_000
    births = Births(limit)
    host = Sparkplug(births)
    payload = birth_of(200, 60)
    host.read(parse_topic("spBv1.0/g/NBIRTH/often"), payload)
    data = message(field(2, 7) + field(10, 5))
    tracemalloc.start()
    for n in range(60):
        host.read(parse_topic(f"spBv1.0/g/NBIRTH/e{n}"), payload)
        assert not host.read(parse_topic("spBv1.0/g/NDATA/often"), data).rebirth
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used <= limit
    assert births.bytes <= limit
    assert 1 < len(births) < 30
    assert host.read(parse_topic("spBv1.0/g/NDATA/e0"), data).rebirth


def test_rebirths_of_the_same_devices_take_no_more_memory() -> None:
    births = Births()
    host = Sparkplug(births)
    for n in range(3):
        host.read(parse_topic("spBv1.0/g/NBIRTH/e"), birth_of(50, 10))
        for _ in range(5):
            host.read(parse_topic("spBv1.0/g/DBIRTH/e/d"), birth_of(50, 10))
        if not n:
            once = births.bytes
    assert births.bytes == once
    births.forget("g", "e")
    assert births.bytes == 0


def test_data_of_edge_nodes_never_born_is_not_remembered() -> None:
    births = Births()
    host = Sparkplug(births)
    for n in range(1_000):
        host.read(parse_topic(f"spBv1.0/g/DDATA/e{n}/d"), INNER)
    assert (len(births), births.bytes) == (0, 0)


def test_a_birth_that_breaks_off_is_counted_as_far_as_it_was_learnt() -> None:
    births = Births()
    host = Sparkplug(births)
    host.read(parse_topic("spBv1.0/g/NBIRTH/e"), INNER)
    with pytest.raises(NotSparkplug):
        host.read(parse_topic("spBv1.0/g/DBIRTH/e/d"), INNER + field(2, field(1, b"\xff")))
    births.forget("g", "e")
    assert births.bytes == 0


def test_a_rebirth_is_asked_for_at_a_bounded_rate() -> None:
    clock = ManualClock()
    requests = RebirthRequests(clock)
    clock.advance(100)
    requests.want("g", "e")
    ((topic, payload),) = requests.take()
    assert topic == "spBv1.0/g/NCMD/e"
    command = Sparkplug().read(parse_topic("spBv1.0/g/NBIRTH/other"), payload)
    assert command.metrics == []  # Node Control/Rebirth is a command, and no measurement
    assert b"\x0a\x14Node Control/Rebirth\x20\x0b\x70\x01" in payload
    requests.want("g", "e")
    assert requests.take() == []
    clock.advance(EVERY_S)
    requests.want("g", "e")
    assert len(requests.take()) == 1
    clock.advance(1)
    for n in range(1_000):
        requests.want("g", f"e{n}")
    assert len(requests.take()) == PER_S


def test_what_waits_for_births_unacknowledged_is_few_only_where_it_may_hold_them_back() -> None:
    clock = ManualClock()
    host = SparkplugHost(clock, asks=True, reorder_s=1.0)

    def takes_back(count: int, qos: int = 1) -> int:
        taken = 0
        for n in range(count):
            host.note(BirthWanted("G", "E", is_waiting=True))
            content = Message("spBv1.0/G/DDATA/E/d", b"x", qos, False, n + 1, 1, n + 1, 1)
            taken += host.takes_back(content, is_last_try=False)
        return taken

    def look(received: int) -> tuple[int, int]:
        host._look_for_stall(received)
        ready, late = host._release()
        return len(ready), len(late)

    assert takes_back(20) == 20, "a broker's window: births of QoS 0 come all the same"
    assert look(20) == (0, 0)
    host.note(Born("G", "E", ""))
    assert look(21) == (20, 0)
    assert takes_back(20) == 20
    assert look(41) == (0, 0)
    clock.advance(STALL_S)
    assert look(41) == (0, 20 - STALLED_UNACKNOWLEDGED), "births of QoS 1 may be behind them"
    assert takes_back(20) == 0
    assert takes_back(20, qos=0) == 20
    clock.advance(WAIT_S)
    assert look(81) == (0, STALLED_UNACKNOWLEDGED + 20)
    clock.advance(STALLED_S)
    assert takes_back(20) == 20


def test_the_command_is_what_the_reference_schema_reads() -> None:
    from leaf_device.proto import sparkplug_b_pb2 as reference

    clock = ManualClock()
    requests = RebirthRequests(clock)
    requests.want("g", "e")
    ((_, payload),) = requests.take()
    found = reference.Payload.FromString(payload)
    (metric,) = found.metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", 11, True)
    assert found.timestamp == round(clock.now() * 1e3)
