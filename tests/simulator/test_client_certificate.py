"""A broker that asks for client certificates: with one the fleet publishes, without one it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iotcache.config.schema import BrokerSettings
from simulator.publish.run import FleetRun
from simulator.publish.spec import FleetSpec
from simulator.wire.target import target_of
from tests.conftest import Server, program

pytestmark = pytest.mark.real("mosquitto")


def certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself and its key, in that order."""
    made, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}",
         *more, "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    return made, key


async def test_a_fleet_shows_its_certificate_and_without_one_stays_out(tmp_path: Path) -> None:
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

    def settings(cert: Path | None, key: Path | None) -> BrokerSettings:
        return BrokerSettings(
            url=f"mqtts://127.0.0.1:{server.port}", tls_ca_file=str(broker),
            tls_cert_file=str(cert or ""), tls_key_file=str(key or ""),
        )  # fmt: skip

    spec = FleetSpec(devices=10, rate=200, duration_s=0.5, connect_timeout_s=1.0, connections=3)
    server = Server(command)
    try:
        told = (await FleetRun(spec, target_of(settings(fleet, fleet_key))).run()).report
        assert told.ended_by == "duration"
        assert told.confirmed == told.planned > 0
        for cert, key in ((None, None), (stranger, stranger_key)):
            outcome = await FleetRun(spec, target_of(settings(cert, key))).run()
            assert outcome.report.ended_by == "unreachable"
            assert outcome.report.published == 0
    finally:
        server.kill()
