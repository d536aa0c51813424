"""Workers of a group: the proof that a broker shares, leaving for good, and sessions left behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.clock import ManualClock
from iotcache.errors import ConfigError, UsageError
from iotcache.model import Series
from iotcache.mqtt.codec import Connack, Connect, Packet, Suback, Subscribe
from iotcache.worker import group as worker_group
from iotcache.worker.silence_hint import SilenceHint
from iotcache.worker.worker import Ingest
from iotcache_tui.cli.sessions import end_sessions, sessions_of
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.ingest.edge_node import EdgeNode
from tests.ingest.scripted_broker import ScriptedBroker
from tests.ingest.test_worker import TOPIC, payload

Make = Callable[..., Any]


def may_leave(worker: Ingest) -> bool:
    """Whether a member has heard of another."""
    assert worker.group is not None
    return bool(worker.group.leaving.peers)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
async def test_a_member_that_leaves_for_good_holds_nothing_back(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, protocol: str
) -> None:  # fmt: skip
    settings = settings_for(mosquitto.port, [memcached], group="g", protocol=protocol)
    stays = await worker(settings, instance="a")
    sender = await link(mosquitto.port, "sender")
    async with Ingest(settings, instance="b") as leaves:
        await leaves.ready()
        await until(lambda: may_leave(leaves))
        sending = [asyncio.create_task(sender.publish(TOPIC, payload(n, seq=n))) for n in range(50)]
    await asyncio.gather(*sending)
    assert leaves.stats().session_ended
    for n in range(50, 150):
        await sender.publish(TOPIC, payload(n, seq=n))
    await until(lambda: stays.counters.stored + leaves.counters.stored == 150)
    assert [one.instance for one in await sessions_of(settings.broker)] == ["a"]


@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
async def test_the_last_member_keeps_its_session_and_it_can_be_ended_by_hand(
    mosquitto: Server, memcached: Server, settings_for: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached], group="g")
    sender = await link(mosquitto.port, "sender")
    async with Ingest(settings, instance="a") as first, Ingest(settings, instance="b") as second:
        await first.ready()
        await second.ready()
        await until(lambda: may_leave(second))
    assert (first.stats().session_ended, second.stats().session_ended) == (False, True)
    await sender.publish(TOPIC, payload(1, seq=1))
    async with Ingest(settings, instance="a") as again:
        await again.ready()
        await until(lambda: again.counters.stored == 1)
        with pytest.raises(UsageError, match="is running"):
            await end_sessions(settings.broker, ["a"])
    (ended,) = await end_sessions(settings.broker, ["a"])
    assert ended.is_left_behind
    with pytest.raises(UsageError, match="no worker"):
        await end_sessions(settings.broker, ["a"])


@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
async def test_a_broker_that_hangs_is_not_taken_for_one_that_has_no_more(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_group, "DRAIN_S", 0.6)
    settings = settings_for(mosquitto.port, [memcached], group="g")
    await worker(settings, instance="a")
    async with Ingest(settings, instance="b") as leaves:
        await leaves.ready()
        await until(lambda: may_leave(leaves))
        unsubscribe = leaves.link.unsubscribe

        async def unsubscribe_and_hang() -> list[int]:
            codes = await unsubscribe()
            mosquitto.signal(signal.SIGSTOP)
            return codes

        monkeypatch.setattr(leaves.link, "unsubscribe", unsubscribe_and_hang)
    mosquitto.signal(signal.SIGCONT)
    assert not leaves.stats().session_ended


@pytest.mark.real("memcached")
async def test_a_group_on_a_broker_that_does_not_share_is_refused_with_the_reason(
    memcached: Server, settings_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_group, "PROOF_S", 0.1)
    async with ScriptedBroker(4) as broker:  # takes every subscription, and sends nothing
        settings = settings_for(broker.address.port, [memcached], group="g")
        async with Ingest(settings, instance="a") as made:
            with pytest.raises(ConfigError, match="does not share messages out: one to ourselves"):
                await made.ready()


@pytest.mark.parametrize("how", ["refuses", "hangs up"])
@pytest.mark.real("memcached")
async def test_a_group_is_refused_where_the_broker_does_not_take_the_subscription(
    memcached: Server, settings_for: Make, how: str
) -> None:
    def answer(packet: Packet) -> bytes | None:
        if not isinstance(packet, Subscribe) or not packet.filters[0][0].startswith("$share"):
            return None
        if how == "hangs up":
            raise ConnectionError
        return Suback(packet.packet_id, (0x80,) * len(packet.filters)).encode(4)

    async with ScriptedBroker(4, answer) as broker:
        settings = settings_for(broker.address.port, [memcached], group="g")
        async with Ingest(settings, instance="a") as made:
            with pytest.raises(ConfigError, match="it has no shared subscriptions"):
                await made.ready()


@pytest.mark.parametrize("how", ["refuses", "hangs up"])
async def test_auto_finds_a_broker_that_speaks_3_1_1_alone(link: Make, how: str) -> None:
    def answer(packet: Packet) -> bytes | None:
        if isinstance(packet, Connect) and packet.version == 5:
            if how == "hangs up":
                raise ConnectionError
            return Connack(code=1).encode(4)
        return None

    async with ScriptedBroker(4, answer) as broker:
        made = await link(broker.address.port, "x", protocol="auto")
        assert made.version == 4
        made.drop("a test")
        await until(lambda: made.connects == 2)
        assert made.version == 4


@pytest.mark.real("mosquitto")
async def test_auto_speaks_5_where_it_can(mosquitto: Server, link: Make) -> None:
    assert (await link(mosquitto.port, "x", protocol="auto")).version == 5


@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
async def test_each_worker_of_a_group_knows_the_births(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached], group="g", topics=("spBv1.0/#",))
    one, two = await worker(settings, instance="a"), await worker(settings, instance="b")
    edge = await EdgeNode().start(link, mosquitto.port)
    edge.birth()
    await until(lambda: one.counters.received >= 2 and two.counters.received >= 2)
    for n in range(1, 41):
        edge.data(float(n))
        await asyncio.sleep(0.001)
    await until(lambda: one.counters.stored + two.counters.stored == 41)
    assert min(one.counters.received, two.counters.received) > 10
    assert one.counters.dead_letters + two.counters.dead_letters == 0
    assert edge.rebirths == 0
    assert one.cache is not None
    rows = await one.cache.store.history(Series("G/E/dev1", "temp"), 0, 1 << 62)
    assert [row.value for row in rows] == [float(n) for n in range(41)]


async def test_a_subscription_that_is_taken_and_silent_is_hinted_at_once(
    link: Make, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    hint = SilenceHint(clock)
    async with ScriptedBroker(4) as broker:
        made = await link(broker.address.port, "x", subscriptions=[("iot/#", 1)])
        for _ in range(200):
            hint.look(made)
            clock.advance(1)
    (record,) = [one for one in caplog.records if "nothing came" in one.message]
    assert "iot/#" in record.message
