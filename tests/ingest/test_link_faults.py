"""The MQTT link against messages and answers that would stop others: oversize, malformed, refused, QoS 2."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iotcache.config.urls import BrokerAddress
from iotcache.errors import PublishRefused
from iotcache.model import Message
from iotcache.mqtt import LinkState, MqttLink, Will, connection, inbox
from iotcache.mqtt import link as link_module
from iotcache.mqtt.codec import (
    Acknowledgement,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Ping,
    PropertyId,
    Publish,
    Subscribe,
)
from iotcache.mqtt.reader import MAXIMUM_PACKET_BYTES
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.ingest.scripted_broker import ScriptedBroker

LinkMaker = Callable[..., Any]
READER: dict[str, Any] = {"subscriptions": [("t/#", 1)], "persistent": True}


async def take(link: MqttLink, count: int) -> list[Message]:
    taken: list[Message] = []
    async with asyncio.timeout(20):
        while len(taken) < count:
            taken += await link.batch(count - len(taken))
    return taken


def _configure(mosquitto: Server, lines: str) -> None:
    """Start the broker again with more lines in its configuration."""
    config = Path(str(mosquitto.folder)) / "mosquitto.conf"
    mosquitto.kill()
    command = mosquitto.command

    def with_lines(port: int) -> list[str]:
        made = command(port)
        config.write_text(config.read_text() + lines + "\n")
        return made

    mosquitto.command = with_lines
    mosquitto.start()


async def publish_raw(port: int, packet: Publish) -> None:
    """Publish with MQTT 5 and QoS 1, and return when the broker has it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(Connect("raw", 5).encode())
        assert (await reader.readexactly(2))[0] >> 4 == PacketType.CONNACK
        writer.write(packet.encode(5))
        async with asyncio.timeout(20):
            while (await reader.readexactly(1))[0] >> 4 != PacketType.PUBACK:
                pass
        writer.write(Disconnect().encode(5))


@pytest.mark.real("mosquitto")
async def test_properties_larger_than_any_payload_are_put_away_and_acknowledged(
    mosquitto: Server, link: LinkMaker
) -> None:
    """A message that is not acknowledged would come again on every connection, for ever."""
    reader = await link(mosquitto.port, "reader", **READER, protocol="5")
    pairs = ((PropertyId.USER_PROPERTY, ("k" * 60_000, "v" * 60_000)),) * 11
    await publish_raw(mosquitto.port, Publish("t/big", b"5", 1, 1, properties=pairs))
    await publish_raw(mosquitto.port, Publish("t/small", b"6", 1, 1))
    big, small = await take(reader, 2)
    assert (big.topic, big.qos) == ("t/big", 1)
    assert "bytes of properties" in big.fault
    assert big.size > 1_300_000
    assert (small.payload, small.fault) == (b"6", "")
    assert reader.ack([big, small]) == 2
    assert reader.connects == 1
    await reader.close()
    again = await link(mosquitto.port, "reader", **READER, protocol="5")
    await publish_raw(mosquitto.port, Publish("t/last", b"7", 1, 1))
    assert [message.payload for message in await take(again, 1)] == [b"7"]
    assert again.session_present


async def test_a_largest_packet_is_stated_in_mqtt_5() -> None:
    async with ScriptedBroker(5) as broker, MqttLink(broker.address, "reader", protocol="5", **READER):
        hello = await broker.packet(Connect)
        assert isinstance(hello, Connect)
        assert dict(hello.properties) == {
            PropertyId.RECEIVE_MAXIMUM: 2_000,
            PropertyId.MAXIMUM_PACKET_SIZE: MAXIMUM_PACKET_BYTES,
            PropertyId.SESSION_EXPIRY_INTERVAL: 7 * 86_400,
        }


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.real("mosquitto")
async def test_messages_of_qos_2_are_taken_and_released(
    mosquitto: Server, link: LinkMaker, protocol: str
) -> None:
    """More of them than a broker leaves unreleased at a time (20), so that each has to be seen to its end."""
    sender = await link(mosquitto.port, "sender", protocol=protocol)
    reader = await link(
        mosquitto.port, "reader", subscriptions=[("t/#", 2)], persistent=True, protocol=protocol
    )
    sending = asyncio.gather(*(sender.publish("t/a", b"%d" % n, qos=2, timeout_s=20) for n in range(60)))
    taken: list[Message] = []
    while len(taken) < 60:
        batch = await take(reader, 1)
        assert all(message.qos == 2 for message in batch)
        assert reader.ack(batch) == len(batch)
        taken += batch
    await sending
    assert [message.payload for message in taken] == [b"%d" % n for n in range(60)]
    await reader.close()
    again = await link(
        mosquitto.port, "reader", subscriptions=[("t/#", 2)], persistent=True, protocol=protocol
    )
    await sender.publish("t/a", b"last")
    assert [message.payload for message in await take(again, 1)] == [b"last"]


