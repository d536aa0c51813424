"""Sparkplug B from the host's side: protobuf's runtime reads it; its numbers are what the standard asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from iotcache.config.schema import BrokerSettings
from iotcache.ingest.sparkplug import Sparkplug, parse_topic
from iotcache.mqtt import Message, MqttLink
from simulator.fleet.formats import Format
from simulator.publish.report import Report
from simulator.publish.run import FleetRun
from simulator.publish.spec import FleetSpec
from simulator.wire.target import target_of
from tests.conftest import Server

pytestmark = pytest.mark.real("mosquitto")

_FIELD = descriptor_pb2.FieldDescriptorProto
_METRIC = {
    "name": (1, _FIELD.TYPE_STRING), "alias": (2, _FIELD.TYPE_UINT64), "timestamp": (3, _FIELD.TYPE_UINT64),
    "datatype": (4, _FIELD.TYPE_UINT32), "is_historical": (5, _FIELD.TYPE_BOOL),
    "is_transient": (6, _FIELD.TYPE_BOOL), "is_null": (7, _FIELD.TYPE_BOOL),
    "int_value": (10, _FIELD.TYPE_UINT32), "long_value": (11, _FIELD.TYPE_UINT64),
    "float_value": (12, _FIELD.TYPE_FLOAT), "double_value": (13, _FIELD.TYPE_DOUBLE),
    "boolean_value": (14, _FIELD.TYPE_BOOL), "string_value": (15, _FIELD.TYPE_STRING),
    "bytes_value": (16, _FIELD.TYPE_BYTES),
}  # fmt: skip
"""Payload.Metric of the standard's schema, as far as it is made of plain fields."""
_VALUE = {8: "long_value", 4: "long_value", 10: "double_value", 11: "boolean_value", 12: "string_value"}


def _schema() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="spb", syntax="proto2")
    metric = file.message_type.add(name="Metric")
    for name, (number, kind) in _METRIC.items():
        metric.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    payload = file.message_type.add(name="Payload")
    for name, number, kind in (
        ("timestamp", 1, _FIELD.TYPE_UINT64), ("seq", 3, _FIELD.TYPE_UINT64), ("uuid", 4, _FIELD.TYPE_STRING),
        ("body", 5, _FIELD.TYPE_BYTES),
    ):  # fmt: skip
        payload.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".spb.Metric",
        label=_FIELD.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


PAYLOAD = _schema()


def read(message: Message) -> Any:
    """The payload by the schema; nothing in it may be unknown to that."""
    found = PAYLOAD.FromString(message.payload)
    known = found.SerializeToString()
    assert len(known) == len(message.payload), "a field that the schema does not know"
    return found


async def heard(
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
        ends = len(fleet.share.uplinks)
        while sum("/NDEATH/" in one.topic for one in messages) < ends + outcome.report.reconnects:
            found = await link.batch(500)
            link.ack(found)
            messages += found
    nodes: dict[str, list[Message]] = {}
    for message in messages:
        nodes.setdefault("/".join(message.topic.split("/")[3:4]), []).append(message)
    return outcome.report, nodes


def spec(**fields: Any) -> FleetSpec:
    return FleetSpec(
        **{"devices": 20, "rate": 2_000, "duration_s": 0.8, "qos": 0, "payload": Format("sparkplug")} | fields
    )


@pytest.mark.parametrize("connections", [1, 8])
async def test_each_edge_node_is_born_counts_to_255_and_dies(mosquitto: Server, connections: int) -> None:
    report, nodes = await heard(mosquitto, spec(connections=connections))
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
    _, nodes = await heard(mosquitto, spec(rate=300))
    ours, kinds = Sparkplug(), set()
    for message in (message for messages in nodes.values() for message in messages):
        content, found = read(message), {}
        for metric in ours.metrics(parse_topic(message.topic), message.payload):
            found[metric.name] = metric.value
        for metric in content.metrics:
            if metric.name == "bdSeq" or metric.name.startswith("Node Control/"):
                continue
            kinds.add(metric.datatype)
            value = getattr(metric, _VALUE[metric.datatype])
            if metric.datatype == 4:
                value = value - (1 << 64) if value >> 63 else value
            assert found[metric.name] == value
            assert type(found[metric.name]) is type(value)
    assert {4, 10, 11} <= kinds


async def test_a_lost_connection_is_a_death_with_its_own_number_and_a_new_birth(mosquitto: Server) -> None:
    report, nodes = await heard(
        mosquitto,
        spec(devices=4, rate=200, own_connections=True, connections=4, storms_s=(0.3,), storm_within_s=0.1),
    )
    assert report.reconnects == 4
    assert len(nodes) == 4
    for messages in nodes.values():
        kinds = [message.topic.split("/")[2] for message in messages]
        contents = [read(message) for message in messages]
        numbers = {"NBIRTH": [], "NDEATH": []}
        for kind, content in zip(kinds, contents, strict=True):
            if kind in numbers:
                numbers[kind].append(content.metrics[0].long_value)
        assert numbers == {"NBIRTH": [0, 1], "NDEATH": [0, 1]}
        again = kinds.index("NBIRTH", 1)
        assert [content.seq for content in contents[again:-1]] == list(range(len(contents) - 1 - again))
