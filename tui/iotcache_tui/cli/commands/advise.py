"""``iotcache-tui advise``: how much memory, which TTL, which keys; from the traffic of the running nodes.

Asks each node for its figures and the log of its requests (``watch``), for as long as ``--for`` says, and
changes nothing. With ``--metrics`` it goes on until it is ended, and tells Prometheus. What it prints and how
it is worked out: docs/advisor.md. Exit status 1 when no node answers.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.errors import UsageError
from iotcache.text import figure, printable

if TYPE_CHECKING:
    from iotcache.advisor.hot_keys import HotKey
    from iotcache.config.schema import Settings
    from iotcache.traffic.observation import Observation

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0}
_MOST_S: Final = 86_400.0
_SHOWN: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("--json", action="store_true", help="print one JSON object (fields: docs/advisor.md)")
    parser.add_argument(
        "--for", metavar="TIME", dest="look_for", default=None,
        help="how long to look: 30s, 10m, 1h (default 1m); Ctrl-C ends it early",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", metavar="[HOST:]PORT",
        help="go on looking, and answer GET /metrics there for Prometheus (127.0.0.1 unless HOST is given)",
    )  # fmt: skip


def seconds_of(text: str) -> float:
    """``10m`` in seconds. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds <= _MOST_S:
        raise UsageError(f"--for is '{printable(text, 30)}', allowed is a time such as 30s or 10m, up to 24h")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Look, and print what to do. Raises `IotCacheError` when no node answers."""
    from iotcache.nodelist.sources import listed
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    seconds = seconds_of(args.look_for or "1m")
    place = place_of(args.metrics) if args.metrics else None
    if place and args.json:
        raise UsageError("--metrics and --json are two ways to tell: leave one of them out")
    settings = load_settings(args).settings
    settings = listed(settings)
    if isinstance(settings.cache.nodes, str):
        settings = find_running(settings)
    if place:
        asyncio.run(_serve(settings, seconds if args.look_for else None, *place))
        return 0
    if not args.json and sys.stderr.isatty():
        print(f"looking at the nodes' requests for {args.look_for or '1m'} …", file=sys.stderr)
    observed = asyncio.run(_look(settings, seconds))
    if args.json:
        import msgspec

        from iotcache_tui.cli.advice_document import document

        print(msgspec.json.encode(document(observed)).decode())
    else:
        for line in lines(observed):
            print(line)
    return 0


def place_of(text: str) -> tuple[str, int]:
    """``9151`` or ``0.0.0.0:9151`` as host and port. Raises `UsageError`."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65_536:
        raise UsageError(f"--metrics is '{printable(text, 60)}', allowed is PORT or HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


async def _serve(settings: Settings, seconds: float | None, host: str, port: int) -> None:
    from prometheus_client import start_http_server

    from iotcache.config.urls import parse_node
    from iotcache.traffic.look import HALF_LIFE_S, StandingLook
    from iotcache_tui.cli.advice_metrics import AdviceMetrics
    from iotcache_tui.cli.simulating.output import until_signalled

    metrics, stop = AdviceMetrics(), asyncio.Event()
    try:
        server, thread = start_http_server(port, host, registry=metrics.registry())
    except OSError as error:
        raise UsageError(f"--metrics {host}:{port}: {error.strerror or error}") from error
    nodes = [parse_node(text) for text in settings.cache.nodes]
    if sys.stderr.isatty():
        print(f"http://{host}:{port}/metrics; Ctrl-C ends it", file=sys.stderr)
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    try:
        with until_signalled(stop.set):
            await StandingLook(nodes, settings.cache, half_life_s=HALF_LIFE_S).run(metrics.publish, stop=stop)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


async def _look(settings: Settings, seconds: float) -> Observation:
    from iotcache.config.urls import parse_node
    from iotcache.traffic.look import look
    from iotcache_tui.cli.simulating.output import until_signalled

    stop = asyncio.Event()
    with until_signalled(stop.set):
        return await look(
            [parse_node(text) for text in settings.cache.nodes], settings.cache, seconds, stop=stop
        )


def lines(observed: Observation) -> Iterator[str]:
    """The observation for a person: the nodes, the advice, the most frequent keys."""
    evidence = observed.evidence
    for node in evidence.nodes:
        measured = "no gets" if node.hit_ratio is None else f"hit ratio {100 * node.hit_ratio:.1f} %"
        marks = (
            f"  ({node.marks_per_s:.1f} gets/s of our clients' marks left out)" if node.marks_per_s else ""
        )
        predicted = f", {100 * node.curve.now:.1f} % by the curve" if node.curve is not None else ""
        yield (
            f"{node.name}  {node.memory_bytes >> 20} MB  {node.gets_per_s:.0f} gets/s  {measured}{predicted}"
            f"  {node.evictions_per_s:.1f} evictions/s{marks}"
        )
        if node.curve is not None:
            sizes = [f"{figure(size / (1 << 20))} MB" for size in node.curve.sizes]
            yield _points("memory", sizes, node.curve.ratios)
    for group in evidence.groups:
        if group.ttl is not None:
            yield f"{group.name}  {group.gets_per_s:.0f} gets/s  TTL {figure(group.ttl.ttl_s)} s"
            lives = [f"{figure(factor * group.ttl.ttl_s)} s" for factor in group.ttl.factors]
            yield _points("TTL", lives, group.ttl.ratios)
    yield ""
    if not observed.advice:
        yield "nothing to advise: the cache does what it can with what it has"
    for number, one in enumerate(observed.advice, 1):
        yield f"{number}. {one.text}"
        yield f"   why: {one.reason} (confidence {one.confidence})"
        yield f"   do: {one.do}    undo: {one.undo}"
    for check in observed.checked:
        yield f"checked: {check.about}: {check.text}"
    for title, keys in (
        ("most gets", observed.top_gets),
        ("most misses", observed.top_misses),
        ("most sets", observed.top_sets),
        ("most bytes", observed.top_bytes),
        ("prefixes", evidence.prefixes),
    ):
        if keys:
            yield f"{title}: " + ", ".join(map(_counted, keys[:_SHOWN]))
    for note in observed.notes:
        yield f"note: {note}"


def _points(name: str, places: list[str], ratios: Sequence[float]) -> str:
    points = (f"{at} {100 * ratio:.1f} %" for at, ratio in zip(places, ratios, strict=True))
    return f"  {name:7} " + "  ".join(points)


def _counted(one: HotKey) -> str:
    from iotcache.text import printable_bytes

    error = f" (at most {one.error:.0f} too many)" if one.error else ""
    return f"{printable_bytes(one.key, 80)} {one.count:,.0f}{error}"
