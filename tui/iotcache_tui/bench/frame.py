"""The dashboard's own cost: processor time at 100, 10,000 and 100,000 series of which every value changes
each second, what a key press takes at the largest, and a fleet that stands still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from textual.app import App, ComposeResult
from textual.widgets import Static

from iotcache.config.schema import DashboardSettings
from iotcache.model import NodeHealth, NodeState, Read, Series, Source
from iotcache.published_stats import IngestStats
from iotcache.store.base import SeriesInfo
from iotcache_tui.app import IotCacheApp
from iotcache_tui.bench.report import BenchReport, BenchRow, BenchTarget
from iotcache_tui.state.requests import Request
from iotcache_tui.state.updates import Latest, Mailbox, Part, Processes, RowUpdate, Second, Worker

CPU: Final = "seconds of a live screen in a second of processor time, every value changing each second"
IDLE: Final = "the same, with fleets of which nothing has come for ten minutes"
KEYS: Final = "key presses a second, one after the other, over 100,000 series"
SIZES: Final = (100, 10_000, 100_000)
LONG_S: Final = 4.0
"""How long a size is looked at."""
SETTLED_S: Final = 4.0
"""How long after its start: a silent screen has come to rest by then."""
STILL_SIZES: Final = (10_000, 100_000)
BARE: Final = "a bare Textual clock"
_NODES: Final = ("127.0.0.1:11211", "127.0.0.1:11212", "127.0.0.1:11213")
ANSWER_S: Final = 0.2
"""A key press is to be answered within this."""
TARGETS: Final = [
    BenchTarget(CPU, "100 series", round(1 / 1.3, 2), "10,000 series"),
    *(
        BenchTarget(IDLE, f"{size:,} series, changing", 20.0, f"{size:,} series, still")
        for size in STILL_SIZES
    ),
    *(BenchTarget(KEYS, "0.2 s", 1.0, name) for name in ("sort", "filter", "scroll")),
]


class StillFeed:
    """Hands over what it was given; asks nothing of anybody."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()

    def start(self) -> None: ...

    def stop(self, timeout_s: float = 10.0) -> None: ...

    def watch(self, rows: Sequence[int]) -> None: ...

    def ask(self, request: Request) -> int:
        return 1

    def cancel(self, ticket: int) -> None: ...


class Updates:
    """Updates made beforehand, so that making them is not measured."""

    def __init__(self, count: int, *, silent: bool = False) -> None:
        self.count = count
        self.series = [
            SeriesInfo(Series(f"device-{row:06d}", "temperature"), f"site-{row % 7}", "°C", 5.0, row)
            for row in range(count)
        ]
        # A silent fleet: its cache entries are gone, its ages stand in minutes.
        wall_us = int((time.time() - (600.0 if silent else 0.0)) * 1e6)
        now_s = time.monotonic()
        ttl_s = None if silent else 15.0
        self.turns = [
            [
                RowUpdate(
                    row,
                    Read(
                        *info.series, value=20.0 + turn + row % 10, source=Source.CACHE, unit="°C",
                        ts_us=wall_us + turn * 1_000_000, node=_NODES[row % 3], ttl_s=ttl_s, interval_s=5.0,
                        latency_ms=0.4,
                    ),
                    now_s + turn,
                    turn + 2,
                    turn + 2,
                )
                for row, info in enumerate(self.series)
            ]
            for turn in range(3)
        ]  # fmt: skip


