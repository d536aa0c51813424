"""A broker that asks for client certificates: with one the fleet publishes, without one it says why not."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from iotcache.mqtt.link import MqttLink
from iotcache.mqtt.tls import broker_tls
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server, program

pytestmark = pytest.mark.real("mosquitto")


def certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself and its key, in that order."""
    made, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "1", "-subj", f"/CN={name}",
         *more, "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    return made, key


async def test_a_fleet_shows_its_certificate_and_without_one_is_told_why_it_stays_out(tmp_path: Path) -> None:
    broker, broker_key = certificate(tmp_path, "broker", "-addext", "subjectAltName=IP:127.0.0.1")
    fleet, fleet_key = certificate(tmp_path, "fleet")
    stranger, stranger_key = certificate(tmp_path, "stranger")
    path = program("mosquitto")
    assert path is not None
    config = tmp_path / "m.conf"

    def command(port: int) -> list[str]:
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\ncertfile {broker}\n"
            f"keyfile {broker_key}\ncafile {fleet}\nrequire_certificate true\nuse_identity_as_username true\n"
        )
        return [path, "-c", str(config)]

    def settings(cert: Path | None, key: Path | None, authority: Path = broker) -> BrokerSettings:
        return BrokerSettings(
            url=f"mqtts://127.0.0.1:{server.port}", tls_ca_file=str(authority),
            tls_cert_file=str(cert or ""), tls_key_file=str(key or ""),
        )  # fmt: skip

    spec = FleetSpec(devices=10, rate=200, duration_s=0.5, connect_timeout_s=0.4, connections=3)
    server = Server(command)
    try:
        report = (await FleetRun(spec, target_of(settings(fleet, fleet_key))).run()).report
        assert report.ended_by == "duration"
        assert report.confirmed == report.planned > 0
        # Where the broker's reset overtakes its alert, nobody is told more than this.
        hung_up = "or does it want another broker.tls_cert_file?"
        for wrong, why in (
            (settings(None, None), "it wants a client certificate: set broker.tls_cert_file"),
            (settings(stranger, stranger_key), "it does not trust the authority behind broker.tls_cert_file"),
            (settings(fleet, fleet_key, stranger), "its certificate is not trusted: "),
            (msgspec.structs.replace(settings(fleet, fleet_key), url=f"mqtt://127.0.0.1:{server.port}"),
             "is that a port for mqtts://?"),
        ):  # fmt: skip
            outcome = await FleetRun(spec, target_of(wrong)).run()
            assert outcome.report.ended_by == "unreachable"
            assert outcome.report.published == 0
            assert why in outcome.unreachable or hung_up in outcome.unreachable
            reasons: asyncio.Queue[str] = asyncio.Queue()
            link = MqttLink.from_settings(
                wrong, "worker", on_state=lambda state, reason, report=reasons: report.put_nowait(reason)
            )
            async with link:
                reason = await reasons.get()
                assert why in reason or hung_up in reason
    finally:
        server.kill()


def test_unusable_files_are_named(tmp_path: Path) -> None:
    one, one_key = certificate(tmp_path, "one")
    _, other_key = certificate(tmp_path, "other")
    text = tmp_path / "text"
    text.write_text("no certificate")
    for ca, cert, key, why in (
        (text, one, one_key, "broker.tls_ca_file cannot be used: it holds no certificate in PEM format"),
        (one, one, other_key, "the key in broker.tls_key_file belongs to another certificate"),
        (one, text, one_key, "it and broker.tls_key_file must be in PEM format"),
    ):
        settings = BrokerSettings(tls_ca_file=str(ca), tls_cert_file=str(cert), tls_key_file=str(key))
        with pytest.raises(ConfigError, match=re.escape(why)):
            broker_tls(settings)
