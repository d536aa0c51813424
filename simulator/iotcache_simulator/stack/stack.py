"""The stack: all that is "embedded" in the settings, started together, watched, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from iotcache.config.parts import writers
from iotcache.config.schema import Settings
from iotcache.config.urls import parse_embedded_nodes
from iotcache.errors import StackError
from iotcache.model import Event, Severity
from iotcache.tasks import first_error
from iotcache.ttl import TtlPolicy
from iotcache_simulator.processes.forked import let_go
from iotcache_simulator.processes.process import ChildTimeout, Exit, Process, own_child
from iotcache_simulator.stack.broker import EmbeddedBroker
from iotcache_simulator.stack.child import MODULES
from iotcache_simulator.stack.forks import hold, roles
from iotcache_simulator.stack.nodes import EmbeddedNode, NodeProgram, choose_program
from iotcache_simulator.stack.ports import LOOPBACK, Port, check_free
from iotcache_simulator.stack.rundir import (
    Announcement,
    entry_of_this_process,
    make_stack_folder,
    new_stack_folder,
    running,
)
from iotcache_simulator.stack.service import Launch, Service, StartProgress

_OWN_SERVERS_WAIT_S = 15.0
_FOREIGN_SERVERS_WAIT_S = 1.5
"""How long the start waits for a worker whose servers are not ours; later it goes on connecting by itself."""
_INGEST_GRACE_S = 1.0
_FLEET_GRACE_S = 0.5
LIFECYCLE_DEVICES_MAX = 1_000
"""Devices up to which a fleet tells births when nobody says whether it should."""
_STORE_FILE = "readings.sqlite3"


class Pids(Struct, frozen=True):
    """The process ids of the parts that we started; ``None`` for those that we did not."""

    broker: int | None
    ingest: int | None
    nodes: tuple[int, ...]
    simulator: int | None


class Stack:
    """Broker, cache nodes, store, ingest worker, fleet and readers, as far as the settings leave them to us.

    An async context manager: inside, every embedded server answers and :attr:`settings` holds real
    addresses only. Parts that the settings point elsewhere are not started. A part that dies is started
    again and ``on_event`` told; ``on_progress`` hears each step. Raises
    :class:`~iotcache.errors.StackError` when a part does not come up; nothing is left running then.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        simulate: bool = True,
        readers: bool = False,
        http: bool = False,
        announced: bool = True,
        named_nodes: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        on_progress: Callable[[StartProgress], None] = lambda progress: None,
    ) -> None:
        self.settings = settings
        """The settings with every "embedded" replaced by the real address, once started."""
        self.http: str | None = None
        """The HTTP gateway's URL, when it is on."""
        self.broker: Service | None = None
        self.ingest: Service | None = None
        self.simulator: Service | None = None
        self.readers: Service | None = None
        """Who reads the cache as an application does; only where ``readers`` asks for them."""
        self.nodes: tuple[Service, ...] = ()
        self.node_program: NodeProgram | None = None
        self._requested = settings
        self._embedded_broker = settings.broker.url == "embedded"
        starting = writers(settings)
        self._simulate = simulate and starting.simulator
        self._with_readers = readers and starting.readers
        self._roles = roles(settings, simulate=simulate, readers=readers)
        self._announced = announced
        """Whether this user's other commands find it."""
        self._named_nodes = named_nodes
        """Whether the ring knows our nodes as ``node-1`` and on, so that keys lie alike on every port."""
        self._with_ingest = starting.ingest
        self._with_http = self._with_ingest and _switch(settings.http.enabled, http)
        self._on_event = on_event
        self._on_progress = on_progress
        self._folder: Path | None = None
        self._announcement: Announcement | None = None
        self._broker_server: EmbeddedBroker | None = None
        self._node_servers: tuple[EmbeddedNode, ...] = ()
        self._http_port: Port | None = None
        self._holds_forks = False
        self._servers_up = asyncio.Event()
        self._ingest_up = asyncio.Event()
        self._fleet_up = asyncio.Event()

    @property
    def bundled(self) -> bool:
        """Whether the cache nodes are the Python node that comes with this program."""
        return self.node_program is not None and self.node_program.bundled

    @property
    def pids(self) -> Pids:
        return Pids(
            broker=self.broker.pid if self.broker else None,
            ingest=self.ingest.pid if self.ingest else None,
            nodes=tuple(node.pid for node in self.nodes),
            simulator=self.simulator.pid if self.simulator else None,
        )

    @property
    def services(self) -> tuple[Service, ...]:
        """All parts that we started: broker, nodes, ingest, simulator, readers."""
        parts = (*self._servers, self.ingest, self.simulator, self.readers)
        return tuple(part for part in parts if part is not None)

    @property
    def _servers(self) -> tuple[Service, ...]:
        return (self.broker, *self.nodes) if self.broker is not None else self.nodes

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all parts, side by side as far as they do not need each other. Raises :class:`StackError`."""
        if self._roles:
            hold(self._roles)
            self._holds_forks = True
        try:
            self._prepare()
            async with asyncio.TaskGroup() as parts:
                # In the order of their need: a fork server has what the first is made of before the rest.
                servers = [parts.create_task(service.start()) for service in self._servers]
                for service in (self.ingest, self.simulator, self.readers):
                    if service is not None:
                        parts.create_task(service.start())
                for server in servers:
                    await server
                self._resolve()
                self._servers_up.set()
            self._announce()
            _notice_a_lost_cancel()
        except BaseExceptionGroup as group:
            await self.stop()
            raise first_error(group) from group
        except BaseException:
            await self.stop()
            raise

    async def until_written(self) -> None:
        """Return once the servers answer and our worker, if there is to be one, is at work.

        Whoever only reads need not wait for the fleet: :attr:`settings` holds real addresses from here on.
        """
        await (self._ingest_up if self._with_ingest else self._servers_up).wait()

    async def change_ttl(self, policy: TtlPolicy) -> None:
        """Let our worker and our readers go on with other lives of entries: they are started anew.

        Raises :class:`StackError`. What is sent meanwhile waits in the broker.
        """
        self.settings = replace(self.settings, cache=replace(self.settings.cache, ttl=policy))
        writing = [service for service in (self.ingest, self.readers) if service is not None]
        await asyncio.gather(*(service.restart() for service in writing))

    async def stop(self) -> None:
        """End every part and remove what the stack wrote. Safe to call twice, and amid the start."""
        if self._everything_embedded():
            await _stop_all(self.services, 0.0)  # nothing outlives it: there is nobody to take leave of
        await _stop_all((self.simulator, self.readers, self.ingest))
        await _stop_all((self.broker, *self.nodes))
        for owner in (self._broker_server, self._http_port, *self._node_servers):
            if owner is not None:
                owner.release()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        if self._announcement is not None:
            self._announcement.remove()
        if self._holds_forks:
            self._holds_forks = False
            let_go()

    def _prepare(self) -> None:
        settings = self._requested
        nodes = settings.cache.nodes
        node_count = parse_embedded_nodes(nodes) if isinstance(nodes, str) else None
        if self._with_http:
            check_free(settings.http.listen)
        if node_count:
            self.node_program = choose_program(settings.cache.embedded_server)
        folder: Path | None = None
        if self._embedded_broker or settings.store.url == "embedded":
            folder = new_stack_folder()
        if folder is not None or node_count:
            self._announce_early(folder)
        if folder is not None:
            make_stack_folder(folder)
            self._folder = folder
        try:
            if self._embedded_broker and self._folder is not None:
                self._broker_server = EmbeddedBroker(self._folder)
                self.broker = self._service("broker", self._broker_server.launch)
            if node_count and self.node_program is not None:
                program = self.node_program
                self._node_servers = tuple(EmbeddedNode(program, settings.cache) for _ in range(node_count))
                self.nodes = tuple(
                    self._service(f"node {server.name}", server.launch) for server in self._node_servers
                )
            if self._with_http and settings.http.listen == f"{LOOPBACK}:0":
                self._http_port = Port()
        except OSError as error:
            raise StackError(f"no free port on {LOOPBACK}: {error.strerror}") from error
        if self._with_ingest:
            self.ingest = self._service("ingest", self._launch_ingest)
        if self._simulate:
            self.simulator = self._service("simulator", self._launch_fleet)
        if self._with_readers:
            self.readers = self._service("readers", self._launch_readers)

    def _resolve(self) -> None:
        """Put the real addresses into the settings."""
        settings = self._requested
        broker, cache, store, http = settings.broker, settings.cache, settings.store, settings.http
        if self._broker_server is not None:
            version = "3.1.1" if broker.protocol == "3.1.1" else "5"
            broker = replace(broker, url=self._broker_server.url(version))
        if self._node_servers:
            cache = replace(
                cache,
                nodes=tuple(
                    f"{server.name} node-{number}" if self._named_nodes else server.name
                    for number, server in enumerate(self._node_servers, 1)
                ),
            )
        if store.url == "embedded":
            store = replace(store, url=f"sqlite:///{quote(self._store_path().as_posix(), safe='/:')}")
        listen = self._http_port.address if self._http_port is not None else http.listen
        self.settings = replace(
            settings,
            broker=broker,
            cache=cache,
            store=store,
            http=replace(http, enabled=self._with_http, listen=listen),
            ingest=replace(settings.ingest, enabled=self._with_ingest),
            simulator=replace(
                settings.simulator,
                enabled=self._simulate,
                control=_switch(settings.simulator.control, self._embedded_broker),
                lives=_switch(
                    settings.simulator.lives,
                    self._embedded_broker and settings.simulator.devices <= LIFECYCLE_DEVICES_MAX,
                ),
                # On anybody else's servers a device that falls silent would be a false alarm.
                dropouts=self._everything_embedded() and _switch(settings.simulator.dropouts, True),
            ),
        )

    def _store_path(self) -> Path:
        assert self._folder is not None
        return self._folder / _STORE_FILE

    async def _launch_ingest(self, on_exit: Callable[[Exit], None]) -> Process:
        process = _child("the ingest worker", "ingest", _INGEST_GRACE_S, on_exit)
        async with _stopped_on_error(process):
            await process.start()
            await self._servers_up.wait()
            await process.say(msgspec.json.encode(self.settings))
            with contextlib.suppress(*self._patience()):
                record = await process.receive("ready", self._wait_s())
                self.http = record["ready"].get("http") or None
        self._ingest_up.set()
        return process

    async def _launch_fleet(self, on_exit: Callable[[Exit], None]) -> Process:
        """The fleet comes last: what it published before the worker's subscription, nobody would keep."""
        process = _child("the simulator", "simulator", _FLEET_GRACE_S, on_exit)
        async with _stopped_on_error(process):
            await process.start()
            await self.until_written()
            await process.say(msgspec.json.encode(self.settings))
            with contextlib.suppress(*self._patience()):
                await process.receive("ready", self._wait_s())
        self._fleet_up.set()
        return process

    async def _launch_readers(self, on_exit: Callable[[Exit], None]) -> Process:
        """Not before the worker, which makes the store's tables; nor before there is anything to read."""
        process = _child("the readers", "readers", _FLEET_GRACE_S, on_exit)
        async with _stopped_on_error(process):
            await process.start()
            await self._ingest_up.wait()
            if self._simulate:
                await self._fleet_up.wait()
            await process.say(msgspec.json.encode(self.settings))
            with contextlib.suppress(*self._patience()):
                await process.receive("ready", self._wait_s())
        return process

    def _everything_embedded(self) -> bool:
        """Not a server of anybody else's is in use."""
        return self._all_embedded() and bool(self._node_servers)

    def _all_embedded(self) -> bool:
        return self._embedded_broker and self._requested.store.url == "embedded"

    def _wait_s(self) -> float:
        return _OWN_SERVERS_WAIT_S if self._all_embedded() else _FOREIGN_SERVERS_WAIT_S

    def _patience(self) -> tuple[type[Exception], ...]:
        """Foreign servers may be away just now: the dashboard shows that, rather than not starting."""
        return () if self._all_embedded() else (ChildTimeout,)

    def _service(self, name: str, launch: Launch) -> Service:
        return Service(name, launch, on_event=self._on_event, on_progress=self._on_progress)

    def _announce_early(self, folder: Path | None) -> None:
        """Before anything runs: should we be killed while starting, the next stack cleans up after us."""
        try:
            running()  # sweeps up after stacks that were killed
            self._announcement = Announcement()
            self._announcement.write(entry_of_this_process(folder))
        except StackError as error:
            text = f"other commands cannot find this stack: {error}"
            self._on_event(Event(time.time(), "stack.hidden", Severity.WARNING, "stack", text))

    def _announce(self) -> None:
        """Let this user's other commands find the stack; without a runtime folder they need flags."""
        if self._announcement is None or not self._announced:
            return
        server, requested = self._broker_server, self._requested
        with contextlib.suppress(StackError):
            self._announcement.write(
                replace(
                    entry_of_this_process(self._folder),
                    broker=server.url() if server else "",
                    broker_v5=server.url("5") if server else "",
                    nodes=tuple(node.name for node in self._node_servers),
                    bundled=self.bundled,
                    store=self.settings.store.url if requested.store.url == "embedded" else "",
                    http=self.http or "",
                )
            )


def _child(name: str, role: str, grace_s: float, on_exit: Callable[[Exit], None]) -> Process:
    return own_child(name, role, grace_s=grace_s, on_exit=on_exit, modules=MODULES[role])


@contextlib.asynccontextmanager
async def _stopped_on_error(process: Process) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await process.stop(0.0)
        raise


async def _stop_all(services: Iterable[Service | None], timeout_s: float | None = None) -> None:
    await asyncio.gather(*(service.stop(timeout_s) for service in services if service is not None))


def _notice_a_lost_cancel() -> None:
    """Until Python 3.12 ``asyncio.wait_for`` swallows a cancel that comes in the same turn as its result."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _switch(value: bool | str, auto: bool) -> bool:
    return auto if value == "auto" else bool(value)
