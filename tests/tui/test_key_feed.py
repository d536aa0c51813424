"""The key browser's and the device screen's feed, against real memcached nodes and a SQLite store."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from iotcache.cache import DeviceCache
from iotcache.clock import SYSTEM_CLOCK
from iotcache.cluster import Cluster, SetItem
from iotcache.cluster.node_client import NodeClient
from iotcache.config.schema import CacheSettings, Settings
from iotcache.config.urls import parse_node
from iotcache.entry_codec import encode_json
from iotcache.errors import NodeError
from iotcache.model import Document, DocumentKind, Read, Reading, Series, Severity, Source, StoredReading
from iotcache.model.alerts import Alert, AlertState
from iotcache.store.sqlite.store import SqliteStore
from iotcache_tui.feed.answers import device as device_feed
from iotcache_tui.feed.answers import keys as key_feed
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.device.model import (
    DeviceDocuments,
    DeviceKeys,
    History,
    InspectDevice,
    ReadAlerts,
    ReadDocuments,
    ReadHistory,
    ReadNow,
)
from iotcache_tui.state.keys.model import (
    CLASSES,
    CachedValue,
    ChangeKeys,
    CountKeys,
    CrawlKeys,
    CrawlStep,
    Deleted,
    DeleteKey,
    FetchValue,
    KeyColumns,
)
from iotcache_tui.state.requests import ActionProgress
from tests.cluster.test_transport import open_to_all
from tests.conftest import Server, free_port

pytestmark = pytest.mark.real("memcached")


@asynccontextmanager
async def reaching(tmp_path: Path, *nodes: str, **cache: Any) -> AsyncIterator[RequestContext]:
    settings = Settings(cache=CacheSettings(nodes=nodes, operation_timeout_s=0.3, **cache))
    async with (
        Cluster.from_settings([parse_node(node) for node in nodes], settings.cache) as cluster,
        SqliteStore(tmp_path / "readings.db") as store,
        DeviceCache(cluster, store) as found,
    ):
        yield cast(
            RequestContext,
            SimpleNamespace(
                settings=settings, cache=found, clock=SYSTEM_CLOCK, read_only=False,
                writer=lambda: nullcontext(found),
            ),
        )  # fmt: skip


async def answered(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


async def crawl(context: RequestContext, **request: Any) -> tuple[KeyColumns, CrawlStep]:
    columns = KeyColumns()
    steps: list[CrawlStep] = await answered(key_feed.crawl(CrawlKeys(**request), context))
    for step in steps:
        columns.nodes = tuple(node.name for node in step.nodes)
        if step.chunk is not None:
            columns.extend(step.chunk)
    return columns, steps[-1]


def by_hand(node: Server, request: bytes, end: bytes = b"\r\n") -> bytes:
    with socket.create_connection(("127.0.0.1", node.port), 2) as link:
        link.sendall(request)
        answer = b""
        while not answer.endswith(end):
            answer += link.recv(65_536)
        return answer


async def put(context: RequestContext, *readings: Reading) -> None:
    done = await context.cache.store.commit(
        [StoredReading(one, context.cache.plan_ttl(one)) for one in readings]
    )
    await context.cache.write_through(done.newest)


def reading(value: Any = 21.5, ago_s: float = 0.0, **more: Any) -> Reading:
    fields = {"device": "dev 1", "sensor": "temp", "unit": "°C", "interval_s": 20.0, **more}
    now_us = int(SYSTEM_CLOCK.now() * 1e6)
    return Reading(value=value, ts_us=now_us - int(ago_s * 1e6), received_us=now_us, **fields)


async def test_a_crawl_lists_every_key_with_its_facts_and_adds_them_up(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    async with reaching(tmp_path, *(node.address for node in nodes)) as context:
        await put(context, *(reading(n, sensor=f"s{n}") for n in range(40)))
        value, flags = encode_json({"a": 1})
        keys = context.cache.keys
        others = [keys.meta("dev 1"), keys.config("dev 1"), keys.aggregate("here", "temp"),
                  keys.bucket("dev 1", "temp", 0), "session.42"]  # fmt: skip
        await context.cache.cluster.set_many([SetItem(key, value, flags, 300) for key in others])
        by_hand(nodes[0], "set für 0 0 3\r\nxyz\r\n".encode())
        by_hand(nodes[1], b"get session.42\r\n", b"END\r\n")
        (counts,) = await answered(key_feed.count(CountKeys(), context))
        columns, last = await crawl(context)
    kinds = {total.name: total.items for total in last.classes}
    own = kinds.pop("own", 0)
    assert kinds == {"latest": 40, "meta": 1, "cfg": 1, "agg": 1, "bucket": 1, "foreign": 2}
    assert sum(node.items for node in counts.nodes) == len(columns) == 46 + own
    assert [node.state for node in last.nodes] == ["done", "done"]
    assert sum(total.size for total in last.classes) == sum(columns.size)
    assert {total.name for total in last.groups} >= {"dev", "session", "f\xfcr"}
    row = columns.find("für".encode(), nodes[0].address)
    assert row is not None and columns.expires_at[row] == inf
    assert CLASSES[columns.kind[row]] == "foreign"
    row = next(at for at, key in enumerate(columns.key) if key == b"dev%201:s7:latest")
    now_s = SYSTEM_CLOCK.now()
    assert 50 < columns.left_s(row, now_s) < 70
    assert -2 < now_s - columns.used_at[row] < 5


async def test_past_the_bound_keys_are_counted_and_not_kept(memcached: Server, tmp_path: Path) -> None:
    async with reaching(tmp_path, memcached.address) as context:
        lines = b"".join(b"set k%05d:x:latest 0 60 1\r\nv\r\n" % n for n in range(5_000))
        by_hand(memcached, lines + b"mn\r\n", b"MN\r\n")
        columns, last = await crawl(context, keys_max=1_000)
        assert len(columns) == 1_000
        assert sum(total.items for total in last.classes) == last.nodes[0].seen >= 5_000


async def test_a_node_that_hangs_or_is_not_there_is_named_and_the_others_are_listed(
    memcached: Server, tmp_path: Path
) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    nodes = [f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}", memcached.address]
    async with hanging, reaching(tmp_path, *nodes) as context:
        by_hand(memcached, b"set a 0 0 1\r\nv\r\n")
        _, last = await crawl(context)
        (counts,) = await answered(key_feed.count(CountKeys(), context))
        for writer in asyncio.all_tasks() - {asyncio.current_task()}:
            if "hang" in repr(writer.get_coro()):
                writer.cancel()
    assert [node.state for node in last.nodes] == ["failed", "failed", "done"]
    assert "no answer within 0.3 s" in last.nodes[0].why
    assert "connection refused" in last.nodes[1].why
    assert [node.state for node in counts.nodes][:2] == ["failed", "failed"]


async def test_a_crawl_that_finds_another_under_way_waits_for_it(memcached: Server, tmp_path: Path) -> None:
    by_hand(
        memcached, b"".join(b"set k%06d 0 0 1\r\nv\r\n" % n for n in range(30_000)) + b"mn\r\n", b"MN\r\n"
    )
    with socket.create_connection(("127.0.0.1", memcached.port)) as rival:
        rival.sendall(b"lru_crawler metadump all\r\n")
        assert rival.recv(64)  # it has begun, and fills the socket that nobody empties
        async with NodeClient(parse_node(memcached.address), CacheSettings()) as line:
            dump = line.dump()
            first = asyncio.ensure_future(anext(dump))
            await asyncio.sleep(0.05)
            while True:
                if rival.recv(1 << 20).endswith(b"END\r\n"):
                    break
            async with asyncio.timeout(5):
                assert len(await first) > 10
            await dump.aclose()


async def test_a_crawl_that_is_left_ends_and_the_node_takes_the_next(
    memcached: Server, tmp_path: Path
) -> None:
    by_hand(
        memcached, b"".join(b"set k%06d 0 0 1\r\nv\r\n" % n for n in range(30_000)) + b"mn\r\n", b"MN\r\n"
    )
    async with reaching(tmp_path, memcached.address) as context:
        steps = key_feed.crawl(CrawlKeys(), context)
        await anext(steps)
        task = asyncio.ensure_future(anext(steps))
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        columns, last = await crawl(context)
        assert last.nodes[0].state == "done"
        assert len(columns) >= 30_000


async def test_a_node_whose_crawler_is_off_says_so(memcached: Server, tmp_path: Path) -> None:
    by_hand(memcached, b"lru_crawler disable\r\n")
    async with reaching(tmp_path, memcached.address) as context:
        _, last = await crawl(context)
    assert last.nodes[0].state == "failed"
    assert "lru crawler disabled" in last.nodes[0].why


async def test_a_value_is_laid_out_and_looking_leaves_the_item_as_it_was(
    memcached: Server, tmp_path: Path
) -> None:
    async with reaching(tmp_path, memcached.address) as context:
        await put(context, reading())
        value, flags = encode_json({"many": list(range(400))})
        await context.cache.cluster.set_many([SetItem("big", value, flags, 60)])
        key = context.cache.keys.latest("dev 1", "temp").encode()

        async def fetch(name: bytes) -> CachedValue:
            (found,) = await answered(key_feed.fetch(FetchValue(name, memcached.address), context))
            return cast(CachedValue, found)

        found = await fetch(key)
        assert found.form == "JSON" and '  "value": 21.5,' in found.pretty
        assert found.meaning.startswith("21.5 °C  measured ") and "every 20 s" in found.meaning
        assert 50 < found.ttl_s < 70 and found.flags == 16
        await put(context, reading(True, sensor="door", unit=""))
        door = await fetch(context.cache.keys.latest("dev 1", "door").encode())
        assert door.meaning.startswith("on  measured ")
        packed = await fetch(b"big")
        assert packed.flags == 24 and len(packed.stored) < len(packed.inflated)
        assert len(packed.pretty) == 404
        (probe,) = await context.cache.cluster.probe_many([key.decode()])
        assert not probe.fetched
        assert not (await fetch(b"nothing")).found
        by_hand(memcached, b"set raw 8 0 3\r\n\xff\x00\x1b\r\nset \xc3\xbc 0 0 2\r\nhi\r\nmn\r\n", b"MN\r\n")
        broken = await fetch(b"raw")
        assert broken.form == "binary" and "broken" in broken.problem
        assert not any("\x1b" in line for line in broken.pretty)
        assert (await fetch("ü".encode())).pretty == ("hi",)
        owner = cast(CachedValue, (await answered(key_feed.fetch(FetchValue(key, ""), context)))[0])
        assert owner.found and owner.node == memcached.address


def foreign() -> dict[str, tuple[bytes, int, str, str]]:
    """Value, flags, and how it is shown: form, problem."""
    return {
        "pickled": (pickle.dumps({"a": [1, 2]}), 1, "binary", ""),
        "pickled and packed": (zlib.compress(pickle.dumps({"a": 1})), 9, "binary", ""),
        "packed by others": (b"\xff\x06\x00\x00sNaPpY", 8, "binary", "broken"),
        "inflates to 100 MB": (zlib.compress(bytes(100_000_000)), 8, "binary", "inflates past the limit"),
        "what JSON has no word for": (b'{"v": NaN}', 0, "text", ""),
        "nested deep": (b"[" * 300_000, 0, "text", ""),
        "a million elements": (b"[" + b"1," * 500_000 + b"1]", 0, "JSON", "the first 20,000 lines"),
        "a megabyte of bytes": (bytes(range(256)) * 4_000, 2, "binary", ""),
        "nothing, with all flags": (b"", 0xFFFF_FFFF, "text", "cut short"),
        "escapes": (b"\x1b]52;c;aGk=\x07[red]\r\n", 64, "text", ""),
    }


async def test_any_value_of_any_application_is_shown(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    node = memcached_factory("-I", "4m")
    async with reaching(tmp_path, node.address) as context:
        for number, (value, flags, form, problem) in enumerate(foreign().values()):
            by_hand(node, b"set other:%d %d 0 %d\r\n%b\r\n" % (number, flags, len(value), value))
            request = FetchValue(b"other:%d" % number, node.address)
            (found,) = await answered(key_feed.fetch(request, context))
            assert isinstance(found, CachedValue)
            assert (found.form, found.size, found.flags) == (form, len(value), flags)
            assert problem in found.problem and bool(problem) is bool(found.problem)
            assert len(found.pretty) <= key_feed.LINES_MOST + 1


async def test_a_value_past_the_bound_is_cut_and_says_so(memcached: Server, tmp_path: Path) -> None:
    by_hand(memcached, b"set huge 0 0 900000\r\n" + b"x" * 900_000 + b"\r\n")
    async with NodeClient(parse_node(memcached.address), CacheSettings()) as line:
        held = await line.value(b"huge", 1_000)
        assert held is not None and (len(held.value), held.size) == (1_000, 900_000)
    shown = key_feed.readable(b"huge", "n", held, 0.0)
    assert shown.problem == "cut after 1,000 of 900,000 bytes"


async def test_a_key_is_deleted_where_it_was_found_and_the_next_miss_knows_why(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    async with reaching(tmp_path, *(node.address for node in nodes)) as context:
        await put(context, reading())
        key = context.cache.keys.latest("dev 1", "temp")
        owner = context.cache.cluster.node_of(key)
        other = next(node for node in nodes if node.address != owner)
        by_hand(other, f"set {key} 16 0 2\r\n{{}}\r\n".encode())

        async def delete(name: bytes, node: str) -> Deleted:
            (done,) = await answered(key_feed.delete(DeleteKey(name, node), context))
            return cast(Deleted, done)

        assert (await delete(key.encode(), other.address)).there
        assert (await context.cache.cluster.probe_many([key]))[0].present
        assert (await delete(key.encode(), owner)).there
        read = await context.cache.read("dev 1", "temp")
        assert (read.source, read.miss_reason) == (Source.STORE, "invalidated")
        by_hand(other, "set ü 0 0 1\r\nv\r\n".encode())
        assert (await delete("ü".encode(), other.address)).there
        assert not (await delete("ü".encode(), other.address)).there
        with pytest.raises(NodeError, match="no node is called"):
            await delete(b"a", "nowhere:1")


async def test_a_device_is_looked_at_without_a_trace_and_read_on_demand(
    memcached: Server, tmp_path: Path
) -> None:
    async with reaching(tmp_path, memcached.address) as context:
        await put(context, reading(), reading(50, sensor="hum"))
        document = Document("dev 1", DocumentKind.META, 3, '{"model":"x"}', at_us=1_000_000)
        await context.cache.store.documents.upsert([document])
        before = by_hand(memcached, b"stats\r\n", b"END\r\n")
        (looked,) = await answered(
            device_feed.inspect(InspectDevice("dev 1", ("temp", "hum", "gone")), context)
        )
        after = by_hand(memcached, b"stats\r\n", b"END\r\n")
        assert [line for line in before.splitlines() if b"get_" in line] == [
            line for line in after.splitlines() if b"get_" in line
        ]
        assert isinstance(looked, DeviceKeys)
        facts = {(key.kind, key.sensor): key for key in looked.keys}
        assert facts["latest", "temp"].present and 50 < facts["latest", "temp"].ttl_s < 70
        assert not facts["latest", "gone"].present and not facts["bucket", "temp"].present
        (documents,) = await answered(device_feed.documents(ReadDocuments("dev 1"), context))
        assert isinstance(documents, DeviceDocuments)
        assert (documents.meta.version, documents.meta.source) == (3, "store")
        assert documents.meta.lines == ("{", '  "model": "x"', "}")
        assert documents.config.version is None
        await context.cache.store.alerts.record(
            [
                Alert(
                    name="hot", subject=subject, severity=Severity.ERROR, state=AlertState.RAISED, since_us=5
                )
                for subject in ("dev%201:temp", "dev%202:temp", "cache")
            ]
        )
        (alerts,) = await answered(device_feed.alerts(ReadAlerts("dev 1"), context))
        assert [(one.name, one.sensor, one.acknowledged) for one in alerts.alerts] == [("hot", "temp", False)]
        (read,) = await answered(device_feed.read_now(ReadNow(Series("dev 1", "temp")), context))
        assert isinstance(read, Read) and read.value == 21.5


async def test_a_history_is_the_stores_thinned_out_with_what_is_cached(
    memcached: Server, tmp_path: Path
) -> None:
    async with reaching(tmp_path, memcached.address) as context:
        await put(context, *(reading(n if n != 500 else 9_999, ago_s=899 - n, seq=n) for n in range(900)))
        await put(context, *(reading(n % 3 == 0, ago_s=90 - n, sensor="door", seq=n) for n in range(90)))
        now_s = SYSTEM_CLOCK.now()
        bucket = context.cache.keys.bucket("dev 1", "temp", int((now_s - 60) * 1e6))
        await context.cache.cluster.set_many([SetItem(bucket, b"{}", 16, 60)])

        async def history(sensor: str, span_s: float) -> History:
            request = ReadHistory(Series("dev 1", sensor), span_s, 50)
            (found,) = await answered(device_feed.history(request, context))
            return cast(History, found)

        whole = await history("temp", 900.0)
        assert whole.readings >= 898 and whole.whole
        assert 50 <= len(whole.times) <= 100 and whole.times == sorted(whole.times)
        assert 9_999 in whole.values
        ((begin, end),) = whole.cached
        assert end - begin == 60 and begin <= now_s - 60 < end
        door = await history("door", 300.0)
        assert door.states == ("off", "on") and set(door.values) == {0.0, 1.0}
        assert (await history("nothing", 300.0)).times == []


async def test_a_login_is_made_and_a_wrong_one_told(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    secrets = tmp_path / "users"
    secrets.write_text("anna:right\n")
    secrets.chmod(0o644)
    open_to_all(tmp_path)
    try:
        node = memcached_factory("-Y", str(secrets))
    except RuntimeError:
        pytest.skip("this memcached takes no password file here")
    settings = CacheSettings(username="anna", password="right")
    async with NodeClient(parse_node(node.address), settings) as line:
        assert "pid" in await line.stats()
    with pytest.raises(NodeError):
        async with NodeClient(parse_node(node.address), structs.replace(settings, password="wrong")):
            pass


async def test_many_keys_are_touched_and_deleted_in_batches_and_counted(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    """A node that is gone is passed over; keys that are gone are counted as not there."""
    node, gone = memcached_factory(), "127.0.0.1:1"
    keys = tuple(b"many:%d" % number for number in range(2_000))
    async with reaching(tmp_path, node.address, gone) as context:
        by_hand(
            node, b"".join(b"ms %b 1 T900 q\r\nx\r\n" % key for key in keys[:1_900]) + b"mn\r\n", b"MN\r\n"
        )
        touched = await answered(key_feed.change(ChangeKeys(((node.address, keys),), 50), context))
        assert touched[-1] == ActionProgress(2_000, 2_000, 1_900)
        assert by_hand(node, b"mg many:7 t\r\n") in (b"HD t50\r\n", b"HD t49\r\n")
        asked = ChangeKeys(((node.address, keys), (gone, keys[:3])))
        deleted = await answered(key_feed.change(asked, context))
    last = deleted[-1]
    assert (last.done, last.total, last.changed, last.failed) == (2_003, 2_003, 1_900, 3)
    assert last.why.startswith(gone)
    assert by_hand(node, b"mg many:7\r\n") == b"EN\r\n"
