"""Sparkplug B from the host's side: the reference schema reads it; its numbers are what the standard asks.

The schema is Eclipse Tahu's ``sparkplug_b.proto`` (package ``org.eclipse.tahu.protobuf``) as protoc compiled
it, from another project's wheel; protobuf's own runtime decodes by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from leaf_device.proto import sparkplug_b_pb2 as reference

from iotcache.clock import ManualClock
from iotcache.config.schema import BrokerSettings
from iotcache.decode.sparkplug import Sparkplug, parse_topic
from iotcache.ingest.rebirth import RebirthRequests
from iotcache.mqtt import Message, MqttLink
from iotcache_simulator.fleet.classes import load_classes
from iotcache_simulator.fleet.formats import sparkplug as written
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.wire.target import target_of
from iotcache_simulator.wire.uplink import REBIRTH_S
from tests.conftest import Server

pytestmark = pytest.mark.real("mosquitto")

_VALUE = {"Int64": "long_value", "UInt64": "long_value", "Double": "double_value", "Boolean": "boolean_value",
          "String": "string_value"}  # fmt: skip
"""Where the standard (6.4.16) puts the value of a metric of each datatype."""


def read(message: Message) -> Any:
    """The payload by Eclipse Tahu's schema; nothing in it may be unknown to that."""
    found = reference.Payload.FromString(message.payload)
    for part in (found, *found.metrics):
        assert len(UnknownFieldSet(part)) == 0, "a field that the schema does not know"
    for metric in found.metrics:
        assert metric.WhichOneof("value") == _VALUE[reference.DataType.Name(metric.datatype)]
    return found


async def received(
    broker: Server, spec: FleetSpec, during: Callable[[FleetRun], Any] | None = None
) -> tuple[Report, dict[str, list[Message]]]:
    """The run's report and what a host heard of each edge node, in order."""
    settings = BrokerSettings(url=f"mqtt://{broker.address}")
    fleet = FleetRun(spec, target_of(settings))
    messages: list[Message] = []
    async with (
        MqttLink.from_settings(settings, "host", subscriptions=(("spBv1.0/#", 1),)) as link,
        asyncio.timeout(20),
    ):
        await link.until_connected()
        running = asyncio.create_task(fleet.run())
        if during is not None:
            await during(fleet)
        outcome = await running
        ends = len(fleet.partition.uplinks)
        while sum("/NDEATH/" in one.topic for one in messages) < ends + outcome.report.reconnects:
            found = await link.batch(500)
            link.ack(found)
            messages += found
    nodes: dict[str, list[Message]] = {}
    for message in messages:
        nodes.setdefault("/".join(message.topic.split("/")[3:4]), []).append(message)
    return outcome.report, nodes


def spec(**fields: Any) -> FleetSpec:
    base = FleetSpec(devices=20, rate=2_000, duration_s=0.8, qos=0, payload=Format("sparkplug"))
    return msgspec.structs.replace(base, **fields)


@pytest.mark.parametrize("connections", [1, 8])
async def test_each_edge_node_is_born_counts_to_255_and_dies(mosquitto: Server, connections: int) -> None:
    report, nodes = await received(mosquitto, spec(connections=connections))
    data = 0
    wrapped = False
    for messages in nodes.values():
        kinds = [message.topic.split("/")[2] for message in messages]
        assert kinds[0] == "NBIRTH"
        assert kinds[-1] == "NDEATH"
        assert kinds.count("NBIRTH") == kinds.count("NDEATH") == 1
        births = kinds.count("DBIRTH")
        assert set(kinds[1 : 1 + births]) == {"DBIRTH"}
        assert set(kinds[1 + births : -1]) == {"DDATA"}
        contents = [read(message) for message in messages]
        numbers = [content.seq for content in contents[:-1]]
        assert numbers == [n % 256 for n in range(len(numbers))]
        wrapped |= len(numbers) > 256
        assert not contents[-1].HasField("seq")
        bd_seq = {one.metrics[0].name: one.metrics[0].long_value for one in (contents[0], contents[-1])}
        assert bd_seq == {"bdSeq": 0}
        born = {message.topic.split("/")[4] for message in messages[1 : 1 + births]}
        assert {message.topic.split("/")[4] for message in messages[1 + births : -1]} <= born
        data += kinds.count("DDATA")
    assert wrapped
    assert data == report.planned == report.confirmed


async def test_our_decoder_and_protobufs_agree(mosquitto: Server) -> None:
    _, nodes = await received(mosquitto, spec(rate=300))
    ours, kinds = Sparkplug(), set()
    for message in (message for messages in nodes.values() for message in messages):
        content, found = read(message), {}
        for metric in ours.read(parse_topic(message.topic), message.payload).metrics:
            found[metric.name] = metric.value
        for metric in content.metrics:
            if metric.name == "bdSeq" or metric.name.startswith("Node Control/"):
                continue
            kinds.add(reference.DataType.Name(metric.datatype))
            value = getattr(metric, metric.WhichOneof("value"))
            if metric.datatype == reference.DataType.Int64:
                value = value - (1 << 64) if value >> 63 else value
            assert found[metric.name] == value
            assert type(found[metric.name]) is type(value)
    assert {"Int64", "Double", "Boolean"} <= kinds


