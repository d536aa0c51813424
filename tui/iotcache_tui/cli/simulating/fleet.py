"""``iotcache-tui simulate``: from flags to a run of the fleet, its report and its exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import msgspec

from iotcache.errors import BrokerError, NodeError, StoreError, UsageError
from iotcache.nodelist.sources import listed
from iotcache_simulator.fleet.classes import load_classes, preset_classes
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.formats.encoders import SPARKPLUG, Format, parse_format
from iotcache_simulator.fleet.load import parse_load
from iotcache_simulator.fleet.messages import planned, with_message
from iotcache_simulator.fleet.stream import SHARDS
from iotcache_simulator.fleet.toml_file import read_file
from iotcache_simulator.ledger.reading_back import ReadBack
from iotcache_simulator.ledger.targets import VerifyTargets, check_named, check_payload, parse_targets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.identity import check_identity
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.report.conditions import parse_condition
from iotcache_simulator.report.junit import Case
from iotcache_simulator.report.verdict import FIGURES, LISTENING, cases, check_measured, is_vacuous, judged
from iotcache_simulator.stack.rundir import find_running
from iotcache_simulator.wire.target import target_of
from iotcache_tui.cli.options import load_settings
from iotcache_tui.cli.simulating.output import check_writable, complain, until_signalled, withdraw, write
from iotcache_tui.cli.simulating.progress import show_progress, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotcache.config.schema import BrokerSettings
    from iotcache_simulator.publish.run import Run, RunOutcome
    from iotcache_simulator.report.conditions import Condition

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_COULD_NOT_RUN = 3
OWN_CONNECTIONS_MAX = 10_000
_OTHER_FILES = 64
"""Open files of a process besides its connections."""


def run_fleet(args: argparse.Namespace) -> int:
    """Run the fleet; the exit code is the verdict."""
    settings = load_settings(args).settings
    defaults = settings.simulator
    _settle_back_fill(args)
    spec = FleetSpec(
        devices=defaults.devices if args.devices is None else args.devices,
        rate=defaults.rate if args.rate is None else args.rate,
        duration_s=args.duration,
        seed=defaults.seed if args.seed is None else args.seed,
        qos=defaults.qos if args.qos is None else args.qos,
        retain=args.retain,
        speed=args.speed,
        start_us=args.start,
        lifecycle=args.lives,
        persistent=args.persistent,
        storms_s=args.reconnect_storm,
        storm_within_s=args.reconnect_within,
        user_properties=tuple(args.user_property),
        topic_aliases=args.topic_aliases,
        processes=args.processes,
        shard=args.shard,
        **_what_is_sent(args),
        load=parse_load(args.profile, args.duration),
        scattered=args.arrival == "scattered",
        stats=args.stats,
        count=args.count,
        pad_bytes=args.pad,
        ramp_s=args.ramp,
        client_id=args.client_id,
        user=args.user,
        primary_host=args.primary_host,
        listen=args.listen,
        cert_dir=args.cert_dir,
        password_file=args.password_file,
        control=args.control or "",
        connect_timeout_s=args.connect_timeout,
        patience_s=args.patience,
    )
    if args.shard[1] * args.processes > SHARDS:
        raise UsageError(f"--shard and --processes together make at most {SHARDS} parts of a fleet")
    if spec.shard[1] > 1 and not any(index % SHARDS in spec.own_lanes for index in range(spec.devices)):
        raise UsageError(f"--shard: a fleet of {spec.devices} has no device in that part")
    own = args.connections == 0
    if own and spec.devices > OWN_CONNECTIONS_MAX:
        raise UsageError(
            f"--connections devices: {spec.devices:,} devices would need as many connections; "
            f"at most {OWN_CONNECTIONS_MAX:,} are possible"
        )
    spec = msgspec.structs.replace(
        spec,
        own_connections=own,
        connections=spec.devices if own else max(args.connections, args.processes),
    )
    if args.keep_alive is not None:
        broker = msgspec.structs.replace(settings.broker, keepalive_s=args.keep_alive)
        settings = msgspec.structs.replace(settings, broker=broker)
    if (spec.user_properties or spec.topic_aliases) and settings.broker.protocol != "5":
        raise UsageError('--user-property and --topic-aliases are of MQTT 5: set broker.protocol to "5"')
    if spec.sparkplug:
        spec = _sparkplug(spec, args)
    elif spec.primary_host:
        raise UsageError("--primary-host goes with --format sparkplug")
    check_identity(spec)
    _check_amounts(spec)
    _check_listening(spec)
    allow_connections(spec.connections)
    spec = _with_faults(spec, args)
    if args.control and not spec.stats:
        raise UsageError("--no-stats cannot be had with --control: it is on their connection that it answers")
    if args.control and spec.processes > 1:
        raise UsageError("--control goes with one process: --processes cannot be had as well")
    over_s = 0.0 if spec.duration_s is None else spec.duration_s / spec.speed
    if over_s and (beyond := max(spec.storms_s, default=0.0)) >= over_s:
        raise UsageError(f"--reconnect-storm {beyond:g}: the run is over after {over_s:g} s")
    if spec.duration_s is None and spec.count is None and spec.speed == math.inf:
        raise UsageError("--speed max needs a --duration or a --count: without one it would never end")
    conditions = [parse_condition(text, FIGURES) for text in args.require]
    measured = () if args.verify is None else parse_targets(args.verify, settings).names
    check_measured(conditions, (*measured, *(LISTENING if spec.listen else ())))
    for flag, file in (("--report", args.report), ("--junit", args.junit), ("--labels", args.labels)):
        check_writable(flag, file)
    if args.output:
        return _conclude(args, _to_file(spec, args), conditions)
    if args.verify is not None:
        check_payload(parse_targets(args.verify, settings), ReadBack(spec))
    if settings.broker.url == "embedded":
        settings = find_running(settings)
    if args.verify is not None:
        settings = listed(settings)
    places = VerifyTargets() if args.verify is None else parse_targets(args.verify, settings)
    check_named(places)
    _check_kept(args, places)
    return _conclude(args, asyncio.run(_run(spec, settings.broker, places, args.settle)), conditions)


def _to_file(spec: FleetSpec, args: argparse.Namespace) -> RunOutcome:
    """The fleet written to a file. Raises `UsageError`."""
    from iotcache_simulator.capture.fleet_file import RECORDINGS, TABLE, FleetFile

    file = Path(args.output)
    if file.suffix not in (TABLE, *RECORDINGS):
        raise UsageError(f"-o {file}: it is {', '.join(RECORDINGS)} for messages, or {TABLE} for readings")
    if spec.sparkplug or spec.control or spec.listen or args.verify is not None:
        raise UsageError("-o writes to a file: Sparkplug, --control, --listen and --verify need a broker")
    if spec.duration_s is None and spec.count is None:
        raise UsageError("-o needs a --duration or a --count: without one it would never end")
    check_writable("-o", args.output)
    run = FleetFile(spec, file)

    async def write_all() -> RunOutcome:
        with until_signalled(run.stop):
            return await run.run()

    try:
        return asyncio.run(write_all())
    except OSError as error:
        raise UsageError(f"-o {file}: {error.strerror}") from error


def _check_amounts(spec: FleetSpec) -> None:
    """Raises `UsageError`."""
    if spec.count is not None and spec.processes > 1:
        raise UsageError("--count goes with one process: several would have to count together")
    if spec.pad_bytes and spec.payload.name in ("cbor", SPARKPLUG):
        raise UsageError(f"--pad fills payloads up with spaces, which {spec.payload.name} does not take")


def _check_listening(spec: FleetSpec) -> None:
    """Raises `UsageError` for flags that cannot be had with ``--listen``."""
    own_topics = not (spec.sparkplug or any(kind.message for kind in roster_of(spec).classes))
    for flag, given in (
        ("--processes", spec.processes > 1), ("--control", bool(spec.control)),
        ("--arrival scattered", spec.scattered), ("messages of other fleets", not own_topics),
    ):  # fmt: skip
        if spec.listen and given:
            raise UsageError(f"--listen cannot be had with {flag}")


def _with_faults(spec: FleetSpec, args: argparse.Namespace) -> FleetSpec:
    """With those of ``--faults``. Raises `UsageError` or `ConfigError`."""
    if args.faults:
        from iotcache_simulator.faults.kinds import Malformed
        from iotcache_simulator.faults.schedule import load_faults

        spec = msgspec.structs.replace(spec, faults=load_faults(args.faults, roster_of(spec)))
        together = any(message.joint for kind in roster_of(spec).classes for message in planned(kind))
        if together and any(isinstance(fault, Malformed) for fault in spec.faults):
            raise UsageError("--faults: where sensors are told together, malformed payloads cannot be had")
    elif args.labels and not args.control:
        raise UsageError("--labels needs --faults or --control: without faults there is nothing to label")
    return spec


class _Sent(TypedDict):
    classes: tuple[DeviceClass, ...]
    payload: Format
    topic: str | None
    zone: str


def _what_is_sent(args: argparse.Namespace) -> _Sent:
    """Devices and messages, as ``--preset``, ``--class``, ``--format``, ``--topic`` and ``--payload`` say.

    Raises `UsageError` or `ConfigError`.
    """
    text, preset = args.payload, args.preset
    for flag, given in (("--class", args.classes), ("--format", args.format != "json"),
                        ("--topic", args.topic), ("--payload", text)):  # fmt: skip
        if preset is not None and given:
            raise UsageError(f"--preset says which devices there are and what they send: not with {flag}")
    if text is not None and args.format != "json":
        raise UsageError("--payload and --format: a payload is in one form")
    if args.topic is not None and len(args.topic) > 1:
        raise UsageError("--topic: a fleet has one topic, with fields in it")
    topic = args.topic[0] if args.topic else None
    if text is not None:
        text = read_file(text[1:], "template").rstrip("\n") if text.startswith("@") else text
    payload = Format("template", text) if text is not None else parse_format(
        "sparkplug" if preset == "sparkplug" else args.format, lambda file: read_file(file, "template")
    )  # fmt: skip
    if args.zone and not payload.template:
        raise UsageError("--zone goes with --payload: other messages show their times in UTC")
    if topic is not None and payload.name == SPARKPLUG:
        raise UsageError("--topic cannot be had with --format sparkplug, which has topics of its own")
    classes = load_classes(args.classes) if preset is None else preset_classes(preset)
    if topic is not None or payload.template:
        with_message(classes, topic, payload.template or None, args.zone)  # mistakes are told now
    return {"classes": classes, "payload": payload, "topic": topic, "zone": args.zone}


def _settle_back_fill(args: argparse.Namespace) -> None:
    """``--from`` and ``--until`` are a start, a duration and all speed. Raises `UsageError`."""
    if args.since is None and args.until is None:
        return
    if args.since is None or args.until is None:
        raise UsageError("--from and --until go together: the readings from when to when?")
    if args.start is not None or args.duration is not None:
        raise UsageError("--from and --until say when: --start and --duration cannot be had as well")
    if args.until <= args.since:
        raise UsageError("--until must be later than --from")
    args.start, args.duration = args.since, (args.until - args.since) / 1e6
    if args.speed == 1.0:
        args.speed = math.inf


def _check_kept(args: argparse.Namespace, places: VerifyTargets) -> None:
    """Raises `UsageError` where workers would delete what is to be verified."""
    days = 0.0 if places.store is None else places.store.retention_days
    if days and args.since is not None and args.since < (time.time() - days * 86_400) * 1e6:
        raise UsageError(
            f"--from is longer ago than store.retention_days ({days:g}), and workers delete what is older: "
            "it cannot be verified in the store"
        )


def _conclude(args: argparse.Namespace, outcome: RunOutcome, conditions: Sequence[Condition]) -> int:
    """Write the reports and say what failed; the exit code. A file that fails keeps nothing else from it."""
    found = cases(outcome.report, conditions, outcome.unreachable, outcome.failure)
    if outcome.unverified:
        found.append(Case("the places to verify were asked", outcome.unverified))
    problems: list[str] = []
    if args.labels is not None and outcome.horizons:
        try:
            asyncio.run(write_labels(args.labels, outcome))
        except UsageError as error:
            problems.append(str(error))
    report = judged(outcome.report, found)
    if sys.stderr.isatty():
        with contextlib.suppress(OSError):
            print(summary(report), file=sys.stderr)
    texts = {("--report", args.report): report.json()}
    if args.junit:
        from iotcache_simulator.report.junit import junit

        texts["--junit", args.junit] = junit(
            found, suite="iotcache.simulate", seconds=report.duration_s.actual, started=report.started
        )
    for (flag, file), text in texts.items():
        try:
            write(flag, file, text)
        except UsageError as error:
            problems.append(str(error))
    for failure in (*report.failures, *problems):
        complain("simulate", failure)
    if args.speed == math.inf and report.ledger is not None and report.ledger.lost_in.get("store"):
        complain(
            "simulate",
            "this was as fast as the broker took it, and a broker drops what it cannot queue for a slower "
            "worker: raise its limit (mosquitto: max_queued_messages), or name a --speed",
        )
    if problems:
        if report.ok:
            complain("simulate", "all else was as promised: only what is said above could not be written")
        return EXIT_USAGE
    if report.ended_by in ("unreachable", "failed") or outcome.unverified or is_vacuous(report):
        return EXIT_COULD_NOT_RUN
    return 0 if report.ok else EXIT_FAILED


def _sparkplug(spec: FleetSpec, args: argparse.Namespace) -> FleetSpec:
    """What the standard decides. Raises `UsageError` for flags that contradict it."""
    for flag, given, why in (
        ("--retain", spec.retain, "its data are never retained"),
        ("--lives", spec.lifecycle, "it has births and deaths of its own"),
        ("--persistent", spec.persistent, "its sessions begin anew with every connection"),
    ):
        if given:
            raise UsageError(f"{flag} cannot be had with --format sparkplug: {why}")
    if any(sign in spec.primary_host for sign in "/+#\0"):
        raise UsageError("--primary-host: the id of a host application holds no '/', '+' or '#'")
    return msgspec.structs.replace(spec, qos=0 if args.qos is None else spec.qos)


def allow_connections(count: int) -> None:
    """Ask the system for as many open files as the connections need. Raises `UsageError`."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise UsageError(f"{count:,} connections need {needed:,} open files; the limit here is {hard:,}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _run(spec: FleetSpec, broker: BrokerSettings, places: VerifyTargets, settle_s: float) -> RunOutcome:
    fleet: Run
    if spec.processes > 1:
        from iotcache_simulator.publish.multi_process import MultiProcessRun

        fleet = MultiProcessRun(spec, broker)
    else:
        from iotcache_simulator.publish.run import FleetRun

        fleet = FleetRun(spec, target_of(broker, spec.cert_dir, spec.password_file), broker)
    with until_signalled(fleet.stop):
        async with contextlib.AsyncExitStack() as stack:
            verification = Verification(places, spec, broker, settle_s=settle_s)
            unheard: BrokerError | None = None
            try:
                await stack.enter_async_context(verification)
            except BrokerError as error:
                unheard = error  # the fleet will find that out, too, and say so in its report
            except (NodeError, StoreError) as error:
                return _not_run(spec, broker, f"a place to verify cannot be asked: {error}")
            if sys.stderr.isatty():
                showing = asyncio.create_task(show_progress(fleet))
                stack.callback(showing.cancel)
            outcome = await fleet.run(verification.begin)
            report, unverified = outcome.report, ""
            try:
                if unheard is not None and report.ended_by != "unreachable":
                    raise unheard
                report = await verification.judged(report, outcome.horizons, outcome.spec)
            except Exception as error:  # whatever a place answers, there is a report
                unverified = f"the run could not be verified: {str(error) or type(error).__name__}"
            return msgspec.structs.replace(
                outcome, report=report, unverified=unverified, spec=outcome.spec or spec
            )


def _not_run(spec: FleetSpec, broker: BrokerSettings, reason: str) -> RunOutcome:
    """A run that was refused before it began."""
    from iotcache_simulator.publish.partition import PublishTotals
    from iotcache_simulator.publish.run import RunOutcome, report_of

    now_s = time.time()
    timeline = spec.timeline(int(now_s * 1e6))
    report = report_of(spec, target_of(broker), timeline, PublishTotals(), "unreachable", started_s=now_s)
    return RunOutcome(report, {}, timeline, reason, spec)


async def write_labels(file: str, outcome: RunOutcome) -> None:
    """The ground truth of the run's faults. Raises `UsageError` when the file cannot be written."""
    from iotcache_simulator.ledger.labels import label_lines

    spec = outcome.spec
    assert spec is not None
    until_us = max(outcome.horizons.values(), default=0)
    try:
        with Path(file).open("wb") as out:  # noqa: ASYNC230  # after the run; a line at a time
            async for lines in label_lines(spec, outcome.timeline, until_us):
                out.write(lines)
    except OSError as error:
        withdraw(file)
        raise UsageError(f"--labels {file}: {error.strerror}") from error
