"""The stack's own life: what it starts, what it says, what it mends and what it leaves behind (nothing)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    IngestSettings,
    Settings,
    SimulatorSettings,
    StoreSettings,
)
from iotcache.errors import StackError
from iotcache.model import Event
from iotcache.store import open_store
from iotcache_simulator.stack.probe import memcached_answers, mqtt_answers
from iotcache_simulator.stack.rundir import find_running
from iotcache_simulator.stack.service import PartState, Service, StartProgress
from iotcache_simulator.stack.stack import Stack

from .living import accepts, alive, all_gone, ask_memcached, own_children, until

SERVERS_ONLY = Settings(ingest=IngestSettings(enabled=False), simulator=SimulatorSettings(enabled=False))


class Witness:
    """Collects events and lets a test await one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def saw(self, kind: str, subject: str, seconds: float = 10.0) -> Event:
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if (event.kind, event.subject) == (kind, subject):
                        return event
                self._changed.clear()
                await self._changed.wait()


async def ended_with(service: Service | None) -> int:
    assert service is not None
    assert service._process is not None
    return (await service._process.wait()).code


def host_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("mqtt://").rpartition(":")
    return host, int(port)


@pytest.mark.real("memcached")
async def test_servers_answer_with_real_addresses_and_are_gone_afterwards(
    own_folders: tuple[Path, Path],
) -> None:
    steps: list[StartProgress] = []
    async with Stack(SERVERS_ONLY, on_progress=steps.append) as stack:
        settings, pids = stack.settings, stack.pids
        assert await mqtt_answers(*host_port(settings.broker.url), "3.1.1")
        assert len(settings.cache.nodes) == 3
        assert settings.simulator.dropouts is True
        for node, pid in zip(settings.cache.nodes, pids.nodes, strict=True):
            assert await memcached_answers(*host_port(node))
            assert f"STAT pid {pid}\r\n".encode() in await asyncio.to_thread(ask_memcached, node, b"stats")
        assert not stack.bundled
        folder = Path(settings.store.url.removeprefix("sqlite:///")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert find_running(Settings()).cache.nodes == settings.cache.nodes
        tree = own_children()
    assert all_gone(tree)
    assert await ended_with(stack.broker) == -signal.SIGKILL, "nobody is left to take leave of"
    assert not folder.exists()
    assert not any(accepts(node) for node in settings.cache.nodes)
    assert list(own_folders[0].iterdir()) == []
    assert [step.state for step in steps if step.part == "broker"] == [PartState.STARTING, PartState.READY]
    assert steps[-1].text.startswith(f"{steps[-1].part} ready in ")


@pytest.mark.real("memcached")
async def test_what_is_stored_can_be_read_before_the_fleet_runs_and_readers_come_last() -> None:
    steps: list[StartProgress] = []
    stack = Stack(Settings(), readers=True, on_progress=steps.append)
    starting = asyncio.create_task(stack.start())
    try:
        await stack.until_written()
        assert stack.simulator is not None
        assert stack.simulator.state is PartState.STARTING
        async with open_store(stack.settings.store, read_only=True) as store:
            await store.directory()
        await starting
    finally:
        await stack.stop()
    ready = [step.part for step in steps if step.state is PartState.READY]
    assert ready[-3:] == ["ingest", "simulator", "readers"]


async def test_the_broker_speaks_both_versions_of_mqtt_and_only_on_loopback() -> None:
    for version in ("3.1.1", "5"):
        settings = Settings(
            broker=BrokerSettings(protocol=version),
            cache=CacheSettings(nodes=("127.0.0.1:1",)),
            store=StoreSettings(url="sqlite:///x"),
            ingest=IngestSettings(enabled=False),
            simulator=SimulatorSettings(enabled=False, dropouts=True),
        )
        async with Stack(settings) as stack:
            assert stack.settings.simulator.dropouts is False, "nodes and store are somebody's"
            assert await mqtt_answers(*host_port(stack.settings.broker.url), version)
            listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
            port = f":{host_port(stack.settings.broker.url)[1]:04X}"
            mine = [line.split()[1] for line in listening if line.split()[1].endswith(port)]
            assert set(mine) == {f"0100007F{port}"}
        assert await ended_with(stack.broker) == 0, "asked to, as nodes and store go on"


@pytest.mark.real("memcached")
async def test_a_killed_node_and_a_killed_broker_are_reported_and_come_back_on_their_ports() -> None:
    witness = Witness()
    async with Stack(SERVERS_ONLY, on_event=witness) as stack:
        before = stack.pids
        node = stack.nodes[1]
        os.kill(before.nodes[1], 9)
        assert before.broker is not None
        os.kill(before.broker, 9)
        assert "SIGKILL" in (await witness.saw("stack.died", node.name)).text
        await witness.saw("stack.restarted", node.name)
        await witness.saw("stack.restarted", "broker")
        after = stack.pids
        assert after.nodes[0] == before.nodes[0]
        assert after.nodes[1] not in (0, before.nodes[1])
        assert await memcached_answers(*host_port(stack.settings.cache.nodes[1]))
        assert await mqtt_answers(*host_port(stack.settings.broker.url), "3.1.1")


@pytest.mark.real("memcached")
async def test_a_node_can_be_killed_for_good_paused_and_restarted() -> None:
    witness = Witness()
    async with Stack(SERVERS_ONLY, on_event=witness) as stack:
        node, address = stack.nodes[0], stack.settings.cache.nodes[0]
        first = node.pid
        node.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await memcached_answers(*host_port(address))
        node.resume()
        assert await memcached_answers(*host_port(address))
        await node.kill()
        assert not alive(first)
        assert not accepts(address)
        assert node.state is PartState.KILLED
        await asyncio.sleep(0.4)  # longer than the back-off: nobody may bring it back
        assert node.pid == 0
        await node.restart()
        assert await memcached_answers(*host_port(address))
        assert witness.events == []  # all of it was asked for


@pytest.mark.real("memcached")
async def test_two_stacks_live_side_by_side() -> None:
    async with Stack(SERVERS_ONLY) as first, Stack(SERVERS_ONLY) as second:
        ours, theirs = first.settings, second.settings
        assert not set(ours.cache.nodes) & set(theirs.cache.nodes)
        assert ours.broker.url != theirs.broker.url
        assert ours.store.url != theirs.store.url
        assert find_running(Settings()).store.url == theirs.store.url
    async with Stack(SERVERS_ONLY) as first:
        async with Stack(SERVERS_ONLY):
            pass
        assert find_running(Settings()).store.url == first.settings.store.url


async def test_the_bundled_node_stands_in_where_memcached_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with Stack(SERVERS_ONLY) as stack:
        assert stack.bundled
        assert stack.node_program is not None
        assert stack.node_program.why == "memcached is not on PATH"
        for node in stack.settings.cache.nodes:
            assert await memcached_answers(*host_port(node))
        pids = stack.pids.nodes
        assert len(set(pids)) == 3
    assert all_gone(pids)


async def test_memcached_asked_for_and_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_folders: tuple[Path, Path]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(cache=CacheSettings(embedded_server="memcached"))
    with pytest.raises(StackError, match="memcached, which is not on PATH"):
        await Stack(settings).start()
    assert list(own_folders[1].iterdir()) == []
    assert own_children() == set()


async def test_nothing_is_started_for_servers_that_are_named() -> None:
    settings = Settings(
        broker=BrokerSettings(url="mqtt://127.0.0.1:1"),
        cache=CacheSettings(nodes=("127.0.0.1:1",)),
        store=StoreSettings(url="sqlite:///mine.db"),
    )
    async with Stack(settings) as stack:
        assert own_children() == set()
        assert stack.settings.broker.url == "mqtt://127.0.0.1:1"
        assert stack.settings.ingest.enabled is False
        assert stack.settings.simulator.dropouts is False
        with pytest.raises(StackError, match="no stack is running"):
            find_running(Settings())


@pytest.mark.real("memcached")
async def test_a_start_that_is_cancelled_leaves_nothing(own_folders: tuple[Path, Path]) -> None:
    for delay_s in (0.0, 0.005, 0.02, 0.05, 0.1):
        stack = Stack(SERVERS_ONLY)
        starting = asyncio.create_task(stack.start())
        await asyncio.sleep(delay_s)
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:  # it was quicker
            await stack.stop()
        assert all_gone(own_children(), 2.0)
        assert list(own_folders[1].iterdir()) == []
        assert list(own_folders[0].iterdir()) == []


@pytest.mark.real("memcached")
async def test_a_node_that_cannot_start_fails_the_stack_with_its_own_words(
    own_folders: tuple[Path, Path],
) -> None:
    settings = Settings(
        cache=CacheSettings(embedded_server="memcached", max_value_bytes=2_000_000_000),
        ingest=IngestSettings(enabled=False),
        simulator=SimulatorSettings(enabled=False),
    )
    with pytest.raises(StackError, match=r"cache node .* ended at start .*exit status"):
        await Stack(settings).start()
    assert all_gone(own_children(), 2.0)
    assert list(own_folders[1].iterdir()) == []


async def test_a_temporary_folder_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StackError, match=r"no temporary folder for the stack can be made in .*missing"):
        await Stack(SERVERS_ONLY).start()
    assert own_children() == set()


@pytest.mark.real("memcached")
async def test_a_runtime_folder_that_cannot_be_written_only_hides_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(tmp_path / "file" / "run"))
    witness = Witness()
    async with Stack(SERVERS_ONLY, on_event=witness) as stack:
        assert await memcached_answers(*host_port(stack.settings.cache.nodes[0]))
    assert [event.kind for event in witness.events] == ["stack.hidden"]


async def test_a_foreign_broker_that_is_away_does_not_keep_the_stack_from_starting(tmp_path: Path) -> None:
    settings = Settings(
        broker=BrokerSettings(url="mqtt://127.0.0.1:1"),
        cache=CacheSettings(nodes=("127.0.0.1:1",)),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/mine.db"),
        ingest=IngestSettings(enabled=True),
    )
    async with Stack(settings) as stack:
        assert stack.ingest is not None
        assert alive(stack.ingest.pid)
        assert stack.services == (stack.ingest,)
        assert await asyncio.to_thread(until, (tmp_path / "mine.db").exists), "its worker runs, too"
        pid = stack.ingest.pid
        async with asyncio.timeout(30):
            while not (tmp_path / "mine.db").exists():
                await asyncio.sleep(0.02)
    assert all_gone([pid])
