"""``iotcache-tui ingest``: take readings from the broker into store and cache, and acknowledge what is safe.

Any number of workers share the load under one ``--group``, each with an ``--instance`` name of its own.
``ingest sessions`` lists the workers' sessions at the broker, ``sessions end NAME`` ends one left behind.
``ingest preset list`` names the mappings of well-known fleets, ``ingest preset show NAME`` prints one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from typing import TYPE_CHECKING

from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings

log = logging.getLogger("iotcache.ingest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument(
        "action", nargs="*", metavar="ACTION",
        help="nothing to take readings in; preset list; preset show NAME; sessions; sessions end NAME…",
    )  # fmt: skip
    parser.add_argument(
        "--instance", metavar="NAME", default="",
        help="this worker's name, the same after a restart (default: the host's, numbered in a group)",
    )  # fmt: skip
    parser.add_argument(
        "--group",
        metavar="NAME",
        default=None,
        help="ingest.group: share the messages with its other workers",
    )
    parser.add_argument(
        "--http", metavar="HOST:PORT", default=None, help="open the HTTP gateway there (port 0: any free one)"
    )
    parser.add_argument(
        "--stop-after-idle", metavar="S", type=float, default=0.0,
        help="end when no message came for S seconds (default: run until told to end)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT; exit status 0 then. Raises `IotCacheError`."""
    if args.action:
        return _act(args)
    from msgspec.structs import replace

    from iotcache import logs
    from iotcache.errors import ConfigError
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    if args.group is not None:
        args.assignments.append(f"ingest.group={args.group}")
    if args.http is not None:
        args.assignments += [f"http.listen={args.http}", "http.enabled=true"]
    wanted = load_settings(args).settings
    if wanted.ingest.group and wanted.broker.url == "embedded":
        # Its rumqttd ends its router when a member of a shared subscription leaves messages unacknowledged.
        raise ConfigError(
            f"ingest.group is {wanted.ingest.group!r}: workers of a group need a broker of their own, as the "
            "embedded one does not survive the loss of a member; name one with broker.url"
        )
    settings = find_running(wanted)
    if settings.log.level == "warning":  # what a person at a worker's terminal wants to see
        settings = replace(settings, log=replace(settings.log, level="info"))
    logs.set_up(settings.log)
    if sys.platform == "win32":  # paho's sockets need a loop that can watch them
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    asyncio.run(_until_signalled(settings, args.instance, args.stop_after_idle))
    return 0


def _act(args: argparse.Namespace) -> int:
    """What is not taking readings in. Raises `UsageError`."""
    from iotcache.errors import UsageError

    action: list[str] = args.action
    match action:
        case ["sessions", *rest]:
            from iotcache_simulator.stack.rundir import find_running
            from iotcache_tui.cli import sessions
            from iotcache_tui.cli.options import load_settings

            return sessions.run(find_running(load_settings(args).settings).broker, rest)
        case ["preset", *rest]:
            from iotcache_tui.cli.presets import show

            return show(rest)
    raise UsageError(
        f"ingest {printable(' '.join(action), 60)!r} is nothing it does: there are 'ingest preset' "
        "and 'ingest sessions'"
    )


async def _until_signalled(settings: Settings, instance: str, stop_after_idle_s: float) -> None:
    from iotcache.config.urls import mask
    from iotcache.worker.main import run_ingest

    def ready(http: str | None = None) -> None:
        log.info("ready: broker %s, store %s%s", mask(settings.broker.url), mask(settings.store.url),
                 f", gateway {http}" if http else "")  # fmt: skip

    loop = asyncio.get_running_loop()
    work = loop.create_task(
        run_ingest(settings, ready=ready, instance=instance, stop_after_idle_s=stop_after_idle_s)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, work.cancel)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(work.cancel))
    with contextlib.suppress(asyncio.CancelledError):
        await work
    log.info("ended")
