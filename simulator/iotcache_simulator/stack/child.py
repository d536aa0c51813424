"""The far side of our own Python children: ``python -P -m iotcache_simulator.stack.child PARENT_PID ROLE``.

On stdin come the settings, one JSON line (so that no secret stands in a command line or an environment),
later perhaps the line ``stop``; end of file means that the parent is gone, and the child leaves at once. On
stdout go control records (see :mod:`iotcache_simulator.processes.guard`): ``{"ready": {…}}`` when the role is
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
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from iotcache_simulator.processes.guard import die_with_parent
from iotcache_simulator.processes.parent import ParentWatch, say

if TYPE_CHECKING:
    from iotcache.config.schema import Settings

_EX_SOFTWARE = 1


def run_broker(parent: ParentWatch) -> None:
    """Run rumqttd on the configuration file named by the settings line; returns only by an exception."""
    import logging

    from iotcore.iotcore import IotCoreBroker

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # rumqttd wraps its work in spans of level error: one "error" for every packet.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    config = json.loads(parent.settings())["config_path"]
    parent.when_stopped(lambda: os._exit(0))
    broker = IotCoreBroker(config_path=config)
    broker.check_ports()
    say(ready={})
    broker.run_forever()


def run_ingest(parent: ParentWatch) -> None:
    """Run the ingest worker until it is told to stop."""
    from iotcache.worker.main import run_ingest as work

    settings = _settings(parent)

    def ready(http: str | None = None) -> None:
        say(ready={"http": http})

    # Started anew, it finds the ring of its nodes as it is by now.
    _run(parent, work(settings, ready=ready, follow=True))


def run_simulator(parent: ParentWatch) -> None:
    """Run the fleet until it is told to stop."""
    from iotcache_simulator.publish.run import run_fleet

    settings = _settings(parent)
    _run(parent, run_fleet(settings, ready=lambda: say(ready={})))


def run_readers(parent: ParentWatch) -> None:
    """Read through the cache until it is told to stop."""
    from iotcache_simulator.readers.steady import run_readers as read

    settings = _settings(parent)
    _run(parent, read(settings, ready=lambda: say(ready={})))


_ALL = ("iotcache.config.schema", "iotcache.logs", "iotcache_simulator.stack.mqtt_library")
MODULES = {
    "broker": ("iotcore.iotcore",),
    "ingest": (*_ALL, "iotcache.worker.main", "iotcache.cache", "iotcache.store.sqlite.store"),
    "simulator": (*_ALL, "iotcache_simulator.publish.run"),
    "readers": (*_ALL, "iotcache_simulator.readers.steady", "iotcache.store.sqlite.store"),
}
"""What each role loads, for a fork server to have beforehand."""
ROLES: dict[str, Callable[[ParentWatch], None]] = {
    "broker": run_broker,
    "ingest": run_ingest,
    "simulator": run_simulator,
    "readers": run_readers,
}


def _settings(parent: ParentWatch) -> Settings:
    import msgspec

    from iotcache.config.schema import Settings
    from iotcache.logs import set_up

    settings = msgspec.json.decode(parent.settings(), type=Settings)
    set_up(settings.log)
    return settings


def _run(parent: ParentWatch, work: Coroutine[Any, Any, object]) -> None:
    """Run ``work`` in an event loop of its own, and cancel it when the parent says ``stop``.

    A cancelled worker leaves in good order: it finishes what it holds as far as that is quick.
    """
    import asyncio

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        parent.when_stopped(partial(loop.call_soon_threadsafe, task.cancel))
        with contextlib.suppress(asyncio.CancelledError):
            await task

    if sys.platform == "win32":  # paho's sockets need a loop that can watch them
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    asyncio.run(until_stopped())


def main(arguments: list[str]) -> int:
    parent_pid, role = int(arguments[0]), arguments[1]
    die_with_parent(parent_pid)
    parent = ParentWatch()
    try:
        ROLES[role](parent)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        say(error=str(error) or type(error).__name__)
        return _EX_SOFTWARE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
