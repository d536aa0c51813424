"""Screen 3, Nodes: what it shows at every size, the ring tried on paper, and acts behind confirmations."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs
from rich.cells import cell_len
from textual.widgets import Input

from iotcache.errors import UsageError
from iotcache.model import Event, NodeHealth, NodeState, Severity
from iotcache_tui.app import IotCacheApp
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.nodes.commands import BY_ACT, ActMenu, ValueScreen, parse
from iotcache_tui.state.nodes.model import (
    ActOnNode,
    NodeAct,
    NodeCurves,
    NodeFigures,
    NodesFigures,
    NodeTuning,
    SlabFigures,
    WatchNodes,
)
from iotcache_tui.state.nodes.ring import Follower, ResizeProgress, ResizeRing, RingFigures, UndoResize
from iotcache_tui.state.nodes.whatif import TriedNodes
from iotcache_tui.state.updates import Latest
from iotcache_tui.widgets.nodes import node_detail as detail
from iotcache_tui.widgets.nodes.node_columns import BY_KEY, NodeRow
from iotcache_tui.widgets.nodes.node_table import NodeTable
from tests.tui.conftest import RunApp, screen_lines, screen_text
from tests.tui.scripted import NODES

SIZES = [(80, 24), (120, 40), (200, 60)]
SLABS = (
    SlabFigures(5, 240, 1 << 20, 300_000, 1250, 0, 100, 400, 700, 50, 2, 9, 31),
    SlabFigures(12, 1184, 20 << 20, 15_000_000, 12_668, 77, 1, 2, 12_665, 0, 1, 5, 480),
)


def figures(now_s: float, **changes: Any) -> NodesFigures:
    base = NodeFigures(
        name="", at_s=now_s, answered=True, share=1 / 3, ops_per_s=512.0, gets_per_s=400.0, sets_per_s=100.0,
        evictions_per_s=0.0, hit_percent=97.5, ops_now=512.0, hit_now=97.5, used_bytes=15_300_000,
        limit_bytes=64 << 20, items=13_918, connections=9, max_connections=1024, uptime_s=7200, threads=4,
        slabs=SLABS, tuning=NodeTuning(True, 61, 20, 40, 0.2, 2.0, 0), p50_ms=0.41, p99_ms=2.75, in_flight=3,
        errors=1, missing=("mgdump",), reads_per_s=320.0, read_hit_percent=91.0, unreached_per_s=0.0,
    )  # fmt: skip
    first = structs.replace(base, name=NODES[0], **changes)
    return NodesFigures("ketama", (first, *(structs.replace(base, name=name) for name in NODES[1:])))


async def show(app: IotCacheApp, pilot: Any, **changes: Any) -> None:
    await pilot.press("3")
    app.feed.mailbox.put_latest(Latest(node_figures=figures(app.clock.monotonic(), **changes)))
    await tick(app, pilot)


async def tick(app: IotCacheApp, pilot: Any) -> None:
    app.frame()
    await pilot.pause()
    app.frame()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_shows_the_nodes_and_the_chosen_one_the_smallest_panel_by_panel(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    async with run_app(size) as (app, pilot):
        await show(app, pilot)
        text = screen_text(app)
        row = next(line for line in screen_lines(app) if ":21001" in line)
        for part in ("● up", "33.3%", "512", "97.5%", "2.75", "14.6M/64M", "13918"):
            assert part in row
        assert re.search(r"\b12 +1\.2K +12668 14\.3M +20M .* 8m|480s", text)
        assert "a Acts" in text
        assert all(cell_len(line) <= size[0] for line in screen_lines(app))
        columns = {line.index("14.6M/64M") for line in screen_lines(app) if "14.6M/64M" in line}
        assert len(columns) == 1
        together = size != (80, 24)
        for words in (
            "LRU segments", "warm", "× cold's age", "State and its changes", "3 in flight, 1 failed",
            "lacks mgdump", "Two hit ratios", "91.0%", "6.5 points", "lease stubs", "weight 1",
            "ops/s 512", "hit % 97.5%",
        ):  # fmt: skip
            assert (words in text) is together, words
        if not together:
            for words in ("ops/s 512", "3 in flight", "cold", "readers", "weight 1", "chunk"):
                await pilot.press("right")
                await tick(app, pilot)
                assert words in screen_text(app)
            await pilot.press("left")
            await tick(app, pilot)
            assert "[Ring]" in screen_text(app)


async def test_a_node_that_is_out_says_why_and_what_happened_before(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        now_s, wall_s = app.clock.monotonic(), app.clock.now()
        nodes = (
            NodeHealth(NODES[0], NodeState.DOWN, "connection refused", now_s - 42),
            NodeHealth(NODES[1], NodeState.DOWN, "drained: told so", now_s - 5, drained=True),
            NodeHealth(NODES[2], NodeState.UP),
        )
        app.feed.mailbox.put_latest(Latest(nodes=nodes))
        app.feed.mailbox.put_event(
            Event(wall_s - 60, "node.up", Severity.INFO, NODES[0], f"node {NODES[0]} is up")
        )
        app.feed.mailbox.put_event(
            Event(wall_s - 42, "node.down", Severity.ERROR, NODES[0], f"node {NODES[0]} is down: refused")
        )
        await show(app, pilot, answered=False)
        text = screen_text(app)
        assert re.search(r"✗ down +:21001 +33\.3% +connection refused", text)
        assert re.search(r"◇ drained +:21002 +33\.3% +drained: told so", text)
        assert "✗ down for 42s" in text
        assert text.index("down: refused") < text.index(" up", text.index("down: refused"))
        assert "no figures: the node does not answer" in text
        await pilot.press("down")
        await tick(app, pilot)
        assert app.screen.query_one(NodeTable).selected == NODES[1]
        assert "◇ drained for 5s" in screen_text(app)


async def test_the_selection_is_a_node_and_only_lines_that_changed_are_drawn(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        table = app.screen.query_one(NodeTable)
        drawn: list[int] = []
        real = table.draw_line
        table.draw_line = lambda line, width: drawn.append(line) or real(line, width)  # type: ignore[method-assign,func-returns-value]
        await tick(app, pilot)
        assert drawn == []
        known = app.state.node_figures
        assert known is not None
        second = structs.replace(known.nodes[1], ops_per_s=99.0)
        app.feed.mailbox.put_latest(
            Latest(node_figures=structs.replace(known, nodes=(known.nodes[0], second, known.nodes[2])))
        )
        await tick(app, pilot)
        assert set(drawn) == {1}
        assert table.selected == NODES[0]
        await pilot.press("end")
        assert table.selected == NODES[2]
        app.feed.mailbox.put_latest(Latest(nodes=tuple(reversed(app.state.nodes))))
        await tick(app, pilot)
        assert table.selected == NODES[2]
        await pilot.click(NodeTable, offset=(12, 2))
        assert table.selected == NODES[1]


async def test_weights_are_tried_on_paper_and_put_back(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        await pilot.press("plus", "plus", "minus", "plus")
        await tick(app, pilot)
        text = screen_text(app)
        assert "weight 1→3" in text
        moved = re.search(r"([\d.]+) % of keys would move", text)
        assert moved is not None and 15 < float(moved[1]) < 45
        assert "ketama, what if" in text
        await pilot.press("r")
        await tick(app, pilot)
        assert "would move" not in screen_text(app)
        assert not any(isinstance(request, ActOnNode) for request in app.feed.asked)


async def test_a_node_more_and_one_less_are_tried_on_paper(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, pilot):
        await show(app, pilot)
        await pilot.press("m", *"cache4:0", "enter")
        assert "no usable port" in screen_text(app), "what is no node is refused where it was typed"
        await pilot.press(*["backspace"] * 2, *":11211=2", "enter")
        await tick(app, pilot)
        assert "new, 2" in screen_text(app)
        await pilot.press("down", "x")
        await tick(app, pilot)
        text = screen_text(app)
        for words in ("goes", "of keys would move: ", "entries, ", "store reads", "r forgets it"):
            assert words in text
        await pilot.press("r")
        await tick(app, pilot)
        assert "would move" not in screen_text(app)
        assert not any(isinstance(request, ActOnNode) for request in app.feed.asked)


def weights_after(tried: TriedNodes, now: NodesFigures) -> tuple[int, ...]:
    what = tried.look(now)
    assert what is not None
    return tuple(node.weight_after for node in what.nodes)


def test_a_tried_weight_takes_what_it_gives_from_the_others() -> None:
    tried, now = TriedNodes(), figures(0.0)
    for _ in range(3):
        tried.turn(now, NODES[0], 1)
    what = tried.look(now)
    assert what is not None and weights_after(tried, now) == (4, 1, 1)
    assert sum(node.share_after for node in what.nodes) == pytest.approx(1.0)
    assert what.nodes[0].share_after == pytest.approx(4 / 6, abs=0.12)
    for _ in range(9):
        tried.turn(now, NODES[0], -1)
    assert weights_after(tried, now) == (1, 1, 1)
    assert tried.look(NodesFigures("ketama", (NodeFigures(name="no address!", at_s=0.0),))) is None


def test_the_last_node_of_a_tried_list_stays() -> None:
    tried, now = TriedNodes(), figures(0.0)
    for name in NODES:
        tried.turn_out(now, name)
    assert weights_after(tried, now) == (0, 0, 1)
    tried.turn_out(now, NODES[0])
    assert weights_after(tried, now) == (1, 0, 1)


# The ring changes -------------------------------------------------------------------------------


CHANGING = RingFigures(
    epoch=3, phase="handing over", driver="nodes 7 on h", joining=("d:1",), share_moved=0.248, left_s=12.0,
    followers=(
        Follower("h", 8, "ingest", 3, "handing over", 1.0, 0, 0),
        Follower("i", 9, "reader", 3, "handing over", 1.0, 70, 40),
        Follower("h", 9, "reader", 3, "handing over", 1.0, 80, 2),
    ),
)  # fmt: skip


def follow(app: IotCacheApp, ring: RingFigures) -> None:
    known = app.state.node_figures
    assert known is not None
    app.feed.mailbox.put_latest(Latest(node_figures=structs.replace(known, ring=ring)))


async def test_what_is_tried_is_done_on_a_yes_and_its_progress_and_outcome_are_told(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, pilot):
        await show(app, pilot)
        await pilot.press("w")
        await tick(app, pilot)
        assert "nothing is tried" in screen_text(app)
        await pilot.press("m", *"cache4=2", "enter", "w")
        await tick(app, pilot)
        text = " ".join(screen_text(app).split())
        for words in ("Change the ring?", "cache4:11211 joins", "of all keys move", "handed over"):
            assert words in text
        await pilot.press("n")
        assert not any(isinstance(request, ResizeRing) for request in app.feed.asked)
        await pilot.press("w")
        await pilot.pause()
        await pilot.press("y")
        await tick(app, pilot)
        (request,) = [each for each in app.feed.asked if isinstance(each, ResizeRing)]
        assert request.nodes == (*NODES, "cache4:11211=2")
        assert 0.2 < request.foretold.share_moved < 0.6
        ticket = app.feed.asked.index(request) + 1
        follow(app, CHANGING)
        app.feed.answer(
            ResizeProgress("handing over", 500, 2_000, 120, 12_000, 3, 9.0), done=False, ticket=ticket
        )
        await tick(app, pilot)
        text = screen_text(app)
        assert "handing over, 24.8 % of keys, ~12s left; u undoes it" in text
        assert "150 handed over, 42 store reads saved" in text, "by all clients"
        assert "500 of 2000 looked through" in text
        app.feed.answer("ring of epoch 4: 24.8 % of keys moved", ticket=ticket)
        await tick(app, pilot)
        assert "ring of epoch 4" in screen_text(app)
        assert "would move" not in screen_text(app), "what was tried is the ring now"


async def test_a_change_of_another_program_is_seen_and_undone_on_a_yes(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, pilot):
        await show(app, pilot)
        await pilot.press("u")
        await tick(app, pilot)
        assert "no change of the ring is under way" in screen_text(app)
        follow(app, CHANGING)
        await tick(app, pilot)
        assert "by nodes 7 on h" in screen_text(app)
        await pilot.press("u")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert UndoResize() in app.feed.asked
        followers = (
            Follower("h", 7, "ingest", 4, "steady", 1.0),
            Follower("h", 8, "reader", 3, "steady", 2.0),
        )
        follow(app, RingFigures(epoch=4, followers=followers))
        await tick(app, pilot)
        assert "epoch 4, 2 clients follow it, 1 not yet" in screen_text(app)
        assert "hot, on" not in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids="{0[0]}x{0[1]}".format)
async def test_hot_keys_and_what_their_copies_are_good_for(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, pilot):
        await show(app, pilot)
        if size[0] == 80:
            await pilot.press("left")
        followers = (
            Follower("h", 7, "ingest", 0, "steady", 1.0, copy_reads=1, copy_writes=40),
            Follower("h", 8, "reader", 0, "steady", 2.0, copy_reads=900_000),
        )
        keys = (f"site-1/press-7{'x' * 250}:temperature:latest", "b", "c", "d")
        follow(app, RingFigures(followers=followers, hot_keys=keys, hot_nodes=2))
        await tick(app, pilot)
        text = screen_text(app)
        assert "hot, on 2 nodes: site-1/press-7" in text
        assert "perature:latest and 3 more" in text
        if size[0] == 80:
            assert "900k reads of copies, 40 writes to copies" in text
            assert "hot: b" in text
            assert "reader 8 on h" in text


async def test_a_read_only_dashboard_changes_no_ring(run_app: RunApp) -> None:
    async with run_app((120, 40), read_only=True) as (app, pilot):
        await show(app, pilot)
        follow(app, CHANGING)
        await pilot.press("plus", "w", "u")
        await tick(app, pilot)
        assert "read-only" in screen_text(app)
        assert not any(isinstance(each, ResizeRing | UndoResize) for each in app.feed.asked)


# Acts ------------------------------------------------------------------------------------------


ACTS = (
    ("d", "", NodeAct.DRAIN, (), "more reads fall"),
    ("a f", "", NodeAct.FLUSH, (), "what other programs"),
    ("a t", "30 40, 0.5 1.5", NodeAct.LRU_TUNE, ("30", "40", "0.5", "1.5"), "30 % of each class"),
    ("a v", "2", NodeAct.VERBOSITY, ("2",), "will write level 2"),
)


@pytest.mark.parametrize(
    ("act", "typed", "effect"),
    [
        (NodeAct.MEMORY, "128", "may use 128 MB"),
        (NodeAct.LRU_MODE, "flat", "in one list"),
        (NodeAct.LRU_MODE, "segmented", "hot, warm and cold"),
        (NodeAct.TEMP_TTL, "-1", "none is safe from eviction"),
        (NodeAct.TEMP_TTL, "61", "less than 61 s"),
        (NodeAct.LRU_TUNE, "30 40 0.5 1.5", "40 % to warm"),
    ],
)
def test_the_effect_of_what_was_typed_is_told_in_words(act: NodeAct, typed: str, effect: str) -> None:
    message = BY_ACT[act].effect("n:1", parse(BY_ACT[act], typed))
    assert effect in message
    assert "n:1" in message


async def test_an_act_names_node_and_effect_and_is_done_only_on_a_yes(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)

        def done() -> list[ActOnNode]:
            return [request for request in app.feed.asked if isinstance(request, ActOnNode)]

        for place, (keys, typed, act, values, warned) in enumerate(ACTS):
            for answer in ("n", "y") if place == 1 else ("y",):
                await pilot.press(*keys.split())
                if typed:
                    await pilot.pause()
                    app.screen.query_one(Input).value = typed
                    await pilot.press("enter")
                await pilot.pause()
                assert isinstance(app.screen, ConfirmScreen)
                assert f"{act.value}" in screen_text(app)
                assert NODES[0] in screen_text(app)
                assert warned in screen_text(app)
                await pilot.press(answer)
                await pilot.pause()
                assert len(done()) == place + (answer == "y")
            assert done()[-1] == ActOnNode(NODES[0], act, values)
        app.feed.answer("OK", done=False, ticket=app.feed.asked.index(done()[-1]) + 1)
        app.feed.answer(error="refused: ERROR [bold]no\x1b", ticket=app.feed.asked.index(done()[-2]) + 1)
        await tick(app, pilot)
        assert f"{NODES[0]}: verbosity 2: OK" in screen_text(app)
        assert "[bold]no" in screen_text(app)


async def test_a_value_that_does_not_fit_is_refused_where_it_is_typed(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        await pilot.press("a", "m")
        await pilot.pause()
        box = app.screen.query_one(Input)
        assert box.value == "64"
        for wrong, message in (("3", "8 MB or more"), ("lots", "does not take lots"), ("", "type megabytes")):
            box.value = wrong
            await pilot.press("enter")
            await pilot.pause()
            assert isinstance(app.screen, ValueScreen)
            assert message in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.view("nodes")
        assert not any(isinstance(request, ActOnNode) for request in app.feed.asked)


@pytest.mark.parametrize("text", ["64\r\nflush_all", "1e999", "nan", "-5", "1 2 3", "٣٤"])
def test_no_typed_text_becomes_a_second_command(text: str) -> None:
    with pytest.raises(UsageError):
        parse(BY_ACT[NodeAct.VERBOSITY], text)


async def test_a_drained_node_is_offered_its_return_and_the_last_one_in_use_is_warned_of(
    run_app: RunApp,
) -> None:
    async with run_app() as (app, pilot):
        drained = structs.replace(app.state.nodes[0], state=NodeState.DOWN, drained=True)
        out = structs.replace(app.state.nodes[1], state=NodeState.DOWN, reason="gone")
        app.feed.mailbox.put_latest(Latest(nodes=(drained, out, app.state.nodes[2])))
        await show(app, pilot, answered=False)
        await pilot.press("a")
        await pilot.pause()
        assert "Rejoin" in screen_text(app)
        assert "Drain:" not in screen_text(app)
        await pilot.press("escape")
        await pilot.press("d")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert ActOnNode(NODES[0], NodeAct.REJOIN) in app.feed.asked
        await pilot.press("a", "m")
        await pilot.pause()
        assert "it cannot be told anything now" in screen_text(app)
        await pilot.press("end", "d")
        await pilot.pause()
        assert "It is the last node" in screen_text(app)


async def test_read_only_reaches_no_act(run_app: RunApp) -> None:
    async with run_app(read_only=True) as (app, pilot):
        await show(app, pilot)
        for key in ("a", "d"):
            await pilot.press(key)
            await pilot.pause()
            assert not isinstance(app.screen, ActMenu | ConfirmScreen)
        assert "read-only" in screen_text(app)
        app.view("nodes").act_on_selected(NodeAct.FLUSH)  # type: ignore[attr-defined]
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen)


# The feed --------------------------------------------------------------------------------------


async def test_figures_are_wanted_while_shown_and_asked_for_again_when_refused(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        await pilot.press("3")
        await tick(app, pilot)
        assert "no cache node is known yet" in screen_text(app)
        assert app.feed.asked == [WatchNodes()]
        app.feed.answer(error="not ready yet", ticket=1)
        bundled = NodeHealth(NODES[0], NodeState.UP, version="1.6.99-iotcache", bundled=True)
        app.feed.mailbox.put_latest(Latest(nodes=(bundled,)))
        await tick(app, pilot)
        assert "asking the node" in screen_text(app)
        assert app.feed.asked == [WatchNodes()]
        app.clock.advance(2.5)
        await tick(app, pilot)
        assert app.feed.asked == [WatchNodes(), WatchNodes()]
        await show(app, pilot, slabs=(SlabFigures(3, 200, 2000, 2000, 10, 0),))
        assert "this node does not tell its segments" in screen_text(app)
        assert " 1.6.99…" in screen_text(app)
        await pilot.press("1")
        await pilot.pause()
        assert app.feed.cancelled == [2]
        # A recording wants them on every screen.
        nothing = lambda *_: None  # noqa: E731
        app.recorder = SimpleNamespace(problem="", add=nothing, answered=nothing)  # type: ignore[assignment]
        await tick(app, pilot)
        assert len(app.feed.asked) == 3
        assert app.feed.asked[-1] == WatchNodes()


async def test_hostile_names_and_reasons_are_harmless_text(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        names = ["n\x1b[31m:1", "[bold]x[/bold]:2", "漢字漢字漢字漢字漢字漢字漢字漢字:3", "a" * 300]
        reason = "why\x1b]0;t\x07\n" + "x" * 500
        app.feed.mailbox.put_latest(
            Latest(
                nodes=tuple(NodeHealth(name, NodeState.DOWN, reason) for name in names),
                node_figures=NodesFigures(
                    "ketama", tuple(NodeFigures(name=name, at_s=0.0) for name in names)
                ),
            )
        )
        for name in names:
            app.feed.mailbox.put_event(Event(0.0, "node.down", Severity.ERROR, name, name + " is \x1b[2J"))
        await show(app, pilot)
        app.feed.mailbox.put_latest(
            Latest(
                node_figures=NodesFigures("ketama", tuple(NodeFigures(name=name, at_s=1.0) for name in names))
            )
        )
        for _ in names:
            await pilot.press("down", "plus")
            await tick(app, pilot)
            text = screen_text(app)
            assert "\x1b" not in text and "\x07" not in text
            assert all(cell_len(line) <= 120 for line in screen_lines(app))


async def test_plain_ascii_holds_no_other_character(run_app: RunApp) -> None:
    async with run_app((120, 40), ascii=True) as (app, pilot):
        await show(app, pilot)
        await pilot.press("plus")
        await tick(app, pilot)
        drawn = [line for line in screen_lines(app)[2:] if "Space" not in line]
        assert not [char for line in drawn for char in line if ord(char) > 126]


def test_the_history_keeps_points_in_their_columns_and_bridges_single_gaps() -> None:
    history = NodeCurves()
    for poll in range(40):
        if poll not in {10, *range(20, 28)}:
            history.add(figures(1000.0 + 2 * poll, ops_now=float(poll)))
    ops = history.ops(NODES[0], 1078.0, 150)
    assert ops[-40:] == [
        9.0 if poll == 10 else None if poll in range(20, 28) else float(poll) for poll in range(40)
    ]
    assert history.ops(NODES[0], 1080.0, 150)[-41:-1] == ops[-40:]
    assert history.ops("nobody", 1078.0, 3) == [None, None, None]


def node_row(**changes: Any) -> NodeRow:
    (node, *_) = figures(0.0, **changes).nodes
    return NodeRow(NodeHealth(NODES[0], NodeState.UP), node, ":21001")


def test_a_scale_of_thousands_keeps_its_unit() -> None:
    history, row = NodeCurves(), node_row(ops_now=9_900.0)
    for at_s in range(0, 60, 2):
        history.add(figures(float(at_s), ops_now=9_900.0))
    lines = ["".join(text for text, _ in line) for line in detail.load(row, history, 60.0, 50, 9, False)]
    assert any(line.endswith("10.0k") for line in lines)
    assert max(map(cell_len, lines)) < 50, "a panel begins each line with a blank"


def test_slab_classes_stand_in_their_order() -> None:
    slabs = tuple(
        SlabFigures(number, 96, (number % 3 + 1) << 20, 1_000, 10, 0, 1, 1, 1, 0, 1, 1, 1)
        for number in (2, 10, 9)
    )
    lines = detail.memory(node_row(slabs=slabs), 90, 12, ascii_only=False)
    assert [line[0][0].split()[0] for line in lines[1:]] == ["2", "9", "10"]


def test_a_node_whose_pages_are_all_held_is_full_once_it_evicts() -> None:
    held = (SlabFigures(5, 240, 64 << 20, 7_000_000, 1250, 0, 1, 1, 1, 0, 1, 1, 1),)
    (bar, tone), _ = BY_KEY["memory"].draw(node_row(slabs=held, evictions_per_s=40.0), 30, False)
    assert (bar, tone) == ("█" * 18, "full")
    (_, tone), _ = BY_KEY["memory"].draw(node_row(slabs=held), 30, False)
    assert tone == "bar"


def test_one_is_no_plural() -> None:
    lines = detail.story(node_row(threads=1), [], 0.0, 90, 9, False)
    text = "\n".join("".join(piece for piece, _ in line) for line in lines)
    assert "1 thread," in text and "1 failed batch " in text
