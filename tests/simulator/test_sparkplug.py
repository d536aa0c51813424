"""Sparkplug B from the host's side: the reference schema reads it; its numbers are what the standard asks.

The schema is Eclipse Tahu's ``sparkplug_b.proto`` (package ``org.eclipse.tahu.protobuf``) as protoc compiled
it, from another project's wheel; protobuf's own runtime decodes by it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaf_device.proto import sparkplug_b_pb2 as reference

from iotcache.clock import ManualClock
from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    IngestSettings,
    Settings,
    StoreSettings,
)
from iotcache.decode.sparkplug import Sparkplug, parse_topic
from iotcache.ingest.rebirth import RebirthRequests
from iotcache.mqtt import Message, MqttLink
from iotcache.store import open_store
from iotcache.tasks import beside
from iotcache.worker.main import run_ingest
from iotcache_simulator.faults.kinds import Reboot
from iotcache_simulator.fleet.classes import load_classes
from iotcache_simulator.fleet.definition import RadioLink
from iotcache_simulator.fleet.formats import sparkplug as written
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases, judged
from iotcache_simulator.wire.dialect_uplink import REBIRTH_S
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server
from tests.simulator.sparkplug_rules import check, read

pytestmark = pytest.mark.real("mosquitto")


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
        _, group, kind, node, *_ = [*message.topic.split("/"), ""]
        if group != "STATE" and kind != "NCMD":
            nodes.setdefault(node, []).append(message)
    for of_node in nodes.values():
        check(of_node)
    return outcome.report, nodes


PUMPS = load_classes(["pump"])


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


def kinds_of(messages: list[Message]) -> list[str]:
    return [message.topic.split("/")[2] for message in messages]


async def tell_state(broker: Server, *states: tuple[bool, int]) -> None:
    """As a host application: online or not, and since when."""
    settings = BrokerSettings(url=f"mqtt://{broker.address}")
    async with MqttLink.from_settings(settings, "host-a") as link:
        await link.until_connected()
        for online, timestamp in states:
            state = msgspec.json.encode({"online": online, "timestamp": timestamp})
            await link.publish("spBv1.0/STATE/a", state, qos=1, retain=True)


async def state_since(broker: Server) -> int:
    """The time of the state that the broker keeps."""
    settings = BrokerSettings(url=f"mqtt://{broker.address}")
    async with MqttLink.from_settings(settings, "asks", subscriptions=[("spBv1.0/STATE/a", 1)]) as link:
        (message, *_) = await link.batch(1)
        return int(json.loads(message.payload)["timestamp"])


async def test_edge_nodes_are_silent_while_their_primary_host_is_away_and_tell_what_they_kept(
    mosquitto: Server,
) -> None:
    await tell_state(mosquitto, (False, 5))

    async def host(fleet: FleetRun) -> None:
        uplinks = fleet.partition.uplinks
        while not all("primary host application a is not" in uplink.reason for uplink in uplinks):
            await asyncio.sleep(0.01)
        assert not any(uplink.connected for uplink in uplinks)
        await tell_state(mosquitto, (True, 10))
        while not all(uplink.published > 20 for uplink in uplinks):
            await asyncio.sleep(0.01)
        await tell_state(mosquitto, (False, 9), (False, 20))  # the first is older than what is known
        while any(uplink.connected for uplink in uplinks):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # to be measured meanwhile
        await tell_state(mosquitto, (True, 30))

    report, nodes = await received(
        mosquitto,
        spec(devices=8, rate=200, duration_s=2.0, connections=1, primary_host="a", classes=PUMPS),
        host,
    )
    await tell_state(mosquitto, (False, 40))
    assert report.confirmed == report.planned
    assert len(nodes) == report.reconnects > 1
    for messages in nodes.values():
        kinds = kinds_of(messages)
        assert kinds.count("NBIRTH") == kinds.count("NDEATH") == 2
        again = kinds.index("NBIRTH", 1)
        assert kinds[again - 1] == "NDEATH"
        marks = [read(one).metrics[0].is_historical for one in messages[again:] if "/DDATA/" in one.topic]
        assert 0 < sum(marks) < len(marks)
        assert marks == sorted(marks, reverse=True), "what was kept comes first"


async def test_a_device_out_of_coverage_or_rebooting_is_dead_until_it_speaks_again(mosquitto: Server) -> None:
    (truck,) = load_classes(["truck"])
    link = RadioLink(every_s=1.6, min_s=0.8, max_s=0.9, catchup_s=0.1)
    trucks = msgspec.structs.replace(truck, link=link)
    report, nodes = await received(
        mosquitto,
        spec(
            devices=6, rate=200, duration_s=2.4, connections=1,
            classes=(trucks, *PUMPS),
            faults=(Reboot(at_s=0.5, for_s=0.8, classes=("pump",)),),
            payload=Format("sparkplug", aliases=True),
        ),
    )  # fmt: skip
    deaths = {message.topic.split("/")[4] for of_node in nodes.values() for message in of_node
              if "/DDEATH/" in message.topic}  # fmt: skip
    assert {name.split("-")[0] for name in deaths} == {"truck", "pump"}
    for messages in nodes.values():
        dead: set[str] = set()
        for message in messages:
            kind, *below = message.topic.split("/")[2::2]
            if kind == "DDEATH":
                dead |= set(below)
            elif kind == "DBIRTH":
                dead -= set(below)
            elif kind == "NDATA":
                (alive,) = [one.long_value for one in read(message).metrics if one.long_value < 7][-1:]
                assert alive == len({m.topic for m in messages if "/DDATA/" in m.topic}) - len(dead)
        assert not dead, "who spoke again was born again"
    assert report.confirmed == report.planned


@pytest.mark.real("memcached")
async def test_our_own_host_asks_waits_and_loses_nothing(
    mosquitto: Server, memcached: Server, tmp_path: Path
) -> None:
    settings = Settings(
        broker=BrokerSettings(url=f"mqtt://{mosquitto.address}"),
        cache=CacheSettings(nodes=(memcached.address,)),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db"),
        ingest=IngestSettings(preset=("sparkplug",), sparkplug_host_id="a"),
    )
    fleet_spec = spec(devices=8, rate=100, duration_s=2.5, connections=1, qos=1, primary_host="a")
    fleet = FleetRun(fleet_spec, target_of(settings.broker))
    uplinks = fleet.partition.uplinks
    async with open_store(settings.store):
        pass  # the file, which only a worker makes
    async with (
        asyncio.timeout(30),
        Verification(
            VerifyTargets(False, settings.store, settings.cache), fleet_spec, settings.broker, settle_s=1.0
        ) as places,
    ):
        running = asyncio.create_task(fleet.run(places.begin))
        while not all("not online" in uplink.reason for uplink in uplinks):
            await asyncio.sleep(0.01)
        async with beside(run_ingest(settings)):
            while sum(uplink.confirmed for uplink in uplinks) < 80:
                await asyncio.sleep(0.01)
            await tell_state(mosquitto, (False, await state_since(mosquitto)))  # it says that it is not away
            outcome = await running
            report = await places.judged(outcome.report, outcome.horizons)
    assert report.reconnects >= len(uplinks)
    assert report.ledger is not None
    assert report.ledger.store is not None
    assert (report.ledger.lost, report.ledger.altered) == (0, 0)
    assert report.ledger.expected == report.ledger.store.stored == report.planned > 100
    assert judged(report, cases(report)).failures == ()


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