async def test_an_edge_node_asked_for_its_births_sends_them_and_counts_from_0(
    mosquitto: Server,
) -> None:
    asked = RebirthRequests(ManualClock())

    async def ask(fleet: FleetRun) -> None:
        settings = BrokerSettings(url=f"mqtt://{mosquitto.address}")
        subscriptions = [("spBv1.0/+/DDATA/#", 0)]
        async with MqttLink.from_settings(settings, "asks", subscriptions=subscriptions) as link:
            (message, *_) = await link.batch(1)
            group, node = message.topic.split("/")[1:4:2]
            await asyncio.sleep(REBIRTH_S)
            asked.want(group, node)
            ((topic, payload),) = asked.take()
            await link.publish(topic, payload)

    report, nodes = await received(mosquitto, spec(rate=200, duration_s=2.0, connections=1), ask)
    births = [at for messages in nodes.values() for at, one in enumerate(messages) if "/NBIRTH/" in one.topic]
    assert len(births) == len(nodes) + 1
    for messages in nodes.values():
        messages = [one for one in messages if not one.topic.split("/")[2].endswith(("CMD", "NDEATH"))]
        first = [at for at, one in enumerate(messages) if "/NBIRTH/" in one.topic]
        for begin, end in zip(first, [*first[1:], len(messages)], strict=True):
            numbers = [read(one).seq for one in messages[begin:end]]
            assert numbers == [n % 256 for n in range(len(numbers))]
    assert report.confirmed == report.planned


async def test_a_lost_connection_is_a_death_with_its_own_number_and_a_new_birth(mosquitto: Server) -> None:
    report, nodes = await received(
        mosquitto,
        spec(devices=4, rate=200, own_connections=True, connections=4, storms_s=(0.3,), storm_within_s=0.1),
    )
    assert report.reconnects == 4
    assert len(nodes) == 4
    for messages in nodes.values():
        kinds = [message.topic.split("/")[2] for message in messages]
        contents = [read(message) for message in messages]
        numbers: dict[str, list[int]] = {"NBIRTH": [], "NDEATH": []}
        for kind, content in zip(kinds, contents, strict=True):
            if kind in numbers:
                numbers[kind].append(content.metrics[0].long_value)
        assert numbers == {"NBIRTH": [0, 1], "NDEATH": [0, 1]}
        again = kinds.index("NBIRTH", 1)
        assert [content.seq for content in contents[again:-1]] == list(range(len(contents) - 1 - again))


@given(st.integers(1, 2**48), st.integers(0, 255), st.floats(allow_nan=False), st.booleans())
def test_historical_metrics_aliases_and_units_are_as_the_reference_reads_them(
    ts_ms: int, seq: int, value: float, by_alias: bool
) -> None:
    alias = written.alias_of("d", "m") if by_alias else None
    name = "" if by_alias else "m"
    body = written.payload(
        ts_ms, [written.metric(name, written.DOUBLE, value, ts_ms, alias, "" if by_alias else "°C")]
    )
    plain, late = (
        reference.Payload.FromString(written.stamped(one, seq)) for one in (body, written.historical(body))
    )
    assert (late.timestamp, late.seq) == (plain.timestamp, plain.seq) == (ts_ms, seq)
    assert not plain.metrics[0].is_historical
    assert late.metrics[0].is_historical
    late.metrics[0].ClearField("is_historical")
    assert plain == late
    (one,) = plain.metrics
    assert (one.name, one.double_value, one.timestamp) == (name, value, ts_ms)
    assert (one.HasField("alias"), one.HasField("datatype")) == (by_alias, not by_alias)
    if not by_alias:
        assert list(one.properties.keys) == ["engUnit"]
        assert one.properties.values[0].string_value == "°C"


def test_the_backlog_of_a_device_that_was_out_of_coverage_is_historical() -> None:
    trucks = load_classes(["truck"])
    fleet = spec(devices=4, rate=0, duration_s=400.0, classes=trucks)
    timeline = fleet.timeline(0)
    sent = stream_of(fleet, roster_of(fleet), timeline).window(400_000_000)
    marks = []
    for at_us, _, _, content, line in sent:
        (one,) = reference.Payload.FromString(content).metrics
        assert one.is_historical is (int(line.split(b" ")[0]) < at_us // 1_000), line
        marks.append(one.is_historical)
    assert 10 < sum(marks) < len(marks) // 2


def test_the_schema_is_the_reference() -> None:
    assert reference.Payload.DESCRIPTOR.full_name == "org.eclipse.tahu.protobuf.Payload"
    assert {"Template", "DataSet", "PropertySet", "Metric"} <= set(
        reference.Payload.DESCRIPTOR.nested_types_by_name
    )
