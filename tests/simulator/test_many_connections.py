"""Thousands of connections of one process: what they share, and how they are made."""

from __future__ import annotations

import asyncio
import re
import ssl
from asyncio.sslproto import SSLProtocol
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from iotcache.mqtt.websocket import open_transport
from iotcache_simulator.publish import partition
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire import connection
from iotcache_simulator.wire.certificates import TestAuthority
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server
from tests.simulator.conftest import Strict

pytestmark = pytest.mark.real("mosquitto")

DEVICES = 12
FLEET = FleetSpec(devices=DEVICES, rate=100, duration_s=0.3, own_connections=True, connections=DEVICES)


class Transports:
    """Counts the connections that are being made at a time; each takes ``longer_s`` more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at_a_time: int, longer_s: float = 0.0) -> None:
        self.now = self.most = 0
        self._open = open_transport
        self._longer_s = longer_s
        monkeypatch.setattr(connection, "open_transport", self._counted)
        monkeypatch.setattr(partition, "CONNECTING", at_a_time)

    async def _counted(self, *args: Any, **options: Any) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self._longer_s)
            await self._open(*args, **options)
        finally:
            self.now -= 1


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """Certificates for a broker and for each device of the fleet."""
    folder = tmp_path / "pki"
    authority = TestAuthority(folder)
    authority.server(["127.0.0.1"])
    for name in roster_of(FLEET).names:
        authority.device(name)
    return folder


def secured(strict: Strict, pki: Path) -> tuple[Server, Path, FleetSpec, BrokerSettings]:
    log = pki / "broker.log"
    broker = strict(
        f"log_dest file {log}\nlog_type all\ncafile {pki}/ca.crt\ncertfile {pki}/server.crt\n"
        f"keyfile {pki}/server.key\nrequire_certificate true\nuse_identity_as_username true"
    )
    spec = msgspec.structs.replace(FLEET, cert_dir=str(pki / "devices"))
    return broker, log, spec, BrokerSettings(url=f"mqtts://{broker.address}", tls_ca_file=f"{pki}/ca.crt")


async def test_devices_with_a_certificate_each_share_all_else_and_connect_a_few_at_a_time(
    strict: Strict, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, log, spec, settings = secured(strict, pki)
    read: list[str] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *args: Any, **options: Any) -> None:
        read.append(str(args or options))
        load(context, *args, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)  # as it was, after the test
    transports = Transports(monkeypatch, 4)
    outcome = await FleetRun(spec, target_of(settings, spec.cert_dir)).run()
    assert outcome.report.confirmed == outcome.report.planned > 0, outcome.unreachable
    users = re.findall(r"as iotcache-sim\S+ \(.*u'(.*)'\)", log.read_text())
    assert sorted(users) == sorted(roster_of(FLEET).names)
    assert len(read) == 2, "the authority: for devices, and for connections that are nobody's"
    # That of the counters is not one of the fleet's.
    assert transports.most <= 4 + 1
    assert SSLProtocol.max_size == 16 * 1024


async def test_a_certificate_that_is_missing_or_unusable_is_named(strict: Strict, pki: Path) -> None:
    _, _, spec, settings = secured(strict, pki)
    spec = msgspec.structs.replace(spec, connect_timeout_s=1.0)
    name = roster_of(FLEET).names[3]
    certificate, key = pki / "devices" / f"{name}.crt", pki / "devices" / f"{name}.key"
    for file, content, why in (
        (key, (pki / "server.key").read_bytes(), "the key beside it belongs to another certificate"),
        (certificate, b"text", "it and the key beside it must be in PEM format"),
    ):
        file.write_bytes(content)
        outcome = await FleetRun(spec, target_of(settings, spec.cert_dir)).run()
        assert outcome.report.ended_by == "unreachable"
        assert f"{certificate} cannot be used: {why}" in outcome.unreachable
    certificate.unlink()
    with pytest.raises(ConfigError, match=f"{name}.crt cannot be used: No such file"):
        FleetRun(spec, target_of(settings, spec.cert_dir))


async def test_connections_may_take_their_time_while_more_of_them_come(
    mosquitto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = msgspec.structs.replace(FLEET, connect_timeout_s=0.4)
    transports = Transports(monkeypatch, 1, longer_s=0.05)  # 0.6 s for all of them
    outcome = await FleetRun(spec, target_of(BrokerSettings(url=f"mqtt://{mosquitto.address}"))).run()
    assert outcome.report.confirmed == outcome.report.planned > 0, outcome.unreachable
    assert transports.most <= 1 + 1
