"""``iotcache-tui verify chaos``: from flags to runs, their report and the exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import msgspec

from iotcache.clock import utc_text
from iotcache.errors import StackError, UsageError
from iotcache_simulator.chaos.run import SCHEMA, ChaosReport, ChaosSpec, chaos
from iotcache_simulator.report.junit import Case, junit
from iotcache_tui.cli.simulating.output import check_writable, complain, until_signalled, write

EXIT_FAILED = 1
EXIT_COULD_NOT_RUN = 3
_SECONDS_MAX = 86_400.0


def run_chaos(args: argparse.Namespace) -> int:
    """Run one seed after the other; exit code 0 when every verdict is good, 3 when a part does not start."""
    for flag in ("steps", "trace", "shrink", "processes"):
        if getattr(args, flag):
            raise UsageError(f"--{flag} goes with verify cluster, not with verify chaos")
    spec = _spec(args)
    for flag, file in (("--report", args.report), ("--junit", args.junit)):
        check_writable(flag, file)
    began_s = time.time()
    reports: list[ChaosReport] = []
    interrupted = False
    try:
        for seed in range(spec.seed, spec.seed + (args.seeds or 1)):
            asyncio.run(_one(msgspec.structs.replace(spec, seed=seed), reports))
    except StackError as error:
        complain("verify", str(error))
        return EXIT_COULD_NOT_RUN
    except asyncio.CancelledError:
        interrupted = True
        complain("verify", "interrupted: what was begun has no verdict")
    ok = not interrupted and all(report.ok for report in reports)
    if args.report or args.json:
        content = {"schema": SCHEMA, "ok": ok, "runs": reports}
        text = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        write("--report", args.report or "-", text)
    if args.junit:
        found = [
            Case(f"seed {report.seed}: {case.name}", case.failure)
            for report in reports
            for case in report.cases
        ]
        started = utc_text(int(began_s * 1e3) * 1_000)
        write(
            "--junit",
            args.junit,
            junit(found, suite="iotcache.chaos", seconds=time.time() - began_s, started=started),
        )
    return 0 if ok else EXIT_FAILED


async def _one(spec: ChaosSpec, reports: list[ChaosReport]) -> None:
    shown = sys.stderr.isatty()
    task = asyncio.current_task()
    assert task is not None
    with until_signalled(task.cancel):  # all that was started is ended, and its folder removed
        report = await chaos(spec, tell=lambda text: print(text, file=sys.stderr) if shown else None)
    reports.append(report)
    print(report.sentence(), file=sys.stderr)
    for failure in report.failures:
        complain("verify", failure)


def _spec(args: argparse.Namespace) -> ChaosSpec:
    """Raises `UsageError`."""
    spec = ChaosSpec(
        kills=10 if args.kills is None else args.kills,
        seconds=20.0 if args.seconds is None else args.seconds,
        seed=1 if args.seed is None else args.seed,
        store=args.store_kind or "sqlite",
        workers=1 if args.workers is None else args.workers,
        rate=300.0 if args.rate is None else args.rate,
    )
    for flag, value, least, most in (
        ("--kills", spec.kills, 0, 100_000),
        ("--for", spec.seconds, 3.0, _SECONDS_MAX),
        ("--workers", spec.workers, 1, 16),
        ("--rate", spec.rate, 10.0, 20_000.0),
    ):
        if not least <= value <= most:
            raise UsageError(f"{flag} is {value:g}, allowed is {least:g} to {most:g}")
    return spec
