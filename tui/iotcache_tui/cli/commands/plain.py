"""The dashboard as lines: one for every event, and one with the figures now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from iotcache.errors import IotCacheError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotcache.config.schema import Settings
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.log import LogEntry

POLL_S = 0.25
FIGURES_EVERY_S = 10.0


def run_plain(settings: Settings) -> int:
    """Print until the pipe closes, Ctrl-C or a SIGTERM. Raises `IotCacheError` when the feed fails."""
    from iotcache.config.parts import looks_per_s
    from iotcache_tui.cli.commands.snapshot import attached
    from iotcache_tui.feed.live import LiveFeed
    from iotcache_tui.format import clock_text, milliseconds, percent, rate
    from iotcache_tui.shutdown import leave_on_signals
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.snapshot import figures

    feed, state = LiveFeed(attached(settings), reads_per_s=looks_per_s(settings)), DashboardState()
    stopping = leave_on_signals()
    feed.start()
    last_number = 0
    next_figures_s = time.monotonic() + 1.0
    parts: dict[str, str] = {}
    try:
        while not stopping.is_set():
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
            if state.failure:
                raise IotCacheError(state.failure)
            state.judge(time.monotonic(), time.time())
            for part in state.parts:
                # What a part suffers from is told once, as the problem that it is.
                if parts.get(part.name) != part.state and part.state in ("starting", "up", "off"):
                    parts[part.name] = part.state
                    # While it starts, the text says so itself: "starting broker".
                    text = part.text if part.text.startswith(part.state) else f"{part.state} {part.text}"
                    print(f"{clock_text(time.time())} info    part        {part.name} {text}".rstrip())
            fresh = state.log.since(last_number)
            for entry in state.log.everything() if fresh is None else fresh:
                if entry.number > last_number:
                    print(entry_line(entry))
            last_number = state.log.total
            if state.ready and time.monotonic() >= next_figures_s:
                next_figures_s = time.monotonic() + FIGURES_EVERY_S
                now = figures(state)
                for line in problem_lines(state, time.monotonic(), time.time()):
                    print(line)
                print(
                    f"{clock_text(time.time())} info    figures     hit ratio {percent(now['hit_percent'])}, "
                    f"reads {rate(now['reads_per_s'])}/s, fallbacks {rate(now['fallbacks_per_s'])}/s, "
                    f"p99 {milliseconds(now['read_p99_ms'])} ms, ingest {rate(now['ingest_per_s'])}/s, "
                    f"nodes {state.nodes_up()}/{len(state.nodes)} up"
                )
            sys.stdout.flush()
            stopping.wait(POLL_S)
        return 0
    finally:
        feed.stop()


def entry_line(entry: LogEntry) -> str:
    """One line of the log."""
    from iotcache_tui.format import clock_text

    return (
        f"{clock_text(entry.wall_s)} {entry.severity.value:7} {entry.kind:11} {entry.subject}: {entry.text}"
    )


def problem_lines(state: DashboardState, now_s: float, wall_s: float) -> Iterator[str]:
    """What is wrong, a line each, with how long it has been so."""
    from iotcache_tui.format import clock_text
    from iotcache_tui.state.problems.problem import SEVERITIES

    for problem in state.problems:
        severity = SEVERITIES[problem.gravity].value
        yield f"{clock_text(wall_s)} {severity:7} problem     {problem.line(now_s)}"
