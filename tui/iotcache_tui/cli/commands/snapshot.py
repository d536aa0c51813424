"""Print what the dashboard would show, once: for pipes, scripts and screen readers."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from iotcache.errors import IotCacheError, StackError, UsageError
from iotcache.text import plural, printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache_tui.state.dashboard import DashboardState

PATIENCE_S = 30.0
"""How long the servers may take to answer."""
NOTHING_S = 5.0
"""How much longer than asked to wait for a first reading."""
POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document (fields: docs/operations.md)")
    parser.add_argument("--watch", metavar="SECONDS", type=float, default=3.0,
                        help="how long to look before printing (default 3)")  # fmt: skip
    parser.add_argument(
        "--filter", metavar="TEXT", default="", help="as in the dashboard: site:north* stale ttl<5"
    )
    parser.add_argument("--sort", metavar="COLUMN", default="device", help="device, ttl, age, hit, value, …")
    parser.add_argument("--exit-code", action="store_true",
                        help="end with 1 while a part is down, or cannot be seen from here")  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="most series to print; 0: all")


def attached(settings: Settings) -> Settings:
    """The running stack's addresses where settings say "embedded"; as they are when none runs."""
    from msgspec.structs import replace

    from iotcache.config.parts import observes, without_idle_parts
    from iotcache_simulator.stack.rundir import find_running

    # A stack of our own is ours, though it has addresses.
    settings = without_idle_parts(settings)
    settings = replace(settings, dashboard=replace(settings.dashboard, observe=observes(settings)))
    try:
        return find_running(settings)
    except StackError:
        return settings


def observe(settings: Settings, seconds: float, reads_per_s: float) -> tuple[DashboardState, float, float]:
    """Run the feed for a while; the state and the moment (monotonic, wall) it was taken at.

    Raises `IotCacheError` when the servers cannot be reached at all.
    """
    from iotcache_tui.feed.live import LiveFeed
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.fleet.fleet_state import UNREAD

    feed, state = LiveFeed(settings, reads_per_s=reads_per_s), DashboardState()
    feed.start()
    try:
        begun_s = ready_s = 0.0
        until = time.monotonic() + PATIENCE_S + seconds
        while time.monotonic() < until:
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
            state.judge(time.monotonic(), time.time())
            if state.failure:
                raise IotCacheError(state.failure)
            read_for_s = time.monotonic() - begun_s if begun_s else 0.0
            if len(state.fleet) and any(second.reads for second in state.seconds):
                begun_s = begun_s or time.monotonic()
                # A large fleet is read in turn: every series once, as far as patience goes.
                state.fleet.settle()
                if read_for_s >= seconds and UNREAD not in state.fleet.source:
                    break
            elif state.seconds and state.seconds[-1].at_s - state.seconds[0].at_s >= seconds + NOTHING_S:
                break  # the store is empty
            if state.ready and not state.seconds:
                # No second is closed before the nodes are known: a list of them cannot be read.
                ready_s = ready_s or time.monotonic()
                if time.monotonic() - ready_s >= seconds + NOTHING_S:
                    break
            feed.watch(range(min(len(state.fleet), 1_000)))
            time.sleep(POLL_S)
        return state, time.monotonic(), time.time()
    finally:
        feed.stop()


def run(args: argparse.Namespace) -> int:
    from iotcache.config.parts import looks_per_s
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.state.fleet.filter import FilterError, parse
    from iotcache_tui.state.fleet.view import SORTS, FleetView
    from iotcache_tui.state.problems.problem import Gravity
    from iotcache_tui.state.snapshot import picture

    if args.sort not in SORTS:
        raise UsageError(f"--sort is {printable(args.sort, 30)}, allowed is one of {', '.join(SORTS)}")
    if not 0 < args.watch <= 3_600:
        raise UsageError(f"--watch is {args.watch:g}, allowed is above 0 to 3600 s")
    if args.limit < 0:
        raise UsageError(f"--limit is {args.limit}, allowed is 0 (all) or more")
    try:
        parse(args.filter)
    except FilterError as error:
        raise UsageError(f"--filter: {error}") from error
    settings = load_settings(args).settings
    state, now_s, wall_s = observe(attached(settings), args.watch, looks_per_s(settings))
    view = FleetView(state.fleet)
    view.at(now_s, wall_s)
    view.set_filter(args.filter)
    view.set_sort(args.sort)
    rows = view.order[: args.limit or None]
    data = picture(state, now_s, wall_s, rows)
    if args.json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
    else:
        for line in lines(data):
            print(line)
    return int(args.exit_code and any(one.gravity >= Gravity.BLIND for one in state.problems))


def lines(data: dict[str, Any]) -> Iterable[str]:
    """The picture for a person: a block of figures, then a line a series."""
    from iotcache_tui.format import aligned_value, duration, fit, milliseconds, percent, rate

    figures = data["figures"]
    for problem in data["problems"]:
        yield f"PROBLEM {problem['gravity']} {problem['text']}"
    for alert in data["alerts"]:
        yield f"ALERT {alert['severity']} {alert['name']} {alert['subject']}: {alert['text']}"
    yield "  ".join(f"{part['name']} {part['state']}" for part in data["parts"])
    yield (
        f"hit ratio {percent(figures['hit_percent'])}  reads {rate(figures['reads_per_s'])}/s  "
        f"fallbacks {rate(figures['fallbacks_per_s'])}/s  p99 {milliseconds(figures['read_p99_ms'])} ms  "
        f"ingest {rate(figures['ingest_per_s'])}/s"
    )
    for node in data["nodes"]:
        yield f"node {node['name']} {node['state']} {node['version']} {node['reason']}".rstrip()
    devices = data["devices"]
    yield (
        f"{plural(devices['total'], 'device')}: {devices['live']:,} live, {devices['stale']:,} stale, "
        f"{devices['unread']:,} unread; {data['series_total']:,} series"
    )
    yield ""
    titles = f"{'Device':24} {'Sensor':16} {'Value':>11} {'Unit':6}"
    yield f"{titles} {'Age':>4} {'TTL':>4} {'From':5} {'Hit':>5} Node"
    for one in data["series"]:
        age = duration(one["age_s"]) if one["age_s"] is not None else "–"
        ttl = duration(one["ttl_s"]) if one["ttl_s"] is not None else "–"
        yield (
            f"{fit(one['device'], 24)} {fit(one['sensor'], 16)} {aligned_value(one['value'], 11)} "
            f"{fit(one['unit'], 6)} {age:>4} {ttl:>4} {one['source'] or '–':5} "
            f"{percent(one['hit_percent']):>5} {one['node'] or '–'}"
        )
