"""``iotcache-tui simulate``: a seeded device fleet without a screen, with a verdict for scripts and CI.

Exit code 0: all that was promised was delivered; 1: it was not; 2: usage; 3: the broker was never reached.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import UsageError

if TYPE_CHECKING:
    from iotcache.config.schema import BrokerSettings
    from simulator.ledger.verify import Places
    from simulator.publish.report import Report
    from simulator.publish.run import Outcome, Run
    from simulator.publish.spec import FleetSpec

EXIT_FAILED = 1
EXIT_UNREACHABLE = 3
DEVICES_MAX = 1_000_000
PROCESSES_MAX = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config``, ``--broker`` and their like are common to all commands."""
    parser.add_argument("--devices", type=_whole(1, DEVICES_MAX), metavar="N", help="size of the fleet")
    parser.add_argument(
        "--rate",
        type=_number(0.0, 1e7),
        metavar="R",
        help="messages a second of the whole fleet; 0: each sensor at its class's own interval",
    )
    parser.add_argument(
        "--duration",
        type=_number(0.001, 1e9),
        metavar="S",
        help="seconds of the fleet's time; without it the fleet runs until SIGINT or SIGTERM",
    )
    parser.add_argument(
        "--seed", type=_whole(-(2**63), 2**63 - 1), metavar="K", help="decides every value of the stream"
    )
    parser.add_argument("--qos", type=int, choices=(0, 1), help="MQTT quality of service")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X",
        help="seconds of the fleet's time in a real one, or 'max' (default 1)",
    )
    parser.add_argument(
        "--start",
        type=_moment,
        metavar="TIME",
        help="the fleet's time at its start, RFC 3339; payloads show it, so that their bytes repeat",
    )
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="a device class or a TOML file of one; may be repeated (default: all classes shipped)",
    )
    parser.add_argument(
        "--profile",
        default="constant",
        metavar="NAME",
        help="load: constant, ramp, step, burst, spike or diurnal, with keys as in 'burst:every=10,times=20'",
    )
    parser.add_argument(
        "--arrival",
        choices=("even", "scattered"),
        default="even",
        help="each series at fixed distances, or at random within them (default even)",
    )
    parser.add_argument("--faults", metavar="FILE", help="a TOML file of faults (docs/simulator.md)")
    parser.add_argument(
        "--labels", metavar="FILE", help="write the truth behind each fault, one JSON line a reading"
    )
    parser.add_argument(
        "--connections",
        type=_whole(1, 10_000),
        default=1,
        metavar="N",
        help="MQTT connections that the devices share (default 1)",
    )
    parser.add_argument(
        "--processes",
        type=_whole(1, PROCESSES_MAX),
        default=1,
        metavar="N",
        help="processes that share the fleet without changing its stream (default 1)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=_number(0.1, 3600.0),
        default=10.0,
        metavar="S",
        help="give up with exit code 3 when the broker is not reached (default 10 s)",
    )
    parser.add_argument(
        "--patience",
        type=_number(0.0, 3600.0),
        default=10.0,
        metavar="S",
        help="how long after the end messages and confirmations may still take (default 10 s)",
    )
    parser.add_argument(
        "--verify",
        metavar="PLACES",
        help="hold what was published against mqtt, store[=URL] and cache[=host:port,…], commas between",
    )
    parser.add_argument(
        "--settle",
        type=_number(0.0, 3600.0),
        default=5.0,
        metavar="S",
        help="with --verify: what has not come after so long without news is lost (default 5 s)",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CONDITION",
        help="such as 'lost==0' or 'e2e_p99<250ms': only these decide the exit code; repeatable",
    )
    parser.add_argument("--junit", metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument("--report", metavar="FILE|-", help="write the JSON report to a file or to stdout")


def run(args: argparse.Namespace) -> int:
    """Run the fleet; the exit code is the verdict."""
    import msgspec

    from simulator.fleet.classes import load_classes
    from simulator.fleet.load import parse_load
    from simulator.ledger.conditions import parse_condition
    from simulator.ledger.verdict import FIGURES, cases, judged
    from simulator.ledger.verify import Places, parse_places
    from simulator.publish.spec import FleetSpec
    from simulator.stack.rundir import find_running
    from tui.cli.options import load_settings

    settings = load_settings(args).settings
    defaults = settings.simulator
    spec = FleetSpec(
        devices=defaults.devices if args.devices is None else args.devices,
        rate=defaults.rate if args.rate is None else args.rate,
        duration_s=args.duration,
        seed=defaults.seed if args.seed is None else args.seed,
        qos=defaults.qos if args.qos is None else args.qos,
        speed=args.speed,
        start_us=args.start,
        connections=max(args.connections, args.processes),
        processes=args.processes,
        classes=load_classes(args.classes),
        load=parse_load(args.profile, args.duration),
        scattered=args.arrival == "scattered",
        connect_timeout_s=args.connect_timeout,
        patience_s=args.patience,
    )
    if args.faults:
        from simulator.faults.schedule import load_faults
        from simulator.publish.streams import roster_of

        spec = msgspec.structs.replace(spec, faults=load_faults(args.faults, roster_of(spec)))
    elif args.labels:
        raise UsageError("--labels needs --faults: without faults there is nothing to label")
    if spec.duration_s is None and spec.speed == math.inf:
        raise UsageError("--speed max needs a --duration: without one it would never end")
    conditions = [parse_condition(text, FIGURES) for text in args.require]
    for flag, file in (("--report", args.report), ("--junit", args.junit), ("--labels", args.labels)):
        _check_writable(flag, file)
    if args.verify:
        parse_places(args.verify, settings)
    if settings.broker.url == "embedded":
        settings = find_running(settings)
    places = parse_places(args.verify, settings) if args.verify else Places()
    outcome = asyncio.run(_run(spec, settings.broker, places, args.settle, args.labels))
    found = cases(outcome.report, conditions, outcome.unreachable)
    report = judged(outcome.report, found)
    if sys.stderr.isatty():
        print(_summary(report), file=sys.stderr)
    _write("--report", args.report, report.json())
    if args.junit:
        from simulator.ledger.junit import junit

        text = junit(
            found, suite="iotcache.simulate", seconds=report.duration_s.actual, started=report.started
        )
        _write("--junit", args.junit, text)
    for failure in report.failures:
        print(f"iotcache-tui simulate: {failure}", file=sys.stderr)
    if report.ended_by == "unreachable":
        return EXIT_UNREACHABLE
    return 0 if report.ok else EXIT_FAILED


async def _run(
    spec: FleetSpec, broker: BrokerSettings, places: Places, settle_s: float, labels: str | None
) -> Outcome:
    import msgspec

    from iotcache.errors import BrokerError
    from simulator.ledger.verify import Verification
    from simulator.wire.target import target_of

    fleet: Run
    if spec.processes > 1:
        from simulator.publish.crew import Crew

        fleet = Crew(spec, broker)
    else:
        from simulator.publish.run import FleetRun

        fleet = FleetRun(spec, target_of(broker))
    with _told_to_end(fleet.stop):
        async with contextlib.AsyncExitStack() as stack:
            verification = Verification(places, spec, broker, settle_s=settle_s)
            unheard: BrokerError | None = None
            try:
                await stack.enter_async_context(verification)
            except BrokerError as error:
                unheard = error  # the fleet will find that out, too, and say so in its report
            if sys.stderr.isatty():
                showing = asyncio.create_task(_show_progress(fleet))
                stack.callback(showing.cancel)
            outcome = await fleet.run(verification.begin)
            if unheard is not None and outcome.report.ended_by != "unreachable":
                raise unheard
            report = await verification.judged(outcome.report, outcome.horizons)
            if labels is not None:
                await _write_labels(labels, spec, outcome)
            return msgspec.structs.replace(outcome, report=report)


@contextlib.contextmanager
def _told_to_end(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call ``stop``; a second SIGINT is what it always was."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, first)
    except NotImplementedError:  # Windows
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(first))
    yield


async def _show_progress(fleet: Run) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("connecting", total=fleet.spec.duration_s, text="")
        while True:
            now = fleet.progress()
            told = f"{now.published:,} sent, {now.confirmed:,} confirmed, {now.rate:,.0f}/s"
            progress.update(
                task,
                description="waiting" if now.waiting else "publishing",
                completed=min(now.at_s, fleet.spec.duration_s or now.at_s),
                text=_clean(now.waiting) or told,
            )
            progress.refresh()
            await asyncio.sleep(0.25)


def _clean(text: str) -> str:
    from rich.markup import escape

    from iotcache.text import printable

    return escape(printable(text))


def _summary(report: Report) -> str:
    lines = [
        f"{report.published:,} of {report.planned:,} messages published, {report.confirmed:,} confirmed, "
        f"{report.late:,} late, {report.rate.achieved:,.0f}/s"
    ]
    if report.lag_ms is not None:
        lines.append(f"lag p50 {report.lag_ms.p50:.1f} ms, p99 {report.lag_ms.p99:.1f} ms")
    if (ledger := report.ledger) is not None:
        lines.append(f"ledger: {ledger.lost:,} of {ledger.expected:,} readings lost")
    if report.digest is not None:
        lines.append(f"stream {report.digest}")
    return "\n".join(lines)


def _check_writable(flag: str, file: str | None) -> None:
    """Find out before the run, not after it, that the report has no place to go."""
    if file is None or file == "-":
        return
    path = Path(file)
    if path.is_dir():
        raise UsageError(f"{flag} {file}: that is a folder, not a file")
    if not path.parent.is_dir():
        raise UsageError(f"{flag} {file}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag} {file}: it cannot be written there")


def _write(flag: str, file: str | None, text: bytes) -> None:
    if file == "-":
        sys.stdout.write(text.decode())
        sys.stdout.flush()
    elif file is not None:
        try:
            Path(file).write_bytes(text)
        except OSError as error:
            raise UsageError(f"{flag} {file}: {error.strerror}") from error


async def _write_labels(file: str, spec: FleetSpec, outcome: Outcome) -> None:
    from simulator.ledger.labels import label_lines

    until_us = max(outcome.horizons.values(), default=0)
    try:
        with Path(file).open("wb") as out:  # noqa: ASYNC230  # after the run; a line at a time
            async for lines in label_lines(spec, outcome.timeline, until_us):
                out.write(lines)
    except OSError as error:
        raise UsageError(f"--labels {file}: {error.strerror}") from error


def _whole(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return convert


def _number(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return convert


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        return _number(0.001, 100_000.0)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor 'max'") from error


def _moment(text: str) -> int:
    """Microseconds since the Unix epoch of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return round(moment.timestamp() * 1_000) * 1_000
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time with its zone, such as 2026-01-01T00:00:00Z"
        ) from None
