"""The doctor against servers that are there and servers that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_main import run
from tests.conftest import Server, free_port


@pytest.mark.real("memcached", "mosquitto")
def test_all_is_well_against_real_servers(memcached: Server, mosquitto: Server, tmp_path: Path) -> None:
    done = run(
        "doctor", "--json", "--broker", f"mqtt://{mosquitto.address}", "--nodes", memcached.address,
        "--store", f"sqlite:///{tmp_path}/x.db", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert found["broker"]["level"] == "ok"
    assert "memcached" in found[f"node {memcached.address}"]["found"]
    assert found["store"]["level"] == "ok"


def test_each_dead_server_is_named_with_how_to_mend_it(tmp_path: Path) -> None:
    broker, node = free_port(), free_port()
    done = run(
        "doctor", "--broker", f"mqtt://127.0.0.1:{broker}", "--nodes", f"127.0.0.1:{node}",
        "--store", f"sqlite:///{tmp_path}/none/x.db", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    text = done.stdout
    assert "FAIL  broker" in text
    assert f"FAIL  node 127.0.0.1:{node}" in text
    assert "FAIL  store" in text
    assert "start it" in text
    assert "3 problems" in text


def test_a_broken_configuration_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[broker]\nulr = 1\n")
    done = run("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "did you mean broker.url" in done.stdout


def test_embedded_without_memcached_warns_and_does_not_fail(tmp_path: Path) -> None:
    done = run("doctor", cwd=tmp_path, PATH="/nonexistent")
    assert done.returncode == 0
    assert "bundled" in done.stdout
    assert "warn  embedded nodes" in done.stdout
