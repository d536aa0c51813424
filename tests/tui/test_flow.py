"""Screen 5, Flow: the picture at every size, its keys, and what is said to hold the pipeline up."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec import structs
from rich.cells import cell_len

from iotcache.clock import ManualClock
from iotcache.config.schema import Settings
from iotcache.model import MissReason, NodeHealth, NodeState, Read, Source
from iotcache.mqtt import Message
from iotcache.published_stats import FleetStats, IngestStats, ReaderStats
from iotcache_tui.app import IotCacheApp
from iotcache_tui.feed.parts import Parts
from iotcache_tui.feed.process_stats import ProcessRate, ProcessStatsListener
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow import BOXES, worst
from iotcache_tui.state.flow_history import ARROWS, rates
from iotcache_tui.state.nodes.model import NodeFigures, NodesFigures, WatchNodes, applications
from iotcache_tui.state.updates import (
    Drained,
    Latest,
    Mailbox,
    Part,
    Processes,
    Reader,
    Second,
    Simulator,
    Worker,
)
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.canvas import Canvas
from iotcache_tui.widgets.flow.flow_layout import arrange, towards
from iotcache_tui.widgets.flow.flow_picture import FlowPicture, speed
from tests.tui.conftest import WALL_S, RunApp, screen_lines, screen_text
from tests.tui.scripted import NODES

NOW_S = 1_000.0
SIZES = [(80, 24), (120, 40), (200, 60)]
INGEST = IngestStats(
    received=500, readings=497, received_per_s=240.0, stored_per_s=239.0, queued=12, unacked=20, lag_s=0.2,
    commit_p50_ms=1.5, commit_p99_ms=4.25, write_through_p99_ms=2.0, dead_letters=3,
)  # fmt: skip
FLEET = FleetStats(devices=60, rate=241.0, late=0, lag_p99_ms=3.0)


def processes(*, late: int = 0, **ingest: Any) -> Processes:
    """A worker and a simulator; ``ingest`` are other counters of the worker."""
    return Processes(
        (Worker("w1", NOW_S, structs.replace(INGEST, **ingest)),),
        (Simulator("s1", 0.0, structs.replace(FLEET, late=late)),),
    )


def second(**changes: Any) -> Second:
    told = Second(
        0.0, 400, 396, {MissReason.EXPIRED: 4}, 0.4, 1.9, 240.0, 241.0,
        stored_per_s=239.0, written_per_s=239.0, served_per_s=396.0, fallen_per_s=4.0,
    )  # fmt: skip
    return structs.replace(told, **changes)


def state(**changes: Any) -> DashboardState:
    """All is well, but for ``changes``: fields of `Drained`."""
    made = DashboardState()
    well: dict[str, Any] = {
        "processes": processes(),
        "seconds": [second()] * 6,
        "nodes": [NodeHealth(name, NodeState.UP) for name in NODES],
        "parts": (Part("broker", "up", "embedded"), Part("nodes", "up"), Part("store", "up", "sqlite")),
    }
    made.apply(Drained(**{**well, **changes}))
    made.judge(NOW_S, WALL_S)
    return made


# What holds it up ------------------------------------------------------------------------------


def held(**changes: Any) -> tuple[str, str]:
    found = worst(state(**changes))
    return (found.part, found.label) if found else ("", "")


def test_a_pipeline_that_is_well_has_no_bottleneck() -> None:
    assert held() == ("", "")


def test_a_part_that_is_away_comes_before_all_it_causes() -> None:
    away = (Part("broker", "down", "refused"), Part("store", "up"))
    assert held(parts=away, processes=Processes()) == ("broker", "down")
    lagging = processes(lag_s=90.0, stored_per_s=0.0)
    assert held(parts=(Part("store", "down", "locked"),), processes=lagging) == ("store", "down")


def test_workers_that_are_missing_or_stand_still() -> None:
    only = Processes(simulators=processes().simulators)
    assert held(processes=only) == ("workers", "not heard")
    assert held(processes=Processes()) == ("workers", "not heard")
    assert held(processes=processes(waiting_for="store: locked", waiting_store="locked")) == (
        "store",
        "not reached by the worker",
    )
    assert held(processes=processes(waiting_for="broker: refused", waiting_broker="refused")) == (
        "broker",
        "not reached by the worker",
    )


def test_a_lag_is_put_down_to_what_takes_the_time() -> None:
    assert held(processes=processes(lag_s=0.9, commit_p99_ms=900.0)) == ("", "")
    assert held(processes=processes(lag_s=4.0, commit_p99_ms=900.0)) == ("store", "slow")
    assert held(processes=processes(lag_s=4.0, write_through_p99_ms=900.0)) == ("nodes", "slow")
    assert held(processes=processes(lag_s=4.0)) == ("workers", "busy")
    found = worst(state(processes=processes(lag_s=4.0, commit_p99_ms=900.0)))
    assert found is not None
    assert found.sentence == "store slow · commits take p99 900 ms · the oldest message waits 4.0 s"


def test_nodes_that_are_out_drained_short_of_memory_missed_or_behind() -> None:
    out = [NodeHealth(NODES[0], NodeState.DOWN, "refused"), NodeHealth(NODES[1], NodeState.UP)]
    assert held(nodes=out) == ("nodes", "not reached from here")
    told = [f"{NODES[0]}: refused"]
    assert held(nodes=out, processes=processes(nodes_out=told)) == ("nodes", "down")
    assert held(nodes=[structs.replace(out[0], drained=True), out[1]]) == ("nodes", "drained")
    evicting = NodesFigures(
        "ketama", (NodeFigures(name=NODES[0], at_s=0.0, answered=True, evictions_per_s=9.0),)
    )
    assert held(node_figures=evicting) == ("nodes", "memory full")
    assert held(seconds=[second(hits=200, misses={MissReason.EXPIRED: 150, MissReason.EVICTED: 50})] * 5) == (
        "nodes",
        "missed",
    )
    assert held(processes=processes(dirty_keys=5)) == ("nodes", "behind")


def test_more_in_than_out_piles_up_at_the_broker() -> None:
    assert held(seconds=[second(published_per_s=500.0)] * 5) == ("broker", "piles up")
    assert held(seconds=[second(published_per_s=244.0)] * 5) == ("", "")
    assert held(seconds=[second(published_per_s=None)] * 5) == ("", "")


def test_a_simulator_behind_its_plan_is_late_only_while_it_is() -> None:
    made = state()
    for late in (0, 100, 200, 300):
        made.apply(Drained(seconds=[second()], processes=processes(late=late)))
    made.judge(NOW_S, WALL_S)
    found = worst(made)
    assert found is not None and (found.part, found.label) == ("simulator", "late")
    for _ in range(6):
        made.apply(Drained(seconds=[second()]))
    made.judge(NOW_S, WALL_S)
    assert worst(made) is None


def test_counters_that_are_nonsense_are_passed_over() -> None:
    mailbox, clock = Mailbox(), ManualClock(WALL_S)
    listener = ProcessStatsListener(Parts(mailbox, Settings()), clock)

    def publish(topic: str, payload: bytes, *, retain: bool = False) -> Processes:
        listener.take(Message(topic, payload, 0, retain, 0, 0, 0, len(payload)))
        return listener.processes(clock.monotonic())

    for wild in (b'{"received_per_s":"many"}', b'{"queued":null}', b'{"waiting_for":["x"]}', b"[]", b"\xff"):
        assert publish("iotcache/stats/ingest/w", wild) == Processes()
    assert publish("iotcache/stats/somebody/w", b'{"received":1}') == Processes()
    assert publish("iotcache/stats", b'{"received":1}') == Processes()
    assert publish("iotcache/stats/ingest/w", b'{"received":1}', retain=True) == Processes()
    (worker,) = publish("iotcache/stats/ingest/w\x1b", b'{"received":7,"new_field":1}').workers
    assert worker.stats.received == 7
    assert "\x1b" not in worker.instance
    (simulator,) = publish("iotcache/stats/simulator/s", b'{"published":9}').simulators
    assert simulator.stats.published == 9
    assert not publish("iotcache/stats/simulator/s", b'{"state":"gone"}').simulators
    clock.advance(60.0)
    assert listener.processes(clock.monotonic()) == Processes(silent=(worker,))
    clock.advance(600.0)
    assert listener.processes(clock.monotonic()) == Processes()


def test_of_seconds_that_come_late_only_what_they_tell_is_kept() -> None:
    made = state(seconds=[second(published_per_s=float(number)) for number in range(4)])
    assert [rates[0] for rates in made.flow_history.rates] == [0.0, 1.0, 2.0, 3.0]
    assert made.flow_history.rates[0][1:] == (240.0, 239.0, 239.0, 396.0, 4.0)


def test_arrows_are_what_workers_and_applications_tell_never_what_this_program_does() -> None:
    """A foreign program sets 4,187 keys a second, and this one looks at 400: neither is on an arrow."""
    from iotcache.keys import Keys
    from iotcache_tui.feed.read_stats import ReadStats

    foreign = NodeFigures(
        name=NODES[0], at_s=0.0, answered=True, sets_per_s=4_187.0, gets_per_s=5_000.0,
        others_gets_per_s=4_600.0, others_hit_percent=50.0,
    )  # fmt: skip
    others = applications(NodesFigures("ketama", (foreign,)))
    assert others is not None and others.hits_per_s == 2_300.0
    stats = ReadStats(Keys())
    stats.grow(1)
    stats.add([0] * 400, [Read("a", "t", 1.0, Source.CACHE)] * 400, 1.0, 2.0)
    none_heard = stats.close_second(1.0, 0, Processes(), (None, None), others.hits_per_s)
    assert rates(none_heard) == (None, None, None, None, 2_300.0, None)
    ours = Reader("r1", 0.0, ReaderStats(hits_per_s=90.0, fallbacks_per_s=10.0))
    told = structs.replace(processes(cache_writes_per_s=12.0), readers=(ours,))
    heard = stats.close_second(2.0, 0, told, (240.0, 241.0), others.hits_per_s)
    assert rates(heard) == (241.0, 240.0, 12.0, 239.0, 90.0, 10.0)


# Drawing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_shows_each_box_and_rate_and_the_verdict(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    async with run_app(size) as (app, pilot):
        await show(app, pilot)
        text = screen_text(app)
        for words in (
            "simulator", "broker", "workers", "cache nodes", "store", "readers", "60 devices", "20 unacked",
            "queue 12", "3 of 3 up", "p99 4.25 ms", "241/s", "240/s", "239/s", "no problem",
            "commit p50",
        ):  # fmt: skip
            assert words in text
        assert all(cell_len(line) <= size[0] for line in screen_lines(app))
        assert ("simulator → broker" in text) is (size != (80, 24))


async def show(app: IotCacheApp, pilot: Any, **changes: Any) -> None:
    app.feed.mailbox.put_latest(Latest(processes=processes(), **changes))
    for _ in range(3):
        app.feed.mailbox.put_second(second(at_s=app.clock.monotonic()))
    await pilot.press("5")
    await tick(app, pilot)


async def tick(app: IotCacheApp, pilot: Any) -> None:
    app.frame()
    await pilot.pause()
    app.frame()
    await pilot.pause()


async def test_the_bottleneck_is_marked_b_goes_to_it_and_hostile_names_are_harmless(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        app.feed.mailbox.put_latest(Latest(processes=processes(lag_s=7.0, commit_p99_ms=850.0)))
        await tick(app, pilot)
        text = screen_text(app)
        assert re.search(
            r"▲ store slow \d+s · commits take p99 850 ms · the oldest message waits 7.0 s", text
        )
        assert re.search(r"▲ slow [─━]", text)
        await pilot.press("b")
        assert app.screen.query_one(FlowPicture).selected == "store"
        assert "stored/s" in screen_text(app)
        waiting = IngestStats(waiting_for="store: \x1b]0;x\x07\n")
        wild = Processes((Worker("w\x1b[31m[bold]", 0.0, waiting),))
        app.feed.mailbox.put_latest(
            Latest(processes=wild, nodes=(NodeHealth("n\x1b:1", NodeState.DOWN, "why\x1b"),))
        )
        for box in BOXES:
            app.screen.query_one(FlowPicture).select(box)
            await tick(app, pilot)
            assert "\x1b" not in screen_text(app)
            assert "\x07" not in screen_text(app)


async def test_keys_move_among_the_boxes_and_show_their_figures(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        picture = app.screen.query_one(FlowPicture)
        for key, box in (
            ("left", "broker"), ("left", "simulator"), ("left", "simulator"), ("right", "broker"),
            ("right", "workers"), ("tab", "nodes"), ("tab", "store"), ("tab", "readers"),
            ("shift+tab", "store"), ("up", "nodes"), ("down", "store"), ("right", "readers"),
        ):  # fmt: skip
            await pilot.press(key)
            assert picture.selected == box
        await tick(app, pilot)
        assert re.search(r"expired +4/s +1\.0 % of looks would have gone to the store", screen_text(app))


async def test_enter_and_a_click_open_the_part_and_figures_are_wanted_only_while_shown(
    run_app: RunApp,
) -> None:
    async with run_app() as (app, pilot):
        assert app.feed.asked == []
        await show(app, pilot)
        assert app.feed.asked == [WatchNodes()]
        picture = app.screen.query_one(FlowPicture)
        assert picture.layout_of_boxes is not None
        rect = picture.layout_of_boxes.rects["readers"]
        await pilot.click(FlowPicture, offset=(rect.x + 2, rect.y + 1))
        await pilot.pause()
        assert app.screen is app.view("fleet")
        assert app.feed.cancelled == [1]
        for box, screen in (("nodes", "nodes"), ("workers", "events")):
            await pilot.press("5")
            await pilot.pause()
            picture.select(box)
            await pilot.press("enter")
            await pilot.pause()
            assert app.screen is app.view(screen)


async def test_marks_wander_with_time_and_only_with_motion(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await show(app, pilot)
        for reduced in (False, True):
            app.settings = structs.replace(app.settings, reduced_motion=reduced)
            pictures = []
            for _ in range(3):
                app.clock.advance(0.5)
                await tick(app, pilot)
                pictures.append("\n".join(screen_lines(app)[3:20]))
            assert ("•" in pictures[0]) is not reduced
            assert (len(set(pictures)) > 1) is not reduced


def test_motion_is_calm_grows_with_the_rate_and_rests_without_one() -> None:
    assert speed(None) == speed(0.0) == 0.0
    assert 0 < speed(1.0) < speed(1_000.0) <= speed(1e9) <= 6.0


async def test_before_anything_is_known_it_says_so(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        await pilot.press("5")
        await tick(app, pilot)
        text = screen_text(app)
        assert "waiting for the first second" in text
        assert "none heard" in text
        assert "no worker tells of itself" in text


async def test_plain_ascii_holds_no_other_character(run_app: RunApp) -> None:
    async with run_app(ascii=True) as (app, pilot):
        await show(app, pilot)
        app.feed.mailbox.put_latest(Latest(processes=processes(lag_s=7.0)))
        await tick(app, pilot)
        drawn = [line for line in screen_lines(app)[2:] if "Space" not in line]
        assert not [char for line in drawn for char in line if ord(char) > 126]


async def test_a_tiny_terminal_gets_a_list(run_app: RunApp) -> None:
    async with run_app((60, 15)) as (app, pilot):
        await show(app, pilot)
        text = screen_text(app)
        assert re.search(r"> workers +● 1 running +239/s nodes, 239/s store", text)
        await pilot.press("down")
        assert app.screen.query_one(FlowPicture).selected == "nodes"


@pytest.mark.parametrize("width", [66, 79, 96, 118, 198, 400])
def test_boxes_never_overlap_and_every_arrow_meets_its_boxes(width: int) -> None:
    layout = arrange(width, 40)
    assert layout is not None
    taken: set[tuple[int, int]] = set()
    for rect in layout.rects.values():
        cells = {
            (x, y) for x in range(rect.x, rect.x + rect.width) for y in range(rect.y, rect.y + rect.height)
        }
        assert not cells & taken
        taken |= cells
    assert max(x for x, _ in taken) < width and min(x for x, _ in taken) >= 0
    for path, (source, target) in zip(layout.paths, ARROWS, strict=True):
        way = Canvas(width, layout.height).line(path.points, "line")
        assert not taken & set(way)
        for (x, y), name in ((way[0], source), (way[-1], target)):
            rect = layout.rects[name]
            assert any(rect.holds(x + dx, y + dy) for dx, dy in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    for box in BOXES:
        assert {towards(layout, box, *step) for step in ((1, 0), (-1, 0), (0, 1), (0, -1))} - {box}


def test_a_curve_fills_from_the_bottom_and_leaves_gaps() -> None:
    assert area([0.0, 50.0, 100.0, None], 2, 0.0, 100.0) == ["  █ ", "▁██ "]
    assert area([100.0], 1, 0.0, 100.0, ascii_only=True) == ["#"]
    assert [round_top(value) for value in (0.0, 1.0, 3.0, 99.0, 120.0)] == [1.0, 1.0, 5.0, 100.0, 200.0]


def test_counts_that_were_held_up_and_arrive_together_make_no_rate() -> None:
    rate = ProcessRate()
    for count, at_s in ((0, 0.0), (27, 1.0), (54, 3.0), (81, 3.0001), (108, 4.0)):
        rate.update(count, at_s)
        assert rate.per_s is None or rate.per_s <= 54
