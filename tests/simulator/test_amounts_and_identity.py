"""An exact number of messages, their size, the names of connections, and files without a broker."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from iotcache.errors import UsageError
from iotcache_simulator.publish.identity import check_identity
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_tui.cli.main import main
from tests.simulator.conftest import Strict
from tests.simulator.test_publishing import Subscribe
from tests.simulator.test_simulate_command import simulate, url

FLEET = ("--devices", "20", "--rate", "1000", "--count", "333", "--seed", "3", "--report", "-")


@pytest.mark.real("mosquitto")
def test_so_many_messages_of_that_size_are_sent_by_clients_of_these_names(
    strict: Strict, subscribe: Subscribe, tmp_path: Path
) -> None:
    log = tmp_path / "broker.log"
    broker = strict(f"log_dest file {log}\nlog_type all")
    listener = subscribe(broker)
    done = simulate(
        "--broker", url(broker), *FLEET, "--pad", "300", "--connections", "devices", "--ramp", "0.3",
        "--client-id", "sensor-{device}", "--user", "{class}", "--verify", "mqtt", folder=tmp_path,
    )  # fmt: skip
    received = listener.received()
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["count"]) == (0, True, 333), done.stderr
    assert report["planned"] == report["ledger"]["expected"] == len(received) == 333
    assert {len(payload) for _, payload in received} == {300}
    assert all(json.loads(payload)["seq"] for _, payload in received)
    clients = re.findall(r"as sensor-(\S+) \(.*u'(.*)'\)", log.read_text())
    assert len(clients) == 20
    assert ("pump-0001", "pump") in clients


def spec(**fields: object) -> FleetSpec:
    return FleetSpec(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"client_id": "x", "connections": 2}, "throw each other out"),
        ({"client_id": "x-{connection}", "connections": 2, "processes": 2}, "throw each other out"),
        ({"client_id": "{tag}", "connections": 2}, "throw each other out"),
        ({"client_id": "{device}", "connections": 2}, "needs --connections devices"),
        ({"client_id": "{name}", "own_connections": True}, "there is no {name}"),
        ({"cert_dir": "x"}, "needs --connections devices"),
    ],
)
def test_templates_that_cannot_be_filled_or_tell_nobody_apart_are_refused(
    fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        check_identity(spec(**fields))


def test_templates_that_tell_connections_apart_are_taken() -> None:
    check_identity(spec(client_id="x"))
    check_identity(spec(client_id="x-{connection}", connections=9))
    check_identity(spec(client_id="{tag}-{connection}", connections=9, processes=3))
    check_identity(spec(client_id="x-{device}", own_connections=True, connections=9, processes=3))


def test_a_fleet_is_written_to_a_file_with_one_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    digests = set()
    for file in ("all.csv", "all.ndjson"):
        assert main(["simulate", *FLEET, "-o", file]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["planned"], report["broker"]) == (333, file)
        digests.add(report["digest"])
    assert len(digests) == 1
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    head, *lines = (json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines())
    assert head["schema"] == "iotcache.capture/1"
    assert len(rows) == len(lines) == 333
    for row, line in zip(rows, lines, strict=True):
        payload = json.loads(line["payload"])
        assert line["topic"] == f"iot/{row['site']}/{row['device']}/{row['sensor']}"
        assert [row["unit"], int(row["seq"])] == [payload["unit"], payload["seq"]]
        shown = payload["value"]
        assert row["value"] == (shown if isinstance(shown, str) else json.dumps(shown).lower()) or (
            float(row["value"]) == shown
        )


@pytest.mark.parametrize(
    "flags",
    [("-o", "x.txt", "--count", "1"), ("-o", "x.csv"), ("-o", "x.csv", "--count", "1", "--verify", "mqtt"),
     ("--count", "9", "--processes", "2"), ("--pad", "9", "--format", "cbor", "--duration", "1")],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(flags: tuple[str, ...]) -> None:
    assert main(["simulate", *flags, "--broker", "mqtt://127.0.0.1:1"]) == 2
