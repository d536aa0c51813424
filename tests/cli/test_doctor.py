"""The doctor against servers that are there and servers that are not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iotcache.cluster import Cluster, SetItem
from iotcache.cluster.capability import SECURE, is_older
from iotcache.config import Settings, load
from iotcache.config.schema import BrokerSettings, CacheSettings, StoreSettings
from iotcache.config.urls import parse_node
from iotcache.published_stats import IngestStats
from iotcache.store import open_store
from iotcache_tui.checks.base import Finding
from iotcache_tui.checks.config import check_config
from iotcache_tui.checks.running import check_running, worker_findings
from iotcache_tui.checks.servers import check_broker, check_nodes
from iotcache_tui.checks.store import check_store
from iotcache_tui.state.updates import Worker
from tests.cli.conftest import TUI
from tests.cli.test_main import ENVIRONMENT
from tests.conforming import conforming
from tests.conftest import Server, free_port
from tests.store.conftest import PASSWORD, Postgres, postgres

__all__ = ["postgres"]
RunHere = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.real("memcached", "mosquitto")
def test_all_is_well_against_real_servers(
    memcached: Server, mosquitto: Server, tmp_path: Path, run_here: RunHere
) -> None:
    done = run_here(
        "doctor", "--json", "--broker", f"mqtt://{mosquitto.address}", "--nodes", memcached.address,
        "--store", f"sqlite:///{tmp_path}/x.db",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {finding["what"]: finding for finding in conforming("doctor", done.stdout)}
    assert found["broker"]["level"] == "ok"
    assert "memcached" in found[f"node {memcached.address}"]["found"]
    assert found["store"]["level"] == "ok"


@contextlib.contextmanager
def proxy_without_meta(version: bytes, refusal: bytes | None) -> Iterator[int]:
    """What answers as mcrouter does (a version, and ERROR to what it does not know), or as twemproxy, which
    ends the connection instead."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if line.strip() == b"version":
                    self.wfile.write(version)
                elif refusal is None:
                    return
                else:
                    self.wfile.write(refusal)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.real("memcached")
async def test_a_proxy_that_knows_no_meta_commands_is_told_of_and_old_versions_once(
    memcached: Server,
) -> None:
    with (
        proxy_without_meta(b"VERSION 38.0.0 mcrouter\r\n", b"ERROR\r\n") as mcrouter,
        proxy_without_meta(b"VERSION 0.5.0\r\n", None) as twemproxy,
    ):
        nodes = (f"127.0.0.1:{mcrouter}", f"127.0.0.1:{twemproxy}", memcached.address)
        findings = await check_nodes(Settings(cache=CacheSettings(nodes=nodes, connect_timeout_s=0.2)))
    told = {finding.what: finding for finding in findings}
    for proxy, answer in ((nodes[0], "ERROR"), (nodes[1], "nothing")):
        assert told[f"node {proxy}"].level == "fail"
        assert f"to mn: {answer}" in told[f"node {proxy}"].found
        assert "memcached's own" in told[f"node {proxy}"].mend
    assert told[f"node {memcached.address}"].level != "fail"
    old = [finding for finding in findings if finding.what == "memcached"]
    assert len(old) == is_older(_version(memcached), SECURE)
    assert is_older("1.6.44", SECURE) and not is_older("1.6.45", SECURE) and not is_older("?", SECURE)


