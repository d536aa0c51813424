"""Subscriptions of an earlier configuration, which a persistent session keeps: passed over, and ended."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.clock import ManualClock
from iotcache.config.schema import Settings
from iotcache.decode.topics import Topics, filter_covers
from iotcache.model import Message
from iotcache.mqtt import MqttLink
from iotcache.mqtt.codec import Packet, Subscribe, Unsuback, Unsubscribe, Version
from iotcache.tasks import beside
from iotcache.worker import former_subscriptions
from iotcache.worker.former_subscriptions import AGAIN_S, STILL_S, FormerSubscriptions, covering_filters
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.ingest.scripted_broker import ScriptedBroker

Connect = Callable[..., Any]


@pytest.mark.parametrize("topic", ["a", "a/b/c", "/a/", "$aws/a", "$aws"])
def test_all_filters_that_cover_a_topic_are_found_and_no_other(topic: str) -> None:
    alphabet = sorted({*topic.split("/"), "+", "other"})
    possible = {
        "/".join((*levels, *more))
        for size in range(topic.count("/") + 3)
        for levels in itertools.product(alphabet, repeat=size)
        for more in ((), ("#",))
        if levels or more
    }
    found = list(covering_filters(topic))
    assert len(found) == len(set(found))
    assert set(found) == {one for one in possible if filter_covers(one, topic)}


def test_a_topic_of_many_levels_takes_no_time_and_is_covered_all_the_same() -> None:
    topic = "/".join(["level"] * 30_000)
    found = list(itertools.islice(covering_filters(topic), 1_000))
    assert {topic, "#", "level/#", "level/+/#"} < set(found)
    assert all(filter_covers(one, topic) for one in found[:40])


async def _stored(worker: Ingest, count: int) -> None:
    await until(lambda: worker.counters.stored == count)


@pytest.mark.real("mosquitto", "memcached")
@pytest.mark.parametrize(("protocol", "group"), [("3.1.1", ""), ("5", ""), ("5", "g")])
async def test_what_an_earlier_configuration_asked_for_is_neither_taken_nor_kept(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Callable[..., Settings], link: Connect,
    monkeypatch: pytest.MonkeyPatch, protocol: str, group: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(former_subscriptions, "EVERY_S", 0.05)
    olds = "old/+/site/{device}/{sensor}", "older/{device}/{rest…}"
    before = settings_for(mosquitto.port, [memcached], protocol=protocol, topics=olds, group=group)
    now = replace(before, ingest=replace(before.ingest, topics=("new/{device}/{sensor}",)))
    sender = await link(mosquitto.port, "sender")
    async with Ingest(before, instance="one") as worker:
        await worker.ready()
        session = worker.link.client_id
    for topic in ("old/x/site/d/t", "older/d/t/1"):
        await sender.publish(topic, b"1")

    async with Ingest(now, instance="one") as worker:
        await worker.ready()
        former = worker._former
        await until(lambda: former.passed_over == 2)
        for n in itertools.count():  # until nothing comes by them any more
            before_n = former.passed_over
            await sender.publish("old/x/site/d/t", b"1")
            await sender.publish("older/e/t/1", b"1")
            await sender.publish("new/d/t", b"%d" % n)
            await _stored(worker, n + 1)
            if former.passed_over == before_n:
                break
            await asyncio.sleep(0.05)
        assert (worker.counters.dead_letters, worker.counters.readings) == (0, n + 1)

    heir = await link(mosquitto.port, session, protocol=protocol, persistent=True)
    assert heir.session_present
    for topic in ("old/x/site/d/t", "older/d/t/1", "new/d/t"):
        await sender.publish(topic, b"2")
    (message, *more) = await heir.batch(9, linger_s=0.1)
    assert (message.topic, more) == ("new/d/t", [])


def _message(topic: str) -> Message:
    return Message(topic, b"1", qos=1, retain=False, mid=1, epoch=1, received_us=1, size=1)


async def test_what_something_else_brings_is_a_dead_letter_as_before() -> None:
    """A broker that renames topics: nothing that covers them was subscribed to, and it says so (MQTT 5)."""

    def answer(packet: Packet) -> bytes | None:
        if isinstance(packet, Unsubscribe):
            return Unsuback(packet.packet_id, (0x11,) * len(packet.filters)).encode(5)
        return None

    topics = Topics(["iot/{device}/{sensor}"])
    async with (
        ScriptedBroker(5, answer) as broker,
        MqttLink(broker.address, "x", protocol="5", persistent=True, subscriptions=[("iot/+/+", 1)]) as link,
    ):
        await link.until_connected()
        former = FormerSubscriptions(link, topics)
        async with beside(former.run()):
            assert former.are_possible
            assert not former.pass_over(_message("iot/d/t"))
            assert former.pass_over(_message("renamed/d/t"))
            await until(lambda: not former.are_possible)
        sent = [await broker.packet(Unsubscribe) for _ in range(3)]
        assert {"renamed/+/+", "#"} < {text for one in sent for text in getattr(one, "filters", ())}


@pytest.mark.parametrize("version", [4, 5])
async def test_without_the_brokers_word_another_way_is_tried_and_then_it_is_a_dead_letter(
    version: Version,
) -> None:
    """MQTT 3.1.1 has no word for what was ended, and some brokers say of every filter that it was."""

    def answer(packet: Packet) -> bytes | None:
        if isinstance(packet, Unsubscribe):
            codes = (0,) * len(packet.filters) if version == 5 else ()
            return Unsuback(packet.packet_id, codes).encode(version)
        return None

    clock = ManualClock()
    options: dict[str, Any] = {"persistent": True, "subscriptions": [("iot/+/+", 1)]}
    async with (
        ScriptedBroker(version, answer) as broker,
        MqttLink(broker.address, "x", protocol="5" if version == 5 else "3.1.1", **options) as link,
    ):
        await link.until_connected()
        former = FormerSubscriptions(link, Topics(["iot/{device}/{sensor}"]), monotonic=clock.monotonic)
        async with beside(former.run()):
            clock.advance(STILL_S)
            assert former.pass_over(_message("renamed/d/t"))
            await until(lambda: former._ended_s and not former._topic)
            assert list(former._ended_s) == ["renamed/d/t"]
            clock.advance(AGAIN_S + 1)
            while not broker.packets.empty():
                broker.packets.get_nowait()
            assert former.pass_over(_message("renamed/d/t"))
            for _ in range(2):
                asked, ended = await broker.packet(Subscribe), await broker.packet(Unsubscribe)
                assert isinstance(asked, Subscribe) and isinstance(ended, Unsubscribe)
                assert [text for text, _ in asked.filters] == list(ended.filters)
                assert ended.filters[0].startswith("renamed/")
            await until(lambda: not former._topic)
            assert former.pass_over(_message("renamed/d/t"))
            clock.advance(STILL_S)
            assert not former.pass_over(_message("renamed/d/t"))
            assert not former.are_possible
