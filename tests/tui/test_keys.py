"""The Keys screen: crawling, totals, sorting, filtering, a value, deleting; and the parts behind it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import Input

from iotcache.cluster.wire.metadump import CrawlBusy, DumpedItem, Metadump
from iotcache.errors import NodeError
from iotcache.keys import Keys
from iotcache.model import Series
from iotcache_tui.screens.clipboard import tmux_passed
from iotcache_tui.screens.device.screen import DeviceScreen
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.keys.screen import KeysScreen
from iotcache_tui.screens.keys.value import KeyValueScreen
from iotcache_tui.state.fleet.filter import FilterError
from iotcache_tui.state.keys.histograms import spreads
from iotcache_tui.state.keys.model import (
    CLASSES,
    CachedValue,
    ChangeKeys,
    CountKeys,
    CrawlAgain,
    CrawlKeys,
    CrawlStep,
    Deleted,
    DeleteKey,
    FetchValue,
    KeyChunk,
    KeyColumns,
    KeyCounts,
    NodeCrawl,
    Total,
    class_of,
    group_of,
)
from iotcache_tui.state.keys.view import KeyView, parse
from iotcache_tui.state.requests import ActionProgress
from tests.tui.conftest import RunApp, screen_lines, screen_text
from tests.tui.scripted import NODES

SIZES = [(80, 24), (120, 40), (200, 60)]
HOSTILE = "evil[bold]\x1b[31m\u202egnp\u200b.exe".encode()


def chunk(wall_s: float, keys: list[bytes] | None = None) -> KeyChunk:
    keys = keys or [
        b"cold-room-0001:temperature:latest",
        b"hvac-0001:humidity:latest",
        b"hvac-0001:meta",
        b"session/42",
        HOSTILE,
    ]
    count = len(keys)
    return KeyChunk(
        keys,
        bytes(at % 3 for at in range(count)),
        bytes(CLASSES.index(class_of(key.decode("utf-8", "replace"))) for key in keys),
        [200 + 100 * at for at in range(count)],
        [wall_s + 20 * (at + 1) if at != 3 else inf for at in range(count)],
        [wall_s - at for at in range(count)],
        bytes([5] * count),
        bytes(at % 2 for at in range(count)),
    )


def step(wall_s: float, *, state: str = "done", seen: int = 5, keys: list[bytes] | None = None) -> CrawlStep:
    return CrawlStep(
        tuple(NodeCrawl(name, 2, seen if name == NODES[0] else 0, state) for name in NODES),
        chunk(wall_s, keys),
        (Total("latest", 2, 500), Total("meta", 1, 400), Total("foreign", 2, 1_100)),
        (Total("evil", 1, 600), Total("hvac", 2, 700)),
    )


async def opened(app: Any, pilot: Any) -> KeysScreen:
    """The screen after its first crawl."""
    await pilot.press("4")
    await pilot.pause()
    app.frame()
    assert app.feed.asked == [CountKeys()]
    app.feed.answer(KeyCounts(tuple(NodeCrawl(name, 2) for name in NODES)), done=False)
    app.feed.answer()
    app.frame()
    assert app.feed.asked[-1] == CrawlKeys()
    app.feed.answer(step(app.clock.now()), done=False)
    app.feed.answer()
    app.frame()
    await pilot.pause()
    screen = app.screen
    assert isinstance(screen, KeysScreen)
    return screen


def keys_of(screen: KeysScreen) -> list[bytes]:
    return [screen.key_view.columns.key[row] for row in screen.key_view.order]


async def test_every_size_shows_keys_totals_and_nodes_and_columns_line_up(run_app: RunApp) -> None:
    async with run_app(SIZES[-1], devices=5) as (app, pilot):
        await opened(app, pilot)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            app.frame()
            await pilot.pause()
            text, lines = screen_text(app), screen_lines(app)
            for words in (
                "✓ :21001",
                "5 keys",
                "live",
                "TTL▲",
                "hvac-0001:humidity:latest",
                "never",
                "q Quit",
            ):
                assert words in text, (width, words)
            assert "\x1b" not in text and "\u202e" not in text and "evil[bold]\\x1b" in text
            assert all(cell_len(line) <= width for line in lines)
            rows = [line for line in lines[4:] if ":2100" in line]
            assert len(rows) == 5 and len({line.index(":2100") for line in rows}) == 1
            assert any("foreign" in line and "55.0%" in line for line in lines)


async def test_sorting_filtering_and_opening_a_total(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        screen = await opened(app, pilot)
        assert keys_of(screen)[0] == b"cold-room-0001:temperature:latest"
        assert keys_of(screen)[-1] == b"session/42"
        await pilot.press("b")
        assert keys_of(screen)[0] == HOSTILE
        await pilot.press("r")
        assert keys_of(screen)[0] == b"cold-room-0001:temperature:latest"
        await pilot.press("s")
        assert screen.key_view.sort == "idle"
        assert keys_of(screen)[0] == HOSTILE
        await pilot.click("#keys-table", offset=(2, 0))
        await pilot.pause()
        assert keys_of(screen) == sorted(keys_of(screen))
        await pilot.click("#keys-table", offset=(2, 0))
        await pilot.pause()
        assert keys_of(screen) == sorted(keys_of(screen), reverse=True)
        screen.action_sort_by("ttl")
        await pilot.press("slash", *"hvac", "enter")
        app.frame()
        await pilot.pause()
        assert keys_of(screen) == [b"hvac-0001:humidity:latest", b"hvac-0001:meta"]
        assert "2 match" in screen_text(app)
        box = screen.query_one("#keys-filter", Input)
        box.value = "class:la ttl<30"
        await pilot.pause()
        assert keys_of(screen) == [b"cold-room-0001:temperature:latest"]
        box.value = "sise>3"
        await pilot.pause()
        assert "there is no field “sise”: did you mean size?" in screen_text(app)
        assert len(keys_of(screen)) == 1
        box.value = "zzz"
        await pilot.pause()
        assert "no key matches “zzz”" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(keys_of(screen)) == 5
        screen.by_class.focus()
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert keys_of(screen) == [b"hvac-0001:meta"]
        screen.by_group.focus()
        await pilot.press("end", "enter")
        await pilot.pause()
        assert keys_of(screen) == [b"hvac-0001:humidity:latest", b"hvac-0001:meta"]
        await pilot.press("t")
        app.frame()
        await pilot.pause()
        assert "By class" not in screen_text(app)


async def test_the_selection_stays_on_its_key_when_the_crawl_is_done_again(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("down", "down")
        key = b"hvac-0001:humidity:latest"

        def selected() -> object:
            row = screen.table.selected
            assert isinstance(row, int)
            return screen.key_view.columns.key[row]

        assert selected() == key
        app.clock.advance(10.0)
        app.frame()
        assert app.feed.asked[-1] == CrawlAgain()
        later = [key, b"aaa", b"hvac-0001:x:latest", b"ccc", key]  # the first of them on another node
        app.feed.answer(step(app.clock.now(), keys=later), done=False)
        app.frame()
        assert selected() == key
        assert len(screen.key_view.columns.key) == 5 and b"aaa" not in screen.key_view.columns.key
        app.feed.answer()
        app.frame()
        assert b"aaa" in screen.key_view.columns.key
        assert screen.table.selected == 4
        await pilot.press("1")
        await pilot.pause()
        asked = len(app.feed.asked)
        app.clock.advance(60.0)
        app.frame()
        assert len(app.feed.asked) == asked  # a screen that is not shown asks nothing


async def test_a_large_node_is_crawled_only_after_a_question_and_can_be_stopped(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        await pilot.press("4")
        await pilot.pause()
        app.frame()
        big = KeyCounts(tuple(NodeCrawl(name, 400_000) for name in NODES))
        app.feed.answer(big)
        app.frame()
        await pilot.pause()
        assert len(app.feed.asked) == 1
        assert "1,200,000 items: listing them costs the nodes some work" in screen_text(app)
        await pilot.press("c")
        app.feed.answer(big)
        app.frame()
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert "1,200,000 items" in screen_text(app) and "108 MB" in screen_text(app)
        await pilot.press("y")
        await pilot.pause()
        assert app.feed.asked[-1] == CrawlKeys()
        app.feed.answer(step(app.clock.now(), state="crawling", seen=600_000), done=False)
        app.frame()
        await pilot.pause()
        assert "crawling" in screen_text(app) and "600,000 of 600,004" in screen_text(app)
        await pilot.press("escape")
        app.frame()
        await pilot.pause()
        assert app.feed.cancelled == [len(app.feed.asked)]
        assert "stopped before the end" in screen_text(app) and "cold-room-0001" in screen_text(app)


async def test_a_node_that_failed_and_a_feed_that_is_not_ready_say_why(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        await pilot.press("4")
        await pilot.pause()
        app.frame()
        app.feed.answer(error="not ready yet: the servers are still being reached")
        app.frame()
        await pilot.pause()
        assert "not ready yet" in screen_text(app) and "c tries again" in screen_text(app)
        await pilot.press("c")
        app.feed.answer(KeyCounts((NodeCrawl(NODES[0], state="failed", why="connection refused"),)))
        app.frame()
        app.feed.answer(CrawlStep((NodeCrawl(NODES[0], state="failed", why="is hung"),), None, (), ()))
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "✗ :21001 is hung" in text and "no node lists its keys: is hung" in text


async def test_a_key_is_looked_into_deleted_and_leads_to_its_device(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("d")
        await pilot.pause()
        assert "choose a key first" in screen_text(app)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, KeyValueScreen)
        key = b"cold-room-0001:temperature:latest"
        assert app.feed.asked[-1] == FetchValue(key, NODES[0])
        app.feed.answer(
            CachedValue(
                key, NODES[0], True, app.clock.now(), b"\x78\x9czip", 5, 24, 17.0, b'{"a":1}', "JSON",
                "21.5 °C\x1b", ("{", '  "a": "\u202e1"', "}"),
            )
        )  # fmt: skip
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "7 B inflated" in text and "flags 24 (text, zlib)" in text and "TTL 17s" in text
        assert '"a": "\\u202e1"' in text and "21.5 °C\\x1b" in text and "one get" in text
        await pilot.press("x")
        await pilot.pause()
        assert "78 9c 7a 69 70" in screen_text(app) and "x·zip" in screen_text(app)
        await pilot.press("x")
        await pilot.pause()
        assert "7b 22 61 22 3a 31 7d" in screen_text(app)
        await pilot.press("r")
        app.feed.answer(CachedValue(key, NODES[0], False))
        app.frame()
        await pilot.pause()
        assert "not there any more" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, KeysScreen)
        await pilot.press("end", "d")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert "session/42 on :21001" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert not any(isinstance(asked, DeleteKey) for asked in app.feed.asked)
        await pilot.press("d", "y")
        await pilot.pause()
        assert app.feed.asked[-1] == DeleteKey(b"session/42", NODES[0])
        app.feed.answer(Deleted(True))
        app.frame()
        await pilot.pause()
        assert "session/42 is deleted" in screen_text(app)
        assert "deleted" in next(line for line in screen_lines(app) if line.startswith("session/42"))
        app.read_only = True
        await pilot.press("d")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen) and "read-only" in screen_text(app)
        await pilot.press("end", "g")
        await pilot.pause()
        assert "no device of this fleet" in screen_text(app)
        await pilot.press("home", "g")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        assert app.state.fleet.series[app.selected_row] == Series("cold-room-0001", "temperature")


# The parts


def test_a_dump_is_read_whatever_the_pieces_and_the_fields() -> None:
    raw = (
        b"OK\r\nkey=a%20b exp=1795399393 la=1795399344 cas=2 fetch=yes cls=1 size=69\n"
        b"key=%FF exp=-1 la=7 cas=1 fetch=no cls=3 size=80 flags=16 later=%2C\n"
        b"key=c size=5 new=1 cls=2\nEND\r\n"
    )
    wanted = [
        DumpedItem(b"a b", 1795399393.0, 1795399344, True, 1, 69),
        DumpedItem(b"\xff", inf, 7, False, 3, 80),
        DumpedItem(b"c", inf, 0, False, 2, 5),
    ]
    for size in (1, 2, 7, 50, 10_000):
        dump = Metadump()
        found = [item for at in range(0, len(raw), size) for item in dump.feed(raw[at : at + size])]
        assert found == wanted and dump.ended


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (b"BUSY currently processing crawler request\r\n", CrawlBusy, "another crawl"),
        (b"CLIENT_ERROR lru crawler disabled\r\n", NodeError, "crawler disabled"),
        (b"ERROR\r\n", NodeError, "does not list"),
        (b"HTTP/1.1 400 Bad Request\r\n", NodeError, "fits no question"),
        (b"key=a exp=soon la=1 cas=1 fetch=no cls=1 size=1\n", NodeError, "fits no question"),
        (b"k" * 5_000, NodeError, "longer than"),
    ],
)
def test_what_is_no_dump_ends_it(line: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Metadump().feed(line)


def test_keys_are_told_by_their_shape() -> None:
    keys = Keys("p/")
    long = keys.latest("x" * 300, "temp")
    for key, kind in {
        keys.latest("a b", "c:d"): "latest", keys.bucket("a", "b", 1): "bucket", keys.meta("a"): "meta",
        keys.config("a"): "cfg", keys.aggregate("s", "t"): "agg", "iotcache:fence": "own", long: "own",
        "a:b:latest": "foreign", "p/a:b:c:latest": "foreign", "p/x": "foreign", "p/:meta": "foreign",
    }.items():  # fmt: skip
        assert class_of(key, "p/") == kind, key
    assert group_of("p/cold%20room-0001:temp:latest", "p/") == "cold room"
    assert group_of("session.42") == "session" and group_of("12345") == "12345"


def test_filters_and_orders_on_many_keys() -> None:
    columns = KeyColumns()
    columns.nodes = NODES
    columns.extend(chunk(100.0))
    view = KeyView()
    view.replace(columns)
    for text, rows in {
        "hvac": {1, 2}, "*:latest": {0, 1}, "class:foreign": {3, 4}, "node:21002": {1, 4}, "ttl<50": {0, 1},
        "ttl>1h": {3}, "size>300 size<600": {2, 3}, "idle>3": {4}, "slab>4": {0, 1, 2, 3, 4}, "a:b": set(),
        "0001:hum": {1}, "": {0, 1, 2, 3, 4},
    }.items():  # fmt: skip
        assert view.set_filter(text), text
        view.rebuild(100.0)
        assert set(view.order) == rows, text
    view.sort = "ttl"
    view.rebuild(130.0)
    assert list(view.order)[:1] == [1] and list(view.order)[-2:] in ([0, 3], [3, 0])  # the expired at the end
    for text in ("class:x", "size<many", "ttl>5x", "sice>3"):
        with pytest.raises(FilterError):
            parse(text)
        assert not view.set_filter(text) and view.error


async def test_all_keys_on_show_are_counted_asked_for_and_changed(run_app: RunApp) -> None:
    async with run_app(devices=5) as (app, pilot):
        screen = await opened(app, pilot)
        screen.filter_by("hvac")
        await pilot.pause()
        await pilot.press("D")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        shown = screen_text(app)
        assert "Delete 2 keys?" in shown and "that pass “hvac”" in shown and "latest 1, meta 1" in shown
        await pilot.press("y")
        assert isinstance(app.feed.asked[-1], ChangeKeys)
        changed = {key for _, keys in app.feed.asked[-1].keys for key in keys}
        assert changed == {b"hvac-0001:humidity:latest", b"hvac-0001:meta"}
        app.feed.answer(ActionProgress(1, 2, 1), done=False)
        app.frame()
        await pilot.pause()
        assert "deleting 1 of 2   Esc stops" in screen_text(app)
        ticket = len(app.feed.asked)
        await pilot.press("escape")
        assert ticket in app.feed.cancelled
        await pilot.press("T")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "Let 2 keys live 60s from now?" in screen_text(app)
        await pilot.press("n")


async def test_a_read_only_dashboard_changes_no_keys(run_app: RunApp) -> None:
    async with run_app(devices=5, read_only=True) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("D", "T")
        await pilot.pause()
        assert app.screen is screen
        assert not any(one.acts for one in app.feed.asked)


async def test_key_and_value_are_copied_so_that_they_are_safe_to_paste(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    async with run_app(devices=5) as (app, pilot):
        screen = await opened(app, pilot)
        screen.table.selected = screen.key_view.columns.key.index(HOSTILE)
        await pilot.press("y")
        assert app.clipboard == r"evil[bold]\x1b[31m\u202egnp\u200b.exe"
        await pilot.press("Y")
        assert isinstance(app.feed.asked[-1], FetchValue)
        value = CachedValue(
            HOSTILE, NODES[0], True, stored=b"x", size=9, pretty=("{", "  \x1b]0;t\x07\r", "}")
        )
        app.feed.answer(value)
        app.frame()
        assert app.clipboard == "{\n  \\x1b]0;t\\x07\\x0d\n}"
    assert tmux_passed("a") == "\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\"


@pytest.mark.parametrize("size", SIZES)
async def test_histograms_stand_in_for_the_totals(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size, devices=5) as (app, pilot):
        await opened(app, pilot)
        before = screen_text(app)
        await pilot.press("h")
        app.frame()
        await pilot.pause()
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "Spread of the keys on show" in text and "TTL left" in text
        await pilot.press("h")
        app.frame()
        await pilot.pause()
        assert ("By class" in before) == ("By class" in screen_text(app))


def test_a_spread_counts_every_key_once() -> None:
    view, columns = KeyView(), KeyColumns()
    columns.extend(chunk(1_000.0))
    view.replace(columns)
    view.rebuild(1_000.0)
    ttl, sizes, idle = spreads(view, 1_000.0)
    assert sum(ttl.counts) == sum(sizes.counts) == sum(idle.counts) == 5
    assert ttl.counts[-1] == 1, "one lives for ever"
