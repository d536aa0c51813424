"""``iotcache-tui warm``: fill the cache from the store, for instance after a node's restart.

What is in the cache already stays as it is, so it may run beside workers and readers at any time. Exit
status 1 when entries could not be filled, 3 when the store knows nothing to fill (of that site).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from iotcache.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotcache.config.schema import Settings
    from iotcache.onboarding import WarmProgress

UNKNOWN: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("--site", metavar="NAME", default="", help="only devices of this site")
    parser.add_argument(
        "--per-s", metavar="N", type=float, default=0.0,
        help="look at no more than N entries a second (default: as fast as it goes)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")


def run(args: argparse.Namespace) -> int:
    """Fill the cache. Raises `IotCacheError` when the store or the nodes cannot be had."""
    from iotcache.errors import UsageError
    from iotcache.nodelist.sources import listed
    from iotcache.text import printable
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    if not (args.per_s >= 0 and math.isfinite(args.per_s)):
        raise UsageError(f"--per-s is a number of entries a second, 0 for no limit, not {args.per_s:g}")
    settings = listed(find_running(load_settings(args).settings))
    done = asyncio.run(_warm(settings, args.site, args.per_s, quiet=args.json))
    if done is None:
        of = f" of site {printable(args.site, 80)}" if args.site else ""
        print(f"the store knows nothing{of} to fill the cache with", file=sys.stderr)
        return UNKNOWN
    filled = done.filled
    if args.json:
        print(
            json.dumps(
                {
                    "entries": done.done,
                    "filled": filled.added,
                    "present": filled.present,
                    "unknown": filled.unknown,
                    "failed": filled.failed,
                    "reason": filled.reason,
                }
            )
        )
    else:
        print(f"{plural(filled.added, 'entry', 'entries')} filled, {filled.present:,} were there already")
    if filled.failed:
        print(
            f"{plural(filled.failed, 'entry', 'entries')} could not be filled: {filled.reason}",
            file=sys.stderr,
        )
    return 1 if filled.failed else 0


async def _warm(settings: Settings, site: str, per_s: float, *, quiet: bool) -> WarmProgress | None:
    """The whole of it; ``None`` when there was nothing to do."""
    from iotcache.cache import DeviceCache
    from iotcache.onboarding import fleet_entries, warm

    last: WarmProgress | None = None
    async with DeviceCache.from_settings(settings, follow=True, read_only=True) as cache:
        series = 0 if site else (await cache.store.counts()).series  # of one site, who knows
        with _shown(series, quiet) as show:
            async for progress in warm(cache, fleet_entries(cache.store, site), per_s=per_s):
                last = progress
                show(progress)
    return last


@contextlib.contextmanager
def _shown(series: int, quiet: bool) -> Iterator[Callable[[WarmProgress], None]]:
    """A progress bar on standard error, where that is a terminal; documents are counted as they come."""
    if quiet or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("filling the cache"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=series or None)

        def show(now: WarmProgress) -> None:
            progress.update(task, completed=now.done, total=max(series, now.done) if series else None)

        yield show
