"""A ring that becomes what its list says, over real nodes: by the command, and when the list changes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from iotcache.cluster import Cluster, RingPhase, SetItem
from iotcache.config import load
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import RingMismatch
from iotcache.nodelist.file_source import FileSource
from iotcache.nodelist.following import follow_list
from iotcache.nodelist.listing import NodeListing
from iotcache.nodelist.watch import NodeListWatch
from iotcache.worker.main import run_ingest
from iotcache_tui.checks.servers import check_nodes
from iotcache_tui.cli.main import main
from tests.conforming import conforming
from tests.conftest import Server, free_port
from tests.ingest.conftest import until
from tests.nodelist.test_sources import written

pytestmark = pytest.mark.real("memcached")
Factory = Callable[..., Server]
KEYS = [f"dev-{number}:temperature:latest" for number in range(300)]


def lines(*servers: Server) -> str:
    return "".join(f"{server.address}\n" for server in servers)


@contextlib.asynccontextmanager
async def client(*servers: Server, follow: bool = False) -> AsyncIterator[Cluster]:
    cache = CacheSettings(operation_timeout_s=0.5)
    addresses = [parse_node(server.address) for server in servers]
    async with Cluster.from_settings(addresses, cache, follow=follow) as cluster:
        yield cluster


class QuickFile(FileSource):
    """A file that is looked at again at once, and how often that was."""

    looks = 0

    async def read(self) -> NodeListing:
        self.looks += 1
        return structs.replace(await super().read(), again_s=0.05)


@contextlib.asynccontextmanager
async def following(source: QuickFile, cluster: Cluster, seed: int) -> AsyncIterator[NodeListWatch]:
    watch = NodeListWatch("file", source, cluster.node_addresses)
    cache = CacheSettings(operation_timeout_s=0.5)
    task = asyncio.create_task(follow_list(watch, cluster, cache, rng=Random(seed), look_every_s=0.1))
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_a_list_that_grows_is_taken_over_by_all_once_and_nothing_is_missed(
    memcached_factory: Factory, tmp_path: Path
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    path = written(tmp_path / "nodes", lines(*servers[:2]))
    async with (
        client(*servers[:2], follow=True) as one,
        client(*servers[:2], follow=True) as other,
        following(QuickFile(str(path)), one, 1) as watch,
        following(QuickFile(str(path)), other, 2) as other_watch,
    ):
        assert all(result.ok for result in await one.set_many([SetItem(key, b"v", 0, 600) for key in KEYS]))
        written(path, lines(*servers))
        await until(lambda: one.ring().epoch == 1 and other.ring().epoch == 1, 20)
        await until(lambda: one.ring().phase is other.ring().phase is RingPhase.STEADY, 20)
        assert all(got.hit for got in await other.get_many(KEYS))
        await until(lambda: watch.report.difference == other_watch.report.difference == "")
        assert one.ring().epoch == other.ring().epoch == 1, "both saw the list change, one changed the ring"


async def test_who_has_an_old_list_still_does_not_change_the_ring_back(
    memcached_factory: Factory, tmp_path: Path
) -> None:
    """DNS answers one program later than another."""
    servers = [memcached_factory() for _ in range(2)]
    source = QuickFile(str(written(tmp_path / "nodes", lines(servers[0]))))
    async with client(servers[0], follow=True) as late, following(source, late, 1) as watch:
        async with client(servers[0]) as early:
            await early.resize([parse_node(server.address) for server in servers])
        await until(lambda: watch.report.difference == f"to be removed: {servers[1].address}")
        seen = source.looks
        await until(lambda: source.looks > seen + 10)
        assert (late.ring().epoch, late.ring().phase) == (1, RingPhase.STEADY)


async def test_a_node_that_does_not_answer_is_waited_for_before_the_ring_takes_it_in(
    memcached_factory: Factory, tmp_path: Path
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    servers[1].kill()
    path = written(tmp_path / "nodes", lines(servers[0]))
    source = QuickFile(str(path))
    async with client(servers[0], follow=True) as cluster, following(source, cluster, 1) as watch:
        written(path, lines(*servers))
        await until(lambda: watch.report.difference != "")
        seen = source.looks
        await until(lambda: source.looks > seen + 20)
        assert cluster.ring().phase is RingPhase.STEADY
        assert cluster.ring().epoch == 0
        servers[1].start()
        await until(lambda: cluster.ring().epoch == 1, 20)


def acted(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["nodes", *words, "--for", "0.1s"])
    return code, capsys.readouterr().out


def test_the_command_tries_first_and_changes_the_ring_on_a_yes(
    memcached_factory: Factory, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    nodes = ("--nodes", servers[0].address)
    code, out = acted(capsys, "add", servers[1].address, *nodes)
    assert code == 0
    assert "nothing was changed: --yes does it" in out
    code, out = acted(capsys, "add", servers[1].address, "--yes", "--json", *nodes)
    told = conforming("nodes-forecast", out)
    assert (code, told["result"]["epoch"]) == (0, 1)
    assert told["result"]["share_moved"] == pytest.approx(told["share_moved"])
    listed = conforming("nodes-list", acted(capsys, "list", "--json", *nodes)[1])
    assert (listed["epoch"], listed["phase"], len(listed["nodes"])) == (1, "steady", 2)
    code, out = acted(capsys, "weight", f"{servers[1].address}=3", "--yes", *nodes)
    assert (code, "epoch 2: " in out, f'"{servers[1].address}=3"]' in out) == (0, True, True)
    assert acted(capsys, "remove", servers[1].address, "--yes", *nodes)[0] == 0
    assert acted(capsys, "apply", *nodes) == (0, "the ring has these nodes and weights already\n")
    assert acted(capsys, "undo", *nodes) == (0, "no change of the ring is under way\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add",), 2),
        (("list", "x"), 2),
        (("add", "x", "--add", "y"), 2),
        (("add", "127.0.0.1:1", "--yes"), 1),
        (("remove", "NODE", "--yes"), 2),
        (("weight", "NODE=0"), 2),
        (("add", "x", "--nodes", "file:///etc/hostname"), 2),
        (("add", "x", "--keys-per-s", "0"), 2),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_changed(
    memcached: Server, words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [word.replace("NODE", memcached.address) for word in words]
    nodes = () if "--nodes" in words else ("--nodes", memcached.address)
    assert main(["nodes", *named, "--for", "0.1s", *nodes]) == code
    assert capsys.readouterr().err.count("\n") == 1


async def test_an_interrupted_change_is_undone(memcached_factory: Factory) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with client(servers[0]) as cluster:
        await cluster.set_many([SetItem(f"k{number}", b"v", 0, 600) for number in range(2_000)])
        work = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "iotcache_tui", "nodes", "add", servers[1].address, "--yes",
            "--keys-per-s", "50", "--for", "0.1s", "--nodes", servers[0].address,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        await until(lambda: cluster.ring().phase is RingPhase.HANDING_OVER, 20)
        work.send_signal(signal.SIGINT)
        _, err = await work.communicate()
        assert work.returncode == 130, err
        assert b"the change was undone" in err
        await until(lambda: cluster.ring().phase is RingPhase.STEADY)
        assert cluster.node_names == (servers[0].address,)


async def test_a_worker_with_another_list_than_the_announced_ring_refuses_and_the_doctor_names_it(
    memcached_factory: Factory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with client(servers[0]) as cluster:
        await cluster.resize([parse_node(server.address) for server in servers])
        config = tmp_path / "config.toml"
        config.write_text(
            f'broker.url = "mqtt://127.0.0.1:{free_port()}"\ncache.nodes = ["{servers[0].address}"]\n'
            f'store.url = "sqlite:///{tmp_path}/x.db"\n'
        )
        loaded = load({}, str(config), {}).settings
        with pytest.raises(RingMismatch, match="announced another ring"):
            await run_ingest(loaded, instance="w1")
        found = {finding.what: finding for finding in await check_nodes(loaded)}
        assert found["ring"].level == "fail"
        assert f"to be added: {servers[1].address}" in found["ring"].found
        assert f"node {servers[1].address}" in found
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-m", "iotcache_tui", "ingest", "--config", str(config)],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"announced another ring (epoch 1: " in done.stderr
