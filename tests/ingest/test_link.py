"""The MQTT link over real brokers: acks when told, sessions, back-pressure, coming back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.clock import ManualClock
from iotcache.config.schema import BrokerSettings
from iotcache.config.urls import BrokerAddress
from iotcache.errors import BrokerError
from iotcache.model import Message
from iotcache.mqtt import LinkState, MqttLink, Will, connection, inbox
from iotcache.mqtt import link as link_module
from iotcache.mqtt.takeovers import Takeovers
from tests.conftest import Server, free_port
from tests.ingest.conftest import until

Connect = Callable[..., Any]
READER = {"subscriptions": [("t/#", 1)], "persistent": True}


async def take(link: MqttLink, count: int) -> list[Message]:
    taken: list[Message] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            taken += await link.batch(count - len(taken))
    return taken


async def test_what_is_not_acked_comes_again_and_what_is_does_not(broker_port: int, link: Connect) -> None:
    sender = await link(broker_port, "sender")
    reader = await link(broker_port, "reader", **READER)
    for n in range(4):
        await sender.publish("t/a", b"%d" % n)
    taken = await take(reader, 4)
    assert reader.ack(taken[:2]) == 2
    await reader.close()

    again = await link(broker_port, "reader", **READER)
    assert [message.payload for message in await take(again, 2)] == [b"2", b"3"]
    assert again.session_present


async def test_a_backlog_is_not_acked_behind_our_back(broker_port: int, link: Connect) -> None:
    sender = await link(broker_port, "sender")
    await (await link(broker_port, "reader", **READER)).close()
    for n in range(15):
        await sender.publish("t/a", b"%d" % n)
    for _ in range(2):
        reader = await link(broker_port, "reader", **READER)
        assert len(await take(reader, 15)) == 15
        await reader.close()


async def test_what_comes_in_one_piece_with_the_connack_is_acked() -> None:
    """The link is not open yet when such messages are taken; a broker sends no more until it has the acks."""
    acked: asyncio.Queue[bytes] = asyncio.Queue()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x20\x02\x01\x00" + b"\x32\x08\x00\x03t/a\x00\x07x")  # CONNACK, PUBLISH no. 7
        found = b""
        while data := await reader.read(1_000):
            found += data
            if b"\x40\x02" in found:
                acked.put_nowait(found[found.index(b"\x40\x02") :][:4])
        writer.close()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server, MqttLink(address, "reader", protocol="3.1.1", persistent=True) as link:
        assert link.ack(await take(link, 1)) == 1
        async with asyncio.timeout(5):
            assert await acked.get() == b"\x40\x02\x00\x07"


async def test_acks_go_out_only_on_the_connection_that_brought_the_message(
    broker_port: int, link: Connect
) -> None:
    sender = await link(broker_port, "sender")
    reader = await link(broker_port, "reader", **READER)
    await sender.publish("t/a", b"1")
    old = await take(reader, 1)
    reader.drop("cut")
    await until(lambda: reader.connects == 2 and reader.connected)
    assert reader.ack(old) == 0
    new = await take(reader, 1)
    assert new[0].epoch > old[0].epoch
    assert reader.ack(new) == 1
    assert reader.unacked == 0


async def test_messages_not_yet_taken_are_not_taken_twice_after_a_reconnect(
    broker_port: int, link: Connect
) -> None:
    sender = await link(broker_port, "sender")
    reader = await link(broker_port, "reader", **READER)
    for n in range(5):
        await sender.publish("t/a", b"%d" % n)
    await until(lambda: reader.queued == 5)
    reader.drop("cut")
    await until(lambda: reader.connects == 2 and reader.unacked == 5)
    assert [message.payload for message in await take(reader, 5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert reader.queued == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.real("mosquitto")
async def test_a_batch_does_not_linger_where_the_broker_waits_for_acks(
    mosquitto: Server, link: Connect, protocol: str
) -> None:
    sender = await link(mosquitto.port, "sender")
    reader = await link(mosquitto.port, "reader", **READER, protocol=protocol, window=20)
    total, linger_s = 200, 1.0
    sending = asyncio.gather(*(sender.publish("t/a", b"x") for _ in range(total)))
    got = lingered = 0
    loop = asyncio.get_running_loop()
    while got < total:
        began_s = loop.time()
        batch = await reader.batch(500, linger_s)
        lingered += loop.time() - began_s >= linger_s
        got += len(batch)
        reader.ack(batch)
    await sending
    # Without noticing the full window, each of at least ten batches would linger.
    assert lingered <= 4


@pytest.mark.real("mosquitto")
async def test_a_flood_of_qos_0_waits_at_the_socket_and_not_in_memory(
    mosquitto: Server, link: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "QUEUED_MESSAGES", 1_000)
    sender = await link(mosquitto.port, "sender")
    reader = await link(mosquitto.port, "reader", subscriptions=[("t/#", 0)])
    for _ in range(30):
        for _ in range(200):
            assert sender.post("t/a", b"x" * 400)
        await asyncio.sleep(0.002)
    await until(lambda: reader.paused)
    assert reader.queued < 1_400  # the bound, and what one receive may hold
    assert reader.connected
    got = 0
    async with asyncio.timeout(10):
        while got < 6_000:
            got += len(await reader.batch(500))
    assert not reader.paused


@pytest.mark.real("mosquitto")
async def test_the_broker_killed_and_started_again(mosquitto: Server, link: Connect) -> None:
    seen: list[tuple[LinkState, str]] = []
    reader = await link(
        mosquitto.port, "reader", **READER, on_state=lambda state, why: seen.append((state, why))
    )
    mosquitto.kill()
    await until(lambda: reader.state is LinkState.AWAY)
    assert f"127.0.0.1:{mosquitto.port}" in reader.reason
    with pytest.raises(BrokerError, match="127"):
        await reader.publish("t/x", b"")
    assert not reader.post("t/x", b"")
    mosquitto.start()
    await until(lambda: reader.connected)
    assert reader.connects == 2
    sender = await link(mosquitto.port, "sender")
    await sender.publish("t/a", b"after")
    assert (await take(reader, 1))[0].payload == b"after"
    assert [state for state, _ in seen if state is LinkState.CONNECTED] == [LinkState.CONNECTED] * 2


async def test_a_session_that_the_broker_forgot_is_counted(broker_port: int, link: Connect) -> None:
    reader = await link(broker_port, "reader", **READER)
    assert reader.sessions_lost == 0
    # Another client under the name, with a clean session, wipes it.
    await (await link(broker_port, "reader")).close()
    await until(lambda: reader.connects >= 2 and reader.connected)
    assert reader.sessions_lost == 1


async def test_nobody_there_is_said_and_not_raised() -> None:
    port = free_port()
    async with MqttLink(BrokerAddress("127.0.0.1", port), "x") as away:
        await until(lambda: away.state is LinkState.AWAY)
        assert f"127.0.0.1:{port} cannot be reached: connection refused" in away.reason


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.3)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, MqttLink(BrokerAddress("127.0.0.1", port), "x") as away:
        await until(lambda: away.state is LinkState.AWAY)
        assert "no answer within" in away.reason


async def test_a_server_that_speaks_no_mqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.5)

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 5_000)
        await writer.drain()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, MqttLink(BrokerAddress("127.0.0.1", port), "x") as away:
        await until(lambda: away.state is LinkState.AWAY)
        assert away.reason.isprintable()


@pytest.mark.real("mosquitto")
async def test_a_wrong_password_is_named(mosquitto: Server) -> None:
    config = Path(str(mosquitto.folder)) / "mosquitto.conf"
    passwords = config.with_name("passwords")
    passwords.touch(0o644)
    run(["mosquitto_passwd", "-b", str(passwords), "ann", "right"], check=True, capture_output=True)
    passwords.chmod(0o644)
    mosquitto.kill()
    command = mosquitto.command

    def with_login(port: int) -> list[str]:
        made = command(port)
        text = config.read_text().replace("allow_anonymous true", "allow_anonymous false")
        config.write_text(text + f"password_file {passwords}\n")
        return made

    mosquitto.command = with_login
    mosquitto.start()
    async with MqttLink(BrokerAddress("127.0.0.1", mosquitto.port, False, "ann", "wrong"), "x") as refused:
        await until(lambda: refused.state is LinkState.AWAY)
        assert "check broker.username and broker.password" in refused.reason
        assert "wrong" not in refused.reason
    async with MqttLink(BrokerAddress("127.0.0.1", mosquitto.port, False, "ann", "right"), "x") as taken:
        await until(lambda: taken.connected)


async def test_the_last_will_is_published_when_we_vanish_and_only_then(
    broker_port: int, link: Connect
) -> None:
    ear = await link(broker_port, "ear", subscriptions=[("w/#", 1)])
    leaver = await link(broker_port, "leaver", will=Will("w/leaver", b"gone", retain=False))
    await leaver.close()
    vanisher = await link(broker_port, "vanisher", will=Will("w/vanisher", b"gone", retain=False))
    vanisher.drop("gone")
    assert [(one.topic, one.payload) for one in await take(ear, 1)] == [("w/vanisher", b"gone")]


async def test_closing_leaves_no_task_behind(broker_port: int, link: Connect) -> None:
    before = asyncio.all_tasks()
    made = await link(broker_port, "short")
    await made.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    assert made.state is LinkState.CLOSED


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_message_of_three_megabytes_comes_as_its_head(
    mosquitto: Server, link: Connect, protocol: str
) -> None:
    sender = await link(mosquitto.port, "sender")
    reader = await link(mosquitto.port, "reader", **READER, protocol=protocol)
    await sender.publish("t/big", b"x" * 3_000_000)
    await sender.publish("t/small", b"y")
    big, small = await take(reader, 2)
    assert (big.topic, len(big.payload), big.size) == ("t/big", 65_536, 3_000_000)
    assert small.payload == b"y"
    assert reader.ack([big, small]) == 2


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_two_clients_of_one_name_are_told_so_and_come_back_ever_later(
    mosquitto: Server, link: Connect, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """This broker tells no reason in MQTT 5 either."""
    word = "another program seems to use our client id same, too"
    monkeypatch.setattr(link_module, "BACKOFF_MIN_S", 0.01)
    monkeypatch.setattr(link_module, "CONTESTED_MIN_S", 0.02)
    monkeypatch.setattr(link_module, "CONTESTED_MAX_S", 0.3)
    said: list[str] = []
    options: dict[str, Any] = {"protocol": protocol, "on_state": lambda state, why: said.append(why)}
    two = [await link(mosquitto.port, "same", **options, **READER) for _ in range(2)]
    await until(lambda: all(word in one.contested and one._contested.limit_s > 0.2 for one in two))
    assert any(f"was lost: {word}" in why for why in said)
    assert all(one.takeovers >= 2 for one in two)
    await two[1].close()
    await until(lambda: two[0].connected)
    assert word in two[0].contested, "for a minute"


def test_what_looks_like_a_takeover_and_what_does_not() -> None:
    clock = ManualClock()
    takeovers = Takeovers("x", clock.monotonic)

    def end(*, comes_back: bool, after_s: float = 5.0) -> None:
        takeovers.connected()
        clock.advance(after_s)
        takeovers.ended(stated=False, unexplained=True)
        if not comes_back:
            takeovers.ended(stated=False, unexplained=False)  # an attempt that failed: a restart, a network

    for _ in range(9):
        end(comes_back=False)
    assert (takeovers.reason, takeovers.count) == ("", 0)
    for _ in range(4):
        end(comes_back=True)
    assert "the broker ended the connection 3 times in a minute and gave no reason" in takeovers.reason
    assert takeovers.count == 3
    clock.advance(50.0)
    assert takeovers.reason
    clock.advance(10.0)
    assert takeovers.reason == ""
    takeovers.ended(stated=True, unexplained=False)
    assert takeovers.reason == "another program took our client id x over (once in a minute)"
    clock.advance(60.0)
    for _ in range(4):
        end(comes_back=True, after_s=0.5)
    assert "too, or this login may not publish: the broker ended" in takeovers.reason


@pytest.mark.real("mosquitto")
@pytest.mark.real("openssl")
async def test_over_tls_with_the_certificate_checked(mosquitto: Server) -> None:
    folder = Path(str(mosquitto.folder))
    key, certificate = folder / "key.pem", folder / "cert.pem"
    run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key),
         "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o644)
    mosquitto.kill()
    command = mosquitto.command

    def with_tls(port: int) -> list[str]:
        made = command(port)
        config = folder / "mosquitto.conf"
        config.write_text(config.read_text() + f"certfile {certificate}\nkeyfile {key}\n")
        return made

    mosquitto.command = with_tls
    mosquitto.start()
    settings = BrokerSettings(url=f"mqtts://127.0.0.1:{mosquitto.port}", tls_ca_file=str(certificate))
    async with (
        MqttLink.from_settings(settings, "reader", **READER) as reader,
        MqttLink.from_settings(settings, "sender") as sender,
        MqttLink.from_settings(replace(settings, tls_ca_file=""), "doubter") as doubter,
    ):
        await until(lambda: reader.connected and sender.connected)
        # Larger than one TLS record, and many at once: what is decrypted must not wait for the next packet.
        await asyncio.gather(*(sender.publish("t/a", b"x" * 50_000) for _ in range(20)))
        assert [len(message.payload) for message in await take(reader, 20)] == [50_000] * 20
        await until(lambda: doubter.state is LinkState.AWAY)
        assert "certificate" in doubter.reason
