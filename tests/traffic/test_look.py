"""Looking at a real memcached from outside, as `iotcache-tui advise` does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from prometheus_client import generate_latest

from iotcache.advisor.advice import Confidence
from iotcache.advisor.predictions import Checked
from iotcache.cluster.node_client import NodeClient
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError, UsageError
from iotcache.traffic import node_watch
from iotcache.traffic.look import StandingLook, look
from iotcache.traffic.observation import Observation
from iotcache_tui.cli.advice_document import document
from iotcache_tui.cli.advice_metrics import AdviceMetrics
from iotcache_tui.cli.commands.advise import lines, place_of, seconds_of
from tests.conforming import conforming
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
MARKS = 5
"""Looks at the marks of our own clients, a round."""


async def ask(server: Server, stop: asyncio.Event, rounds: int = 20, *, end: bool = True) -> None:
    """Readers that fill what they miss, and one key that gets a third of all gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for turn in range(rounds):
        keys = [f"dev{(turn * 37 + n * 11) % 300}:t:latest" for n in range(40)] + ["site:hot"] * 20
        writer.write("".join(f"mg {key} v k\r\n" for key in keys).encode() + b"mn\r\n")
        missed: list[str] = []
        while (line := await reader.readline()) != b"MN\r\n":
            if line.startswith(b"VA"):
                await reader.readline()
            else:
                missed.append(keys[len(missed)])
        # As cluster clients do: one of these is counted by the node, and found or not.
        writer.write(b"mg iotcache:ring c\r\nme iotcache:fence\r\n" * MARKS + b"mn\r\n")
        while await reader.readline() != b"MN\r\n":
            pass
        sets = "".join(f"ms {key} 5 T60\r\nhello\r\n" for key in [*keys[:40], "site:hot"])
        writer.write(sets.encode() + b"mn\r\n")
        while await reader.readline() != b"MN\r\n":
            pass
        await asyncio.sleep(0.02)  # the node's log takes no more than 64 KiB in a burst
    writer.close()
    if end:
        await until_watched(server, stop)


async def until_watched(server: Server, stop: asyncio.Event) -> None:
    """End the look once the node has handed on its log, which it does once a second at the latest."""
    async with NodeClient(parse_node(server.address), CacheSettings()) as node:
        await node.stats()
    await asyncio.sleep(1.2)  # the logger's own pace (logger.c, MAX_LOGGER_SLEEP); nothing tells of it
    stop.set()


async def observed(server: Server, rounds: int = 20) -> Observation:
    stop = asyncio.Event()

    async def busy() -> None:
        async with NodeClient(parse_node(server.address), CacheSettings()) as node:
            while int((await node.stats()).get("log_watchers", "1")) < 1:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        await ask(server, stop, rounds)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look([parse_node(server.address)], CacheSettings(), 30.0, stop=stop))
        tasks.create_task(busy())
    return looking.result()


async def test_requests_of_any_application_are_seen_through_the_nodes_log(memcached: Server) -> None:
    result = await observed(memcached)
    (node,) = result.evidence.nodes
    assert node.curve is not None
    assert result.top_gets[0].key == b"site:hot"
    assert result.top_gets[0].count == 400
    assert node.gets_counted == 20 * 60
    assert node.hit_ratio is not None
    assert abs(node.curve.now - node.hit_ratio) < 0.05
    assert node.gets_per_s * result.evidence.seconds == pytest.approx(20 * 60), "without our clients' marks"
    assert node.marks_per_s * result.evidence.seconds == pytest.approx(20 * MARKS)
    assert {group.name for group in result.evidence.groups} == {"dev#:t:latest", "site:hot"}
    assert not result.notes
    text = "\n".join(lines(result))
    assert "site:hot" in text and "hit ratio" in text
    told = conforming("advise", json.dumps(document(result)))
    assert told["schema"] == "iotcache.advice/1"
    assert told["top"]["gets"][0] == {"key": "site:hot", "count": 400.0, "error": 0.0}
    metrics = AdviceMetrics()
    metrics.publish(result)
    page = generate_latest(metrics.registry()).decode()
    assert f'iotcache_advisor_predicted_hit_ratio{{bytes="{node.memory_bytes}",node="{node.name}"}}' in page
    assert 'iotcache_advisor_advice{subject="hot key"} 1.0' in page


