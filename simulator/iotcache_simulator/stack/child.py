"""The far side of our own Python children: ``python -P -m iotcache_simulator.stack.child PARENT_PID ROLE``.

On stdin come the settings, one JSON line (so that no secret stands in a command line or an environment),
later perhaps the line ``stop``; end of file means that the parent is gone, and the child leaves at once. On
stdout go control records (see :mod:`iotcache_simulator.stack.guard`): ``{"ready": {…}}`` when the role is
at work,
``{"error": "one sentence"}`` when it cannot be. The role's modules are loaded while the settings are still
awaited: the parent starts all children at the same time and sends each its line when the servers that it
needs are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from iotcache_simulator.stack.guard import RECORD_SEPARATOR, die_with_parent

if TYPE_CHECKING:
    from iotcache.config.schema import Settings

Line = bytes
_EX_SOFTWARE = 1


class ParentWatch:
    """Our stdin: gives the lines that the parent writes, and ends this process when the parent is gone."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[Line] = SimpleQueue()
        self._on_stop: Callable[[], object] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        threading.Thread(target=self._follow, daemon=True, name="leash").start()

    def settings(self) -> Line:
        """The first line; waits for it."""
        return self._lines.get()

    def when_stopped(self, call: Callable[[], object]) -> None:
        """Have ``call`` run (in the leash's own thread) when the parent says ``stop``."""
        with self._lock:
            self._on_stop = call
            already = self._stopped
        if already:
            call()

    def _follow(self) -> None:
        rest = b""
        first = True
        while chunk := _read_stdin():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line == b"stop":
                    self._stop(at_once=first)
                elif first:
                    first = False
                    self._lines.put(line)
        os._exit(0)

    def _stop(self, *, at_once: bool) -> None:
        if at_once:
            os._exit(0)
        with self._lock:
            self._stopped = True
            call = self._on_stop
        if call is not None:
            call()


def _read_stdin() -> bytes:
    try:
        return os.read(0, 65_536)
    except OSError:
        return b""


def say(**record: object) -> None:
    """One control record to the parent, in one write so that no log line gets between its bytes."""
    line = RECORD_SEPARATOR + json.dumps(record).encode() + b"\n"
    with contextlib.suppress(OSError):  # the parent is gone, and the leash about to end us
        os.write(1, line)


def run_broker(leash: ParentWatch) -> None:
    """Run rumqttd on the configuration file named by the settings line; returns only by an exception."""
    import logging

    from iotcore.iotcore import IotCoreBroker

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # rumqttd wraps its work in spans of level error: one "error" for every packet.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    config = json.loads(leash.settings())["config_path"]
    leash.when_stopped(lambda: os._exit(0))
    broker = IotCoreBroker(config_path=config)
    broker.check_ports()
    say(ready={})
    broker.run_forever()


def run_ingest(leash: ParentWatch) -> None:
    """Run the ingest worker until it is told to stop."""
    from iotcache.worker.main import run_ingest as work

    settings = _settings(leash)

    def ready(http: str | None = None) -> None:
        say(ready={"http": http})

    _run(leash, work(settings, ready=ready))


def run_simulator(leash: ParentWatch) -> None:
    """Run the fleet until it is told to stop."""
    from iotcache_simulator.publish.run import run_fleet

    settings = _settings(leash)
    _run(leash, run_fleet(settings, ready=lambda: say(ready={})))


ROLES: dict[str, Callable[[ParentWatch], None]] = {
    "broker": run_broker,
    "ingest": run_ingest,
    "simulator": run_simulator,
}


def _settings(leash: ParentWatch) -> Settings:
    import msgspec

    from iotcache.config.schema import Settings
    from iotcache.logs import set_up

    settings = msgspec.json.decode(leash.settings(), type=Settings)
    set_up(settings.log)
    return settings


def _run(leash: ParentWatch, work: Coroutine[Any, Any, object]) -> None:
    """Run ``work`` in an event loop of its own, and cancel it when the parent says ``stop``.

    A cancelled worker leaves in good order: it finishes what it holds as far as that is quick.
    """
    import asyncio

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        leash.when_stopped(partial(loop.call_soon_threadsafe, task.cancel))
        with contextlib.suppress(asyncio.CancelledError):
            await task

    if sys.platform == "win32":  # paho's sockets need a loop that can watch them
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    asyncio.run(until_stopped())


def main(arguments: list[str]) -> int:
    parent_pid, role = int(arguments[0]), arguments[1]
    die_with_parent(parent_pid)
    leash = ParentWatch()
    try:
        ROLES[role](leash)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        say(error=str(error) or type(error).__name__)
        return _EX_SOFTWARE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
