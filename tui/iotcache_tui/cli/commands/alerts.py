"""``iotcache-tui alerts``: the alerts that stand, those of the past, and saying that one knows of them.

``list`` prints them, ``ack NAME [SUBJECT …]`` acknowledges: without a subject all of that name. Exit status 3
when nothing stood that could be acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotcache.alerts import Alert
    from iotcache.config.schema import Settings

ACTIONS: Final = ("list", "ack")
NONE_STOOD: Final = 3
_PAST: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument(
        "action", metavar="ACTION", nargs="?", choices=ACTIONS, default="list", help="list, ack"
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the rule's name")
    parser.add_argument("subjects", metavar="SUBJECT", nargs="*", help="ack: as list prints them")
    parser.add_argument("--past", action="store_true", help="list: those that were cleared, the latest first")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=_PAST, help=f"list: at most so many ({_PAST})"
    )
    parser.add_argument("--by", metavar="WHO", default="", help="ack: who knows of it (default: you)")
    parser.add_argument("--json", action="store_true", help="print JSON, one alert a line")


def run(args: argparse.Namespace) -> int:
    """Carry out the action. Raises `IotCacheError`."""
    from iotcache.errors import UsageError
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    if args.limit < 1:
        raise UsageError(f"--limit is {args.limit}: allowed is a whole number from 1 on")
    if args.action == "ack" and not args.name:
        raise UsageError("alerts ack takes the name of a rule, and the subjects if not all are meant")
    if args.action == "list" and args.subjects:
        raise UsageError("alerts list takes no subjects, at most the name of a rule")
    settings = load_settings(args).settings
    if settings.store.url == "embedded":
        settings = find_running(settings)
    if args.action == "list":
        alerts = asyncio.run(_list(settings, args.name, args.past, args.limit))
    else:
        alerts = asyncio.run(_acknowledged(settings, args.name, args.subjects, args.by or _who()))
    _print(alerts, args.json)
    if args.action == "list" and not alerts and not args.json:
        rule = " of that name" if args.name else ""
        print(f"there are no alerts{rule} in the past" if args.past else f"no alert{rule} stands")
    if args.action == "ack" and not alerts:
        print("nothing of that name stands", file=sys.stderr)
        return NONE_STOOD
    return 0


async def _list(settings: Settings, name: str, past: bool, limit: int) -> Sequence[Alert]:
    from iotcache.store import open_store

    async with open_store(settings.store, read_only=True) as store:
        # Of one rule only: more are asked for, as others lie in between.
        wanted = limit if not name else 10_000
        alerts = await (store.alerts.cleared(wanted) if past else store.alerts.active(wanted))
    return [alert for alert in alerts if name in ("", alert.name)][:limit]


async def _acknowledged(settings: Settings, name: str, subjects: Sequence[str], by: str) -> list[Alert]:
    from iotcache.alerts.acknowledge import acknowledge
    from iotcache.store import open_store

    async with open_store(settings.store) as store:
        active = {alert.subject for alert in await store.alerts.active() if alert.name == name}
        wanted = subjects or sorted(active)
        return [await acknowledge(store, name, subject, by=by) for subject in wanted if subject in active]


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _print(alerts: Sequence[Alert], as_json: bool) -> None:
    import msgspec

    from iotcache.clock import utc_text
    from iotcache.text import printable

    for alert in alerts:
        if as_json:
            print(json.dumps(msgspec.to_builtins(alert)))
            continue
        known = f", known to {printable(alert.acknowledged_by, 40)}" if alert.acknowledged_by else ""
        ended = "" if alert.stands else f" until {utc_text(alert.changed_us // 1_000 * 1_000)}"
        head = (
            f"{alert.severity.value:<8} {alert.state.value:<12} {alert.name} {printable(alert.subject, 200)}"
        )
        since = f"(since {utc_text(alert.since_us // 1_000 * 1_000)}{ended}{known})"
        print(f"{head}  {printable(alert.text, 300)}  {since}")
