"""How a fleet connects: certificates of its own authority, passwords of a file, and MQTT over WebSockets."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from iotcache.config.schema import BrokerSettings
from iotcache.config.urls import parse_broker
from iotcache.errors import ConfigError, UsageError
from iotcache.mqtt.websocket import WebSocketClient
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire.certificates import TestAuthority
from iotcache_simulator.wire.target import target_of
from iotcache_tui.cli.main import main
from tests.conftest import Server, free_port
from tests.simulator.conftest import Strict

FLEET = FleetSpec(devices=6, rate=100, duration_s=0.5, own_connections=True, connections=6, lifecycle=True)


@pytest.mark.real("mosquitto")
async def test_each_device_shows_its_own_certificate_over_tls_and_over_websockets(
    strict: Strict, tmp_path: Path
) -> None:
    assert main(["simulate", "certs", str(tmp_path / "pki"), "--devices", "6"]) == 0
    pki, log, plain, secure = tmp_path / "pki", tmp_path / "broker.log", free_port(), free_port()
    tls = (
        f"cafile {pki}/ca.crt\ncertfile {pki}/server.crt\nkeyfile {pki}/server.key\n"
        "require_certificate true\nuse_identity_as_username true\n"
    )
    broker = strict(
        f"log_dest file {log}\nlog_type all\n{tls}"
        f"listener {plain} 127.0.0.1\nprotocol websockets\n"
        f"listener {secure} 127.0.0.1\nprotocol websockets\n{tls}"
    )
    for url in (f"mqtts://{broker.address}", f"wss://localhost:{secure}/any/path", f"ws://127.0.0.1:{plain}"):
        settings = BrokerSettings(url=url)
        spec = FLEET
        if not url.startswith("ws://"):
            heard_by = pki / "devices" / "pump-0001"
            settings = BrokerSettings(
                url=url,
                tls_ca_file=f"{pki}/ca.crt",
                tls_cert_file=f"{heard_by}.crt",
                tls_key_file=f"{heard_by}.key",
            )
            spec = msgspec.structs.replace(FLEET, cert_dir=str(pki / "devices"))
        async with Verification(VerifyTargets(mqtt=True), spec, settings, settle_s=0.2) as places:
            outcome = await FleetRun(spec, target_of(settings, spec.cert_dir)).run(places.begin)
            report = await places.judged(outcome.report, outcome.horizons)
        assert report.ended_by == "duration", outcome.unreachable
        assert report.ledger is not None
        assert report.ledger.mqtt is not None
        assert report.confirmed == report.planned == report.ledger.mqtt.received > 0, url
    users = re.findall(r"as iotcache-sim\S+ \(.*u'(.*)'\)", log.read_text())
    assert len(users) == 2 * len(set(users)) == 12


@pytest.mark.real("mosquitto")
async def test_each_user_has_the_password_of_the_file(strict: Strict, tmp_path: Path) -> None:
    passwords, hashed = tmp_path / "passwords", tmp_path / "hashed"
    names = ("cold-0001", "hvac-0001", "pump-0001")
    passwords.write_text("".join(f"{name}:secret-{name}\n" for name in names))
    shutil.copy(passwords, hashed)
    subprocess.run(["mosquitto_passwd", "-U", str(hashed)], check=True, timeout=20)
    broker = strict(f"password_file {hashed}\nallow_anonymous false")
    settings = BrokerSettings(url=f"mqtt://{broker.address}")
    spec = msgspec.structs.replace(
        FLEET, devices=3, connections=3, user="{device}", password_file=str(passwords), stats=False
    )
    fleet = FleetRun(spec, target_of(settings, password_file=spec.password_file))
    assert {uplink.target.username for uplink in fleet.partition.uplinks} == set(names)
    assert (await fleet.run()).report.confirmed > 0
    passwords.write_text(passwords.read_text().replace("secret", "wrong"))
    spec = msgspec.structs.replace(spec, connect_timeout_s=0.3)
    outcome = await FleetRun(spec, target_of(settings, password_file=spec.password_file)).run()
    assert "not allowed" in outcome.unreachable
    passwords.write_text("hvac-0001:x\n")
    with pytest.raises(ConfigError, match="has no password of 'cold-0001'"):
        FleetRun(spec, target_of(settings, password_file=spec.password_file))


@pytest.mark.real("mosquitto")
async def test_what_is_no_websocket_is_told_in_a_sentence(mosquitto: Server) -> None:
    spec = msgspec.structs.replace(FLEET, connect_timeout_s=0.3)
    outcome = await FleetRun(spec, target_of(BrokerSettings(url=f"ws://{mosquitto.address}"))).run()
    assert "is that a port for ws:// or wss://?" in outcome.unreachable


class Memory(asyncio.Transport):
    """A wire whose other end reads what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.is_ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_ended