async def test_qos_2_on_a_subscription_of_qos_1_is_answered_in_order() -> None:
    def answer(packet: Packet) -> bytes | None:
        match packet:
            case Subscribe():
                return (
                    b"\x90\x03"
                    + packet.packet_id.to_bytes(2, "big")
                    + b"\x01"
                    + (Publish("t/a", b"1", 2, 9).encode(4))
                )
            case Acknowledgement(kind=PacketType.PUBREC):
                return Acknowledgement(PacketType.PUBREL, packet.packet_id).encode(4)
        return None

    async with (
        ScriptedBroker(4, answer) as broker,
        MqttLink(broker.address, "reader", **READER) as reader,
    ):
        taken = await take(reader, 1)
        assert (taken[0].qos, taken[0].payload) == (2, b"1")
        assert reader.ack(taken) == 1
        assert [await broker.packet(Acknowledgement) for _ in range(2)] == [
            Acknowledgement(PacketType.PUBREC, 9),
            Acknowledgement(PacketType.PUBCOMP, 9),
        ]


async def test_a_message_that_ends_every_connection_is_put_away_the_third_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_module, "BACKOFF_MIN_S", 0.01)
    good = Publish("t/good", b"1", 1, 8).encode(5)

    def answer(packet: Packet) -> bytes | None:
        """What is not acknowledged comes again on every connection; its properties end after it does."""
        if isinstance(packet, Connect):
            return Connack(session_present=True).encode(5) + b"\x32\x0a\x00\x03t/a\x00\x07\x63x" + b"y" + good
        return None

    async with (
        ScriptedBroker(5, answer) as broker,
        MqttLink(broker.address, "reader", protocol="5", **READER) as reader,
    ):
        bad, after = await take(reader, 2)
        assert broker.connections == link_module.POISON_FAILURES
        assert (bad.topic, bad.mid, after.mid) == ("t/a", 7, 8)
        assert bad.fault == "the broker sent a PUBLISH on t/a that ends in its properties"
        assert reader.ack([bad, after]) == 2
        assert [await broker.packet(Acknowledgement) for _ in range(2)] == [
            Acknowledgement(PacketType.PUBACK, 7),
            Acknowledgement(PacketType.PUBACK, 8),
        ]
        await until(lambda: reader.connected)


@pytest.mark.real("mosquitto")
async def test_a_publish_that_the_broker_refuses_fails_with_its_reason(
    mosquitto: Server, link: LinkMaker
) -> None:
    acl = Path(str(mosquitto.folder)) / "acl"
    acl.write_text("topic read #\ntopic write t/allowed\n")
    acl.chmod(0o644)
    _configure(mosquitto, f"acl_file {acl}")
    sender = await link(mosquitto.port, "sender", protocol="5")
    await sender.publish("t/allowed", b"1")
    with pytest.raises(PublishRefused, match="refuses a message: we are not authorized"):
        await sender.publish("t/denied", b"1")
    assert sender.connected


