"""Looking at a real memcached from outside, as `iotcache-tui advise` does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from iotcache.advisor.advice import Confidence
from iotcache.cluster.node_client import NodeClient
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError, UsageError
from iotcache.traffic.look import Observation, look
from iotcache_tui.cli.advice_document import document
from iotcache_tui.cli.commands.advise import lines, seconds_of
from tests.conforming import conforming
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")


async def ask(server: Server, stop: asyncio.Event, rounds: int = 20) -> None:
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
        sets = "".join(f"ms {key} 5 T60\r\nhello\r\n" for key in [*keys[:40], "site:hot"])
        writer.write(sets.encode() + b"mn\r\n")
        while await reader.readline() != b"MN\r\n":
            pass
        await asyncio.sleep(0.02)  # the node's log takes no more than 64 KiB in a burst
    writer.close()
    await until_watched(server, stop)


async def until_watched(server: Server, stop: asyncio.Event) -> None:
    """End the look once the node has handed on its log, which it does once a second at the latest."""
    async with NodeClient(parse_node(server.address), CacheSettings()) as node:
        await node.stats()
    await asyncio.sleep(1.2)  # the logger's own pace (logger.c, MAX_LOGGER_SLEEP); nothing tells of it
    stop.set()


async def observed(server: Server) -> Observation:
    stop = asyncio.Event()

    async def busy() -> None:
        async with NodeClient(parse_node(server.address), CacheSettings()) as node:
            while int((await node.stats()).get("log_watchers", "1")) < 1:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        await ask(server, stop)

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
    assert {group.name for group in result.evidence.groups} == {"dev#:t:latest", "site:hot"}
    assert not result.notes
    text = "\n".join(lines(result))
    assert "site:hot" in text and "hit ratio" in text
    told = conforming("advise", json.dumps(document(result)))
    assert told["schema"] == "iotcache.advice/1"
    assert told["top"]["gets"][0] == {"key": "site:hot", "count": 400.0, "error": 0.0}


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