class Above(asyncio.Protocol):
    """What MQTT would be."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), min_size=1), st.booleans())
def test_wherever_frames_and_reads_are_cut_the_bytes_of_mqtt_are_the_same(
    payloads: list[bytes], cuts: list[int], is_in_pieces: bool
) -> None:
    async def run() -> None:
        wire, above, server = Memory(), Above(), ServerProtocol(subprotocols=["mqtt"])  # type: ignore[list-item]
        client = WebSocketClient(above, "ws://localhost:1/mqtt")
        client.connection_made(wire)
        server.receive_data(bytes(wire.written))
        (request,) = server.events_received()
        assert isinstance(request, Request)
        assert (request.path, request.headers["Sec-WebSocket-Protocol"]) == ("/mqtt", "mqtt")
        server.send_response(server.accept(request))
        for payload in payloads:
            if is_in_pieces and len(payload) > 1:
                server.send_binary(payload[:1], fin=False)
                server.send_ping(b"x")
                server.send_continuation(payload[1:], fin=True)
            else:
                server.send_binary(payload)
        sent = b"".join(server.data_to_send())
        at = 0
        while at < len(sent):
            for cut in cuts:
                client.data_received(sent[at : at + cut])
                at += cut
                if at >= len(sent):
                    break
        assert bytes(above.received) == b"".join(payloads)
        assert above.transport is not None
        wire.written.clear()
        above.transport.write(b"answer")
        server.receive_data(bytes(wire.written))
        frames = [frame for frame in server.events_received() if isinstance(frame, Frame)]
        assert [frame.data for frame in frames if frame.opcode is Opcode.BINARY] == [b"answer"]
        server.send_text(b"no MQTT")
        client.data_received(b"".join(server.data_to_send()))
        assert wire.is_ended

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "tls"),
    [("ws://b", "b", 80, "/mqtt", False), ("wss://b:9/", "b", 9, "/mqtt", True),
     ("wss://u:p@b/ws?x=1", "b", 443, "/ws?x=1", True), ("mqtts://b", "b", 8883, "", True)],
)  # fmt: skip
def test_urls_of_websockets(url: str, host: str, port: int, path: str, tls: bool) -> None:
    address = parse_broker(url)
    assert (address.host, address.port, address.path, address.tls) == (host, port, path, tls)


def test_an_authority_is_kept_and_a_name_that_is_no_file_is_refused(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    assert authority.device("a")
    made = (tmp_path / "ca.crt").read_bytes(), (tmp_path / "devices" / "a.crt").read_bytes()
    again = TestAuthority(tmp_path)
    assert not again.device("a")
    assert made == ((tmp_path / "ca.crt").read_bytes(), (tmp_path / "devices" / "a.crt").read_bytes())
    assert (tmp_path / "devices" / "a.key").stat().st_mode & 0o077 == 0
    for name in ("../a", "", ".", "x" * 65):
        with pytest.raises(UsageError, match="cannot be the name of a certificate"):
            again.device(name)
    (tmp_path / "ca.key").write_text("no key")
    with pytest.raises(ConfigError, match="no authority"):
        TestAuthority(tmp_path)


def test_certificates_need_tls() -> None:
    with pytest.raises(ConfigError, match="mqtts:// or wss://"):
        target_of(BrokerSettings(url="mqtt://127.0.0.1:1"), "x")