@pytest.mark.parametrize(
    "limits", ["retain_available false", "max_qos 0", "max_qos 0\nretain_available false"]
)
@pytest.mark.real("mosquitto")
async def test_a_broker_without_retained_messages_or_qos_1_is_lived_with(
    mosquitto: Server, link: LinkMaker, limits: str
) -> None:
    _configure(mosquitto, limits)
    listener = await link(mosquitto.port, "listener", subscriptions=[("w/#", 1)], protocol="5")
    sender = await link(
        mosquitto.port, "sender", protocol="5", will=Will("w/sender", b"gone", 1, retain=True)
    )
    await sender.publish("w/a", b"1", qos=1, retain=True)
    assert sender.post("w/b", b"2", retain=True)
    assert [message.payload for message in await take(listener, 2)] == [b"1", b"2"]
    assert sender.connects == 1
    sender.drop("gone")
    assert [(message.topic, message.payload) for message in await take(listener, 1)] == [
        ("w/sender", b"gone")
    ]


@pytest.mark.parametrize(("protocol", "other"), [("5", "3.1.1"), ("3.1.1", "5")])
async def test_a_broker_that_speaks_another_version_is_named_with_the_cure(protocol: str, other: str) -> None:
    def answer(packet: Packet) -> bytes | None:
        return b"\x20\x02\x00\x01" if isinstance(packet, Connect) else None

    async with ScriptedBroker(5 if protocol == "5" else 4, answer) as broker:
        link = MqttLink(broker.address, "x", protocol=protocol)  # type: ignore[arg-type]
        async with link:
            await until(lambda: link.state is LinkState.AWAY)
            assert f'does not speak MQTT {protocol}: set broker.protocol = "{other}"' in link.reason


async def test_a_server_that_hangs_up_on_mqtt_5_is_told_apart() -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    from iotcache.config.urls import BrokerAddress

    address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server, MqttLink(address, "x", protocol="5") as link:
        await until(lambda: link.state is LinkState.AWAY)
        assert 'needs broker.protocol = "3.1.1"' in link.reason


@pytest.mark.parametrize(
    ("code", "says", "takeovers"),
    [
        (0x8B, "it ended the connection: it is shutting down (night)", 0),
        (0x8E, "was lost: another program took our client id x over (once in a minute)", 1),
    ],
)
async def test_the_reason_of_a_brokers_disconnect_is_told(code: int, says: str, takeovers: int) -> None:
    def answer(packet: Packet) -> bytes | None:
        if isinstance(packet, Subscribe):
            properties = ((PropertyId.REASON_STRING, "night"),)
            return Disconnect(code, properties).encode(5)
        return None

    async with (
        ScriptedBroker(5, answer) as broker,
        MqttLink(broker.address, "x", protocol="5", **READER) as link,
    ):
        await until(lambda: link.state is LinkState.AWAY)
        assert says in link.reason
        assert link.takeovers == takeovers


async def test_a_connection_that_ends_before_it_is_subscribed_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As happens to the first of two clients of one name that come at once."""
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 3_600.0)

    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(Connack().encode(4))
        writer.close()

    server = await asyncio.start_server(ends, "127.0.0.1", 0)
    address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server, MqttLink(address, "x", **READER) as link:
        await until(lambda: "the broker closed it" in link.reason)


async def test_a_broker_that_answers_no_ping_is_given_up() -> None:
    def answer(packet: Packet) -> bytes | None:
        return b"" if isinstance(packet, Ping) else None

    async with ScriptedBroker(4, answer) as broker, MqttLink(broker.address, "x", keepalive_s=1) as link:
        await until(lambda: link.connected)
        await until(lambda: link.state is LinkState.AWAY, 20)
        assert "it does not answer" in link.reason


async def test_a_full_inbox_is_no_dead_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer to our pings lies behind what is left unread."""
    monkeypatch.setattr(inbox, "QUEUED_MESSAGES", 10)

    def answer(packet: Packet) -> bytes | None:
        if isinstance(packet, Subscribe):
            return b"\x90\x03\x00\x01\x01" + Publish("t/a", b"x").encode(4) * 20
        return None

    async with (
        ScriptedBroker(4, answer) as broker,
        MqttLink(broker.address, "x", keepalive_s=1, **READER) as link,
    ):
        await until(lambda: link.paused)
        for _ in range(3):
            await broker.packet(Ping)
        assert link.paused
        assert link.connected
        assert link.connects == 1
        assert len(await take(link, 20)) == 20
        assert not link.paused
