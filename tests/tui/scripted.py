"""A feed that plays a fixed script into a mailbox: the app under test cannot tell it from a live one."""

from __future__ import annotations

from collections.abc import Sequence
from math import sin

from iotcache.model import MissReason, NodeHealth, NodeState, Read, Series, Source
from iotcache.published_stats import IngestStats
from iotcache.store.base import SeriesInfo
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.requests import Answer, Request
from iotcache_tui.state.updates import (
    Drained,
    FallbackRead,
    Mailbox,
    Part,
    Processes,
    RowUpdate,
    Second,
    Worker,
)

NODES = ("127.0.0.1:21001", "127.0.0.1:21002", "127.0.0.1:21003")
KINDS = (
    ("cold-room", "temperature", "°C", -18.0, 10.0),
    ("hvac", "humidity", "%", 45.0, 30.0),
    ("power-meter", "power", "kW", 12.5, 5.0),
    ("pump", "pressure", "bar", 4.2, 2.0),
    ("truck", "speed", "km/h", 62.0, 2.0),
)
REASONS = (
    MissReason.NEVER_SET, MissReason.EXPIRED, MissReason.EVICTED, MissReason.INVALIDATED,
    MissReason.NODE_DOWN, MissReason.TIMEOUT, MissReason.RESTARTED, MissReason.CORRUPT,
)  # fmt: skip
"""By turns, so that pictures stay as they are when a reason is added."""
SITES = ("plant-north", "warehouse-east", "office-hq")


class ScriptedFeed:
    """Starts empty; a test puts what it wants on show into ``mailbox``."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.started = self.stopped = False
        self.watched: Sequence[int] = ()
        self.asked: list[Request] = []
        """Every request so far; its ticket is its place, counted from 1."""
        self.cancelled: list[int] = []

    def start(self) -> None:
        self.started = True

    def stop(self, timeout_s: float = 10.0) -> None:
        self.stopped = True

    def watch(self, rows: Sequence[int]) -> None:
        self.watched = rows

    def ask(self, request: Request) -> int:
        self.asked.append(request)
        return len(self.asked)

    def cancel(self, ticket: int) -> None:
        self.cancelled.append(ticket)

    def answer(self, value: object = None, *, done: bool = True, error: str = "", ticket: int = 0) -> None:
        """Answer the newest request, or that of ``ticket``."""
        self.mailbox.put_answer(Answer(ticket or len(self.asked), value, done, error))


def fill(state: DashboardState, devices: int, *, now_s: float, wall_s: float) -> None:
    """A believable fleet: most from the cache, some stale, some just fallen back, one node down."""
    infos: list[SeriesInfo] = []
    steps: list[list[RowUpdate]] = [[] for _ in range(12)]
    fallbacks: list[FallbackRead] = []
    for row in range(devices):
        kind, sensor, unit, middle, interval = KINDS[row % len(KINDS)]
        series = Series(f"{kind}-{row // len(KINDS) + 1:04d}", sensor)
        site = SITES[row % len(SITES)]
        infos.append(SeriesInfo(series, site, unit, interval, row))
        missed = row % 11 == 7
        lost = row % 37 == 30
        for step in range(12):
            age = (11 - step) * interval + row % 7 * 0.1 * interval + (400 if lost else 0)
            value = round(middle + sin(row + step * 0.7) * abs(middle) * 0.1, 2)
            read = Read(
                *series,
                value=value,
                source=Source.STORE if missed else Source.CACHE,
                unit=unit,
                ts_us=int((wall_s - age) * 1e6),
                node=NODES[row % 3],
                ttl_s=None if lost else 3 * interval - row % 5 * interval * 0.5,
                miss_reason=MissReason.EXPIRED if missed else None,
                latency_ms=0.6,
                store_ms=1.8 if missed else 0.0,
                site=site,
                interval_s=interval,
            )
            steps[step].append(RowUpdate(row, read, now_s, 40, 40 - row % 11))
        if missed:
            reason = REASONS[row % len(REASONS)]
            fallbacks.append(
                FallbackRead(
                    wall_s - (devices - row) * 0.1,
                    row,
                    f"{series.device}:{sensor}:latest",
                    reason,
                    NODES[row % 3],
                    1.2 + row % 9,
                    None if reason is MissReason.NODE_DOWN else 3 * interval,
                )
            )
    seconds: list[Second] = []
    for second in range(240):
        misses = int(8 + 6 * sin(second / 20) + (60 if 100 < second < 112 else 0))
        seconds.append(
            Second(
                now_s - 240 + second,
                400,
                400 - misses,
                {MissReason.EXPIRED: misses},
                0.42,
                1.9,
                240.0,
                240.0,
                stored_per_s=240.0,
                written_per_s=240.0,
                served_per_s=400.0 - misses,
                fallen_per_s=misses,
            )
        )
    state.fleet.wall_less_monotonic_s = wall_s - now_s
    state.apply(Drained(joined=infos))
    for rows in steps:
        state.apply(Drained(rows=rows))
    state.apply(
        Drained(
            fallbacks=fallbacks,
            seconds=seconds,
            ready=True,
            nodes=[NodeHealth(name, NodeState.UP, version="1.6.18") for name in NODES],
            parts=(
                Part("broker", "up", "embedded"),
                Part("nodes", "up", "3 memcached"),
                Part("store", "up", "sqlite"),
            ),
            processes=Processes((Worker("w1", now_s, IngestStats()),)),
        )
    )