async def run(rounds: int) -> BenchReport:
    """Measure all. A size is looked at for some seconds in each round."""
    changing = {size: BenchRow(CPU, f"{size:,} series", "s/s") for size in SIZES}
    still = {size: BenchRow(IDLE, f"{size:,} series, still", "s/s") for size in STILL_SIZES}
    busy = {size: BenchRow(IDLE, f"{size:,} series, changing", "s/s") for size in STILL_SIZES}
    bare = BenchRow(IDLE, BARE, "s/s", note="one line, drawn once a second")
    keys = {name: BenchRow(KEYS, name, "/s") for name in ("sort", "filter", "scroll")}
    wanted = BenchRow(KEYS, "0.2 s", "/s", note="what is promised")
    gaps: dict[int, float] = {}
    for _ in range(rounds):
        for size in SIZES:
            fleet = Updates(size)
            cpu_s, gap_s = await _watched(fleet, change=True)
            changing[size].runs.append(1 / cpu_s)
            gaps[size] = max(gaps.get(size, 0.0), gap_s)
            if size in STILL_SIZES:
                busy[size].runs.append(1 / cpu_s)
                cpu_s, _ = await _watched(Updates(size, silent=True), change=False)
                still[size].runs.append(1 / max(cpu_s, 1e-6))
        bare.runs.append(1 / max(await _bare(), 1e-6))
        wanted.runs.append(1 / ANSWER_S)
        for name, seconds in (await _pressed(fleet)).items():
            keys[name].runs.append(1 / seconds)
    for size, gap_s in gaps.items():
        changing[size].note = f"longest gap between frames {gap_s * 1e3:.0f} ms"
    return BenchReport(
        "frame",
        [*changing.values(), bare, *still.values(), *busy.values(), *keys.values(), wanted],
        list(TARGETS),
    )


async def _app(fleet: Updates) -> IotCacheApp:
    app = IotCacheApp(StillFeed(), DashboardSettings())
    mailbox = app.feed.mailbox
    mailbox.put_joined(fleet.series)
    mailbox.put_reads(fleet.turns[0], [])
    mailbox.put_latest(
        Latest(
            ready=True,
            parts=(Part("broker", "up"), Part("nodes", "up"), Part("store", "up")),
            nodes=tuple(NodeHealth(name, NodeState.UP) for name in _NODES),
            # Without one the problem line would count how long none has been heard.
            processes=Processes((Worker("w1", time.monotonic(), IngestStats()),)),
        )
    )
    return app


async def _watched(fleet: Updates, *, change: bool) -> tuple[float, float]:
    """Processor seconds a second, and the longest gap between two frames."""
    app = await _app(fleet)
    async with app.run_test(size=(120, 40)):
        await asyncio.sleep(SETTLED_S)
        app.frame_clock.worst_gap_s = 0.0
        cpu_s, began_s = time.process_time(), time.monotonic()
        turn = 0
        tenth = max(fleet.count // 10, 1)
        while (elapsed_s := time.monotonic() - began_s) < LONG_S:
            if change and elapsed_s >= turn / 10:
                # A tenth of the fleet ten times a second, as the feed brings it.
                first = turn % 10 * tenth
                rows = fleet.turns[1 + turn // 10 % 2][first : first + tenth]
                app.feed.mailbox.put_reads(rows, [])
                if turn % 10 == 0:
                    now_s = time.monotonic()
                    app.feed.mailbox.put_second(Second(now_s, fleet.count, fleet.count, {}, 0.4, 1.0))
                turn += 1
            await asyncio.sleep(0.05 if change else 0.5)
        spent_s = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
        return spent_s, app.frame_clock.worst_gap_s


class _Clock(Static):
    def on_mount(self) -> None:
        self.set_interval(1.0, lambda: self.update(time.ctime(), layout=False))


class _BareApp(App[None]):
    def compose(self) -> ComposeResult:
        yield _Clock()


async def _bare() -> float:
    """Processor seconds a second of the least that shows that it is alive."""
    async with _BareApp().run_test(size=(120, 40)):
        await asyncio.sleep(1.0)
        cpu_s, began_s = time.process_time(), time.monotonic()
        await asyncio.sleep(LONG_S)
        return (time.process_time() - cpu_s) / (time.monotonic() - began_s)


async def _pressed(fleet: Updates) -> dict[str, float]:
    """Seconds from a key to the screen that shows its effect."""
    from iotcache_tui.screens.fleet.screen import FleetScreen

    app = await _app(fleet)
    async with app.run_test(size=(120, 40)) as pilot:
        await asyncio.sleep(2.0)
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        seconds = {}
        acts: dict[str, Callable[[], None]] = {
            "sort": lambda: screen.sort_by("value"),
            "filter": lambda: screen.filter_by("device-0999 ttl<60"),
            "scroll": lambda: screen.table.action_move_end(1),
        }
        for name, act in acts.items():
            began_s = time.perf_counter()
            act()
            app.frame()
            await pilot.pause()
            seconds[name] = time.perf_counter() - began_s
            screen.filter_by("")
            await pilot.pause()
        return seconds