async def test_a_busy_node_is_read_in_bursts_and_left_alone_in_between(
    memcached: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_watch, "BURST_S", 0.3)
    monkeypatch.setattr(node_watch, "BUSY_PER_S", 100)
    monkeypatch.setattr(node_watch, "BUSY_SHARE", 0.5)
    result = await observed(memcached, rounds=60)
    (node,) = result.evidence.nodes
    assert "is busy: its log is read for 50 % of the time" in result.notes[0]
    assert result.top_gets[0].key == b"site:hot"
    assert node.gets_per_s * result.evidence.seconds == pytest.approx(60 * 60, rel=0.1), "by its own counters"
    assert 0 < node.gets_counted < 60 * 60


@pytest.mark.long
async def test_a_standing_look_measures_what_came_of_somebody_elses_act(memcached: Server) -> None:
    stop, asked = asyncio.Event(), asyncio.Event()
    standing = StandingLook([parse_node(memcached.address)], CacheSettings(), window_s=0.5)
    memory_mb = 64

    async def act(megabytes: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", memcached.port)
        writer.write(b"cache_memlimit %d\r\n" % megabytes)
        assert await reader.readline() == b"OK\r\n"
        writer.close()

    def publish(observation: Observation) -> None:
        nonlocal memory_mb
        (node,) = observation.evidence.nodes
        known = node.curve is not None and node.curve.sampled_gets >= 500 and node.hit_ratio is not None
        # Again where the node was out for so long that nothing was known before the first.
        if known and not observation.checked and node.memory_bytes == memory_mb << 20:
            memory_mb = 164 - memory_mb
            acts.append(asyncio.create_task(act(memory_mb)))
        if observation.checked and observation.checked[0].measured is not None:
            asked.set()
            stop.set()
            seen.append(observation.checked[0])

    acts: list[asyncio.Task[None]] = []
    seen: list[Checked] = []

    async def busy() -> None:
        while not asked.is_set():
            await ask(memcached, asyncio.Event(), rounds=3, end=False)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(standing.run(publish, stop=stop, every_s=0.2))
        tasks.create_task(busy())
    assert seen[0].change in ("64 → 100 MB", "100 → 64 MB")
    assert seen[0].error is not None and abs(seen[0].error) < 0.1


async def test_nodes_that_join_are_looked_at_and_those_that_leave_no_more(
    memcached_factory: Callable[..., Server],
) -> None:
    one, two = (parse_node(memcached_factory().address) for _ in range(2))
    rings = [[one], [replace(one, weight=3), two], [two]]
    ring, stop = rings.pop(0), asyncio.Event()
    seen: list[dict[str, float]] = []

    def publish(observation: Observation) -> None:
        nonlocal ring
        shares = {node.name: node.share for node in observation.evidence.nodes}
        if set(shares) == {node.name for node in ring}:
            seen.append(shares)
            if rings:
                ring = rings.pop(0)
            else:
                stop.set()

    standing = StandingLook(ring, CacheSettings(), ring=lambda: ring)
    async with asyncio.timeout(20):
        await standing.run(publish, stop=stop, every_s=0.05)
    assert [set(shares) for shares in seen] == [{one.name}, {one.name, two.name}, {two.name}]
    assert seen[1][one.name] > 2 * seen[1][two.name], "by the new weights"


async def test_a_node_that_logs_nothing_is_judged_by_its_own_figures(
    memcached_factory: Callable[..., Server],
) -> None:
    quiet = memcached_factory("-W")
    result = await look([parse_node(quiet.address)], CacheSettings(), 0.1)
    assert result.evidence.nodes[0].curve is None
    (note,) = result.notes
    assert "does not tell of its requests" in note and "-W" in note
    assert all(one.confidence is not Confidence.HIGH for one in result.advice)


async def test_a_node_that_is_out_is_left_out_and_said_so(memcached: Server) -> None:
    gone = parse_node("127.0.0.1:1")
    result = await look([parse_node(memcached.address), gone], CacheSettings(), 0.1)
    assert [node.name for node in result.evidence.nodes] == [memcached.address]
    assert result.notes[-1].startswith("127.0.0.1:1 is left out")
    with pytest.raises(NodeError):
        await look([gone], CacheSettings(), 0.1)


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600.0), ("30s", 30.0), ("1.5h", 5_400.0), ("7", 7.0)])
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1s", "0", "1d", "25h", "\x1b[2J"])
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="--for is"):
        seconds_of(text)


@pytest.mark.parametrize(("text", "place"), [("9151", ("127.0.0.1", 9151)), ("[::1]:80", ("::1", 80))])
def test_a_place_for_prometheus_is_a_port_with_or_without_a_host(text: str, place: tuple[str, int]) -> None:
    assert place_of(text) == place
    with pytest.raises(UsageError, match="--metrics is"):
        place_of(f"{text}x")
