"""``iotcache-tui simulate readers``: reads through the cache at a given rate, and how they fared."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import msgspec

from iotcache.cache import DeviceCache
from iotcache.clock import utc_text
from iotcache.config.schema import Settings
from iotcache.errors import StoreError, UsageError
from iotcache.model import Series
from iotcache.nodelist.sources import listed
from iotcache.text import plural
from iotcache_simulator.readers.popularity import popularity
from iotcache_simulator.readers.report import FIGURES, ReadReport, report_of
from iotcache_simulator.readers.shapes import shape_named
from iotcache_simulator.readers.workload import Readers, ReadSpec, SeriesReader
from iotcache_simulator.report.conditions import parse_condition
from iotcache_simulator.report.junit import Case
from iotcache_simulator.stack.rundir import find_running
from iotcache_tui.cli.options import load_settings
from iotcache_tui.cli.simulating.output import check_writable, until_signalled, write

EXIT_COULD_NOT_RUN = 3
_PAGE = 10_000
_SERIES_MAX = 1_000_000


def run_readers(args: argparse.Namespace) -> int:
    """Run the read workload; 0 when it kept its promises or met every ``--require``."""
    settings = load_settings(args).settings
    read_by = args.popularity
    if args.workload is not None:
        if args.popularity != ReadSpec().popularity:
            raise UsageError("--workload has a popularity of its own: leave out --popularity")
        read_by = f"zipf:{shape_named(args.workload).exponent}"
    elif args.keys is not None:
        raise UsageError("--keys goes with --workload, which says how large they are and how long they live")
    spec = ReadSpec(
        rate=args.rate or ReadSpec().rate,
        batch=args.batch,
        duration_s=args.duration,
        popularity=read_by,
        seed=settings.simulator.seed if args.seed is None else args.seed,
    )
    popularity(spec.popularity, 1, spec.seed)
    conditions = [parse_condition(text, FIGURES) for text in args.require]
    for flag, file in (("--report", args.report), ("--junit", args.junit)):
        check_writable(flag, file)
    try:
        if args.keys is not None:
            report = asyncio.run(_run_keyed(_with_nodes(settings), spec, args.workload, args.keys))
        else:
            report = asyncio.run(_run(listed(find_running(settings)), spec))
    except StoreError as error:
        # Without the list of series there is nothing to read; a store that fails later is counted.
        print(f"iotcache-tui simulate readers: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    if conditions:
        measured = report.figures()
        cases = [Case(c.text, "" if c.holds(measured) else c.describe(measured)) for c in conditions]
    else:
        cases = [Case(name, failure) for name, failure in report.promises().items()]
    failures = tuple(case.failure for case in cases if case.failure)
    report = msgspec.structs.replace(report, ok=not failures, failures=failures)
    if sys.stderr.isatty():
        print(_summary(report), file=sys.stderr)
    write("--report", args.report, report.json())
    if args.junit:
        from iotcache_simulator.report.junit import junit

        text = junit(
            cases, suite="iotcache.readers", seconds=report.duration_s.actual, started=report.started
        )
        write("--junit", args.junit, text)
    for failure in failures:
        print(f"iotcache-tui simulate readers: {failure}", file=sys.stderr)
    return 1 if failures else 0


async def _run(settings: Settings, spec: ReadSpec) -> ReadReport:
    async with DeviceCache.from_settings(settings, read_only=True, role="reader", follow=True) as cache:
        series = await _known(cache)
        if not series:
            raise StoreError("the store knows no series yet: nothing could be read")
        return await _read(cache, series, spec)


def _with_nodes(settings: Settings) -> Settings:
    """Settings that name cache nodes: those of a running stack, unless others are named. That is all that
    keys of a workload's own need. Raises `StackError`."""
    nodes = settings.cache.nodes
    if isinstance(nodes, str) and nodes.startswith("embedded"):
        settings = find_running(settings)
    return listed(settings)


async def _run_keyed(settings: Settings, spec: ReadSpec, name: str, keys: int) -> ReadReport:
    """The workload over keys of its own, in the nodes alone."""
    from iotcache.cluster import Cluster
    from iotcache.config.urls import parse_node
    from iotcache_simulator.readers.keyed import KeyedReads
    from iotcache_simulator.readers.shapes import Workload

    nodes = settings.cache.nodes
    if isinstance(nodes, str):
        raise UsageError("--keys needs cache nodes: name them with --nodes, or run a stack")
    workload = Workload(shape_named(name), keys, spec.seed)
    choice = popularity(spec.popularity, keys, spec.seed)
    async with Cluster.from_settings([parse_node(node) for node in nodes], settings.cache) as cluster:
        reads = KeyedReads(cluster, workload, choice, spec.seed)
        return await _read(reads, KeyedReads.series(keys), spec)


async def _read(cache: SeriesReader, series: list[Series], spec: ReadSpec) -> ReadReport:
    readers = Readers(cache, series, popularity(spec.popularity, len(series), spec.seed), spec)
    started = utc_text(int(time.time() * 1e3) * 1_000)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        readers.stop()

    with until_signalled(stop):
        await readers.run()
    return report_of(
        readers, spec, len(series), started=started, ended_by="signal" if stopped else "duration"
    )


async def _known(cache: DeviceCache) -> list[Series]:
    cases: list[Series] = []
    above = 0
    while len(cases) < _SERIES_MAX and (page := await cache.store.directory(above, _PAGE)):
        cases += [info.series for info in page]
        above = page[-1].order
    return cases


def _summary(report: ReadReport) -> str:
    ratio = "no" if report.hit_ratio is None else f"{100 * report.hit_ratio:.1f} %"
    reasons = ", ".join(f"{name} {count:,}" for name, count in report.miss_reasons.items()) or "none"
    return (
        f"{plural(report.reads, 'read')}, {ratio} hits, {report.fallbacks:,} from the store, "
        f"p99 {report.latency_ms.p99:.1f} ms\nmisses: {reasons}"
    )