@pytest.mark.real("memcached")
async def test_a_proxy_that_hands_meta_commands_on_is_a_node_like_any_other(memcached: Server) -> None:
    """As memcached's own proxy does with a route to one pool; it lists no keys."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", memcached.port)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    if data.startswith(b"lru_crawler"):
                        writer.write(b"ERROR\r\n")
                        continue
                    target.write(data)
            target.close()

        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))

    async with await asyncio.start_server(hand_on, "127.0.0.1", 0) as proxy:
        nodes = (f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}",)
        settings = CacheSettings(nodes=nodes)
        findings = await check_nodes(Settings(cache=settings))
        assert [one.level for one in findings if one.what.startswith("node ")] != ["fail"]
        async with Cluster.from_settings([parse_node(nodes[0])], settings) as cluster:
            assert (await cluster.set_many([SetItem("k", b"v", 0, 60)]))[0].ok
            assert (await cluster.get_many(["k"]))[0].value == b"v"


PLACEMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "list": ({"nodes": ("{a}",)}, "node {b} only by worker w1"),
    "weights": ({"nodes": ("{a}=3", "{b}")}, "weight of node {a}: 3 here, 1 by worker w1"),
    "prefix": ({"prefix": "other:"}, "prefix “other:” here, “” by worker w1"),
    "scheme": ({"placement": "rendezvous"}, "rendezvous here, ketama by worker w1"),
}


@pytest.mark.real("memcached", "mosquitto")
async def test_each_way_to_place_keys_otherwise_than_a_worker_is_told(
    memcached_factory: Callable[..., Server], mosquitto: Server, tmp_path: Path
) -> None:
    a, b = memcached_factory().address, memcached_factory().address
    broker, store = f"mqtt://{mosquitto.address}", f"sqlite:///{tmp_path}/x.db"
    worker = subprocess.Popen(
        [*TUI, "ingest", "--broker", broker, "--nodes", f"{a},{b}", "--store", store, "--instance", "w1"],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    async def told(**cache: Any) -> str:
        cache = {"nodes": ("{a}", "{b}"), **cache}
        cache["nodes"] = tuple(node.format(a=a, b=b) for node in cache["nodes"])
        settings = Settings(broker=BrokerSettings(url=broker), cache=CacheSettings(**cache))
        found = await check_running(settings)
        return " ".join(one.found for one in found if "placed" in one.what or "config" in one.what)

    try:
        async with asyncio.timeout(30):
            while not any("w1" in one.found or "1 worker heard" in one.found for one in await check_running(
                Settings(broker=BrokerSettings(url=broker), cache=CacheSettings(nodes=(a, b)))
            )):  # fmt: skip
                pass
        answers = await asyncio.gather(*(told(**changes) for changes, _ in PLACEMENTS.values()), told())
    finally:
        worker.kill()
        worker.wait(10)
    for (_, wanted), answer in zip(PLACEMENTS.values(), answers, strict=False):
        assert wanted.format(a=a, b=b) in answer
    assert "here" not in answers[-1]


def _version(server: Server) -> str:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"version\r\n")
        return connection.recv(100).decode()


def test_each_dead_server_is_named_with_how_to_mend_it(tmp_path: Path, run_here: RunHere) -> None:
    broker, node = free_port(), free_port()
    done = run_here(
        "doctor", "--broker", f"mqtt://127.0.0.1:{broker}", "--nodes", f"127.0.0.1:{node}",
        "--store", f"sqlite:///{tmp_path}/none/x.db",
    )  # fmt: skip
    assert done.returncode == 1
    text = done.stdout
    assert "FAIL  broker" in text
    assert f"FAIL  node 127.0.0.1:{node}" in text
    assert "FAIL  store" in text
    assert "start it" in text
    assert "3 problems" in text


@contextlib.contextmanager
def mute_server() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def test_servers_that_hang_are_given_up(tmp_path: Path, run_here: RunHere) -> None:
    with mute_server() as broker, mute_server() as node, mute_server() as database:
        done = run_here(
            "doctor", "--broker", f"mqtt://127.0.0.1:{broker}", "--nodes", f"127.0.0.1:{node}",
            "--store", f"postgresql://iot@127.0.0.1:{database}/x",
        )  # fmt: skip
    assert done.returncode == 1
    assert "3 problems" in done.stdout
    assert done.stderr == ""


@pytest.mark.real("memcached")
def test_an_interrupted_check_ends_quietly(memcached: Server, tmp_path: Path) -> None:
    with mute_server() as broker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "iotcache_tui", "doctor", "--broker", f"mqtt://127.0.0.1:{broker}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=ENVIRONMENT,
        )  # fmt: skip
        time.sleep(1.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == b""
    assert out == b""


def test_parts_that_there_are_not_are_no_problem(run_here: RunHere) -> None:
    done = run_here("doctor", "--broker", "none", "--store", "none", "--nodes", f"127.0.0.1:{free_port()}")
    assert "1 problem," in done.stdout, "the node alone"
    assert not [line for line in done.stdout.splitlines() if "embedded" in line]
    absent = Settings(broker=BrokerSettings(url="none"), store=StoreSettings(url="none"))
    for check in (check_broker, check_store):
        assert asyncio.run(check(absent)) == []


def checked(settings_url: str, password: str = "") -> Finding:
    settings = Settings(store=StoreSettings(url=settings_url, password=password))
    (finding,) = asyncio.run(check_store(settings))
    return finding


def test_a_sqlite_file_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    url = f"sqlite:///{path}"
    assert checked(url).level == "ok"
    assert not path.exists()

    async def make() -> None:
        async with open_store(StoreSettings(url=url)):
            pass

    asyncio.run(make())
    finding = checked(url)
    assert finding.level == "ok"
    assert "0 readings" in finding.found
    assert "WAL" in finding.found
    assert checked(f"sqlite:///{tmp_path}").level == "fail"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    finding = checked(url)
    assert finding.level == "fail"
    assert finding.mend


@pytest.mark.real("postgres")
def test_a_database_is_looked_at_and_left_alone(postgres: Postgres) -> None:
    finding = checked(postgres.url, PASSWORD)
    assert finding.level == "ok"
    assert "first ingest worker" in finding.found
    with postgres.connect() as connection:
        row = connection.execute("SELECT to_regnamespace('iotcache')").fetchone()
    assert row == (None,)
    wrong = checked(postgres.url, "wr0ng")
    assert wrong.level == "fail"
    assert "wr0ng" not in wrong.found

    async def make() -> None:
        async with open_store(StoreSettings(url=postgres.url, password=PASSWORD)) as store:
            await store.commit([], [])
            await store.counts()

    asyncio.run(make())
    assert "0 readings" in checked(postgres.url, PASSWORD).found


@pytest.mark.real("memcached")
def test_a_node_of_small_items_is_told_of(
    memcached_factory: Callable[..., Server], tmp_path: Path, run_here: RunHere
) -> None:
    small = memcached_factory("-I", "512k")
    done = run_here("doctor", "--json", "--nodes", small.address, "--broker", "mqtt://127.0.0.1:1")
    found = {finding["what"]: finding for finding in conforming("doctor", done.stdout)}
    assert found[f"node {small.address}"]["level"] == "warn"


def test_what_workers_left_out_is_told_of() -> None:
    stats = IngestStats(conflicts=3, nothing_in_it=2, last_nothing_in_it="m/empty")
    findings = list(worker_findings([Worker("w", 1.0, stats), Worker("x", 1.0, IngestStats(conflicts=1))]))
    assert [(one.level, one.found.partition(" ")[0]) for one in findings] == [
        ("ok", "2"), ("warn", "4"), ("warn", "2")
    ]  # fmt: skip
    assert "m/empty" in findings[-1].found
    assert "deadletter list" in findings[1].mend


def test_secrets_that_all_may_read_are_told_of(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "mine.toml"
    secret.write_text("hush\n")
    file.write_text("[store]\nurl = 'postgresql://me:hush@h/d'\n[http]\ntoken_file = 'secret'\n")
    secret.chmod(0o644)
    file.chmod(0o644)

    def told(cwd: Path) -> list[str]:
        os.chdir(cwd)
        return [
            one.found for one in check_config(load(config_file=str(file), environ={})) if one.level == "warn"
        ]

    before = Path.cwd()
    try:
        assert len(told(tmp_path)) == 2
        secret.chmod(0o600)
        file.chmod(0o600)
        assert told(tmp_path) == []
    finally:
        os.chdir(before)


def test_a_broken_configuration_is_a_finding(tmp_path: Path, run_here: RunHere) -> None:
    (tmp_path / "config.toml").write_text("[broker]\nulr = 1\n")
    done = run_here("doctor")
    assert done.returncode == 1
    assert "did you mean broker.url" in done.stdout


def test_embedded_without_memcached_warns_and_does_not_fail(tmp_path: Path, run_here: RunHere) -> None:
    done = run_here("doctor", PATH="/nonexistent")
    assert done.returncode == 0
    assert "bundled" in done.stdout
    assert "warn  embedded nodes" in done.stdout
