"""Training scenarios on real servers of their own: on the dashboard's Lab screen, and headless as a test."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import IotCacheError, UsageError
from iotcache.text import plural, printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache_simulator.lab.definition.scenario import Scenario
    from iotcache_simulator.lab.run import ScenarioRun
    from iotcache_simulator.lab.state import LabState

EXIT_FAILED, EXIT_COULD_NOT_RUN = 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="ACTION",
        choices=("list", "course", "run", "new"),
        help="list, course, run NAME or new NAME",
    )
    parser.add_argument("name", nargs="?", help="a scenario's name, or its file")
    parser.add_argument(
        "--folder", action="append", default=[], help="look for scenarios here first; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="list: one JSON array")
    parser.add_argument("--headless", action="store_true", help="run: without a screen, as a test")
    parser.add_argument(
        "--report", metavar="FILE", help="run: write a JSON report (docs/lab.md); - for stdout"
    )
    parser.add_argument("--junit", metavar="FILE", help="run: write the verdict as JUnit XML")
    parser.add_argument(
        "--markdown",
        metavar="FILE",
        help="run: write the summary for a learner, with its plots as SVG beside it",
    )
    parser.add_argument(
        "--auto", action="store_true", help="run: on the screen by itself, this one and then all in turn"
    )
    parser.add_argument(
        "--record", metavar="FILE", help="run: on the screen, recorded for 'iotcache-tui replay FILE'"
    )


def run(args: argparse.Namespace) -> int:
    for folder in args.folder:
        if not Path(folder).is_dir():
            raise UsageError(f"--folder {printable(folder)}: there is no such folder")
    if args.what == "list":
        return _list(args)
    if args.what == "course":
        return _course(args)
    if not args.name:
        raise UsageError(f"lab {args.what} needs a name: iotcache-tui lab {args.what} NAME")
    if args.what == "new":
        return _new(args.name)
    return _run(args)


def _list(args: argparse.Namespace) -> int:
    from iotcache_simulator.lab.definition.scenario import catalogue

    scenarios, wrong = catalogue(args.folder)
    if args.json:
        import msgspec

        rows = [
            {
                "name": one.name, "title": one.title, "level": one.level, "minutes": one.minutes,
                "summary": one.summary, "teaches": one.teaches, "steps": len(one.step), "file": one.file,
            }
            for one in scenarios
        ]  # fmt: skip
        print(msgspec.json.encode(rows).decode())
    else:
        width = max((len(one.name) for one in scenarios), default=4)
        print(f"{'Name':{width}}  {'Level':8}  {'Min':>3}  What it shows")
        for one in scenarios:
            print(f"{one.name:{width}}  {one.level:8}  {one.minutes:>3g}  {printable(one.summary, 120)}")
    for error in wrong:
        print(f"iotcache-tui lab: {printable(str(error), 400)}", file=sys.stderr)
    return EXIT_FAILED if wrong else 0


def _course(args: argparse.Namespace) -> int:
    """The lessons in the order in which they build on each other, with what each needs and teaches."""
    from iotcache_simulator.lab.course import in_order
    from iotcache_simulator.lab.definition.scenario import catalogue

    scenarios, _ = catalogue(args.folder)
    minutes = 0.0
    for number, one in enumerate(in_order(scenarios), 1):
        minutes += one.minutes
        print(
            f"{number:>2}  {printable(one.title, 60)}  ({one.level}, {one.minutes:g} min)  lab run {one.name}"
        )
        for aim in one.teaches:
            print(f"      - {printable(aim, 110)}")
    print(f"\n{plural(len(scenarios), 'lesson')}, about {minutes:g} min; teachers' sheets: docs/lessons")
    return 0


def _new(name: str) -> int:
    from importlib.resources import files

    from iotcache_simulator.lab.definition.scenario import check_name

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    check_name(path.name, printable(name))
    text = (files("iotcache_simulator.lab") / "template.toml").read_text("utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{printable(str(path))} is there already") from None
    except OSError as error:
        raise UsageError(f"{printable(str(path))} cannot be written: {error.strerror}") from error
    print(f"{path} is written: try it with 'iotcache-tui lab run {path}', with --headless as a test")
    return 0


def _run(args: argparse.Namespace) -> int:
    from iotcache_simulator.lab.definition.scenario import find
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.cli.simulating.output import check_writable

    if args.headless and args.record:
        raise UsageError("--record records the screen: leave --headless out, or write a --report")
    scenario = find(args.name, args.folder)
    loaded = load_settings(args)
    settings = loaded.settings
    for flag, file in (("--report", args.report), ("--junit", args.junit), ("--markdown", args.markdown)):
        check_writable(flag, file)
    if not args.headless:
        from iotcache_tui.cli.commands.dashboard import require_keys
        from iotcache_tui.cli.commands.lab_screen import show

        require_keys(loaded)
        return show(scenario, loaded, auto=args.auto, record=args.record)
    return asyncio.run(_headless(scenario, settings, args))


async def _headless(scenario: Scenario, settings: Settings, args: argparse.Namespace) -> int:
    from iotcache.clock import utc_text
    from iotcache_simulator.lab.report import cases, report_of, write_summary
    from iotcache_simulator.lab.run import ScenarioRun
    from iotcache_simulator.report.junit import junit
    from iotcache_tui.cli.simulating.output import until_signalled, write

    started = utc_text(time.time_ns() // 1_000_000 * 1_000)
    teller = _Teller()
    made = ScenarioRun(scenario, settings, auto=True, on_change=teller.on_change)
    task = asyncio.ensure_future(_through(made))
    try:
        with until_signalled(lambda: _cancel(task)):
            await task
    except asyncio.CancelledError:
        teller.line("ended early")
    except IotCacheError as error:
        print(f"iotcache-tui lab: {printable(str(error), 400)}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    report = report_of(made, started=started)
    if args.report:
        write("--report", args.report, report.json())
    if args.junit:
        text = junit(
            cases(made), suite=f"iotcache.lab.{scenario.name}", seconds=report.elapsed_s, started=started
        )
        write("--junit", args.junit, text)
    if args.markdown:
        try:
            write_summary(made, Path(args.markdown))
        except OSError as error:
            raise UsageError(f"--markdown {args.markdown}: {error.strerror}") from error
    for failure in report.failures:
        print(f"iotcache-tui lab: {printable(failure, 400)}", file=sys.stderr)
    if made.state.status == "failed":
        return EXIT_COULD_NOT_RUN
    return 0 if report.ok else EXIT_FAILED


def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()


async def _through(made: ScenarioRun) -> None:
    async with made:
        await made.play()


class _Teller:
    """Says on standard error what happens, a line each."""

    def __init__(self) -> None:
        self._step = -1
        self._reported: set[tuple[int, str]] = set()
        self._last_text = ""

    def line(self, text: str) -> None:
        print(printable(text, 200), file=sys.stderr, flush=True)

    def on_change(self, state: LabState) -> None:
        if state.message and state.message != self._last_text:
            self._last_text = state.message
            if state.status != "starting":
                self.line(state.message)
        if state.status == "running" and state.step != self._step:
            self._step = state.step
            self.line(f"{state.elapsed_s:5.0f} s  step {state.step + 1}: {state.steps[-1].title}")
        for number, step in enumerate(state.steps):
            for check in step.checks:
                if check.state != "pending" and (number, check.text) not in self._reported:
                    self._reported.add((number, check.text))
                    seen = "" if check.value is None else f" ({check.value:.4g})"
                    mark = "ok  " if check.state == "green" else "FAIL"
                    self.line(f"{state.elapsed_s:5.0f} s    {mark} {check.text}{seen}")
