"""``iotcache-tui stack``: everything embedded, without a screen, for scripts and tests.

Prints one JSON line once all of it answers, and runs until it is told to end or nobody reads its output any
more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from iotcache.errors import StackError

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.model import Event
    from iotcache_simulator.stack.stack import Stack

LOG = logging.getLogger("iotcache.stack")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("--no-simulate", action="store_true", help="leave the synthetic fleet out")


def run(args: argparse.Namespace) -> int:
    """Run the stack until SIGTERM, SIGINT or SIGHUP, or until the reader of our output is gone; 0 then."""
    from iotcache.logs import set_up
    from iotcache_simulator.stack.forks import held, roles
    from iotcache_tui.cli.options import load_settings

    settings = load_settings(args).settings
    set_up(settings.log)
    simulate = not args.no_simulate
    with held(roles(settings, simulate=simulate)):
        return asyncio.run(_serve(settings, simulate=simulate))


async def _serve(settings: Settings, *, simulate: bool) -> int:
    from iotcache_simulator.stack.stack import Stack

    async with _stop_signal() as stop:
        stack = Stack(settings, simulate=simulate, http=True, on_event=_log)
        starting = asyncio.ensure_future(stack.start())
        ending = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                _print_line(stack)
                await ending
        finally:
            ending.cancel()
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, StackError):
                await starting
            await stack.stop()
    return 0


def _print_line(stack: Stack) -> None:
    """The one line that scripts read; its ``pids`` name a ``simulator``, too, if there is one."""
    import msgspec

    from iotcache.config.urls import mask

    settings, pids = stack.settings, stack.pids
    line = {
        "broker": mask(settings.broker.url),
        "nodes": [settings.cache.nodes] if isinstance(settings.cache.nodes, str) else settings.cache.nodes,
        "store": mask(settings.store.url),
        "http": stack.http,
        "pids": {name: pid for name, pid in msgspec.to_builtins(pids).items() if name != "simulator" or pid},
    }
    try:
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads: the watch on our output ends us. Python's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.asynccontextmanager
async def _stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that is set by a signal to end, or when the reader of our output has gone."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    for number in signals:
        try:
            loop.add_signal_handler(number, ending.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ending.set))
    output = _pipe_of_stdout()
    if output is not None:
        # A pipe's writing end becomes "readable" only by the error that its reader has gone.
        loop.add_reader(output, ending.set)
    try:
        yield ending
    finally:
        if output is not None:
            loop.remove_reader(output)


def _pipe_of_stdout() -> int | None:
    if sys.stdout is None:
        raise StackError("standard output is closed: there is nowhere to print the addresses to")
    with contextlib.suppress(OSError, ValueError):
        fd = sys.stdout.fileno()
        if sys.platform != "win32" and stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
    return None


def _log(event: Event) -> None:
    LOG.log(_LEVELS[event.severity.value], "%s", event.text)
