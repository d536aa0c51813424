"""The parts of the pipeline, each of which can be killed, frozen and restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from iotcache.errors import StackError
from iotcache_simulator.chaos.plan import Act
from iotcache_simulator.processes.process import Exit, Process
from iotcache_simulator.stack.ports import LOOPBACK, Port
from iotcache_simulator.stack.probe import memcached_answers, mqtt_answers, until_answering

_START_S: Final = 20.0
_END_S: Final = 10.0
_TRIES: Final = 5
_POLL_S: Final = 0.05
_READY: Final = "ready: broker"


def program(name: str) -> str:
    """The path of a program that must be installed. Raises `StackError`."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=folders)
    if found is None:
        raise StackError(f"{name} is not installed: it is one of the parts that are killed")
    return found


class Victim:
    """A process that ends when it is told to, and comes back."""

    acts: Sequence[Act] = ("kill", "restart", "freeze")
    ending = signal.SIGTERM
    """What it ends politely at."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.deaths: list[str] = []
        """Why it ended without having been told to."""
        self._process: Process | None = None
        self._busy = asyncio.Lock()

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    async def answering(self, process: Process) -> None:
        """Return once the process does its work. Raises `StackError`."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start it, and wait until it works. Raises `StackError`."""
        for attempt in range(_TRIES):
            process = Process(
                self.name, self.command(), guarded=True, user=self.user, grace_s=0.0, on_exit=self._ended
            )
            try:
                await process.start()
                await self.answering(process)
                self._process = process
                return
            except BaseException as error:
                await process.stop(0.0)
                # Somebody's outgoing connection may hold its port for a moment.
                if attempt == _TRIES - 1 or not isinstance(error, StackError):
                    raise
                await asyncio.sleep(0.2)

    @property
    def user(self) -> str:
        """Whom it runs as; empty: as we are."""
        return ""

    async def stop(self) -> None:
        """End it for good."""
        if self._process is not None:
            await self._process.stop(0.0)

    async def undergo(self, act: Act, for_s: float) -> None:
        """Do that to it; return once it works again. Raises `StackError`."""
        async with self._busy:
            if act == "freeze":
                await self.freeze(for_s)
                return
            await self.end(signal.SIGKILL if act == "kill" else self.ending)
            await asyncio.sleep(for_s)
            await self.start()

    async def freeze(self, for_s: float) -> None:
        """Stop it in its tracks for a while."""
        process = self._process
        assert process is not None
        process.pause()
        try:
            await asyncio.sleep(for_s)
        finally:
            process.resume()

    async def end(self, by: signal.Signals) -> None:
        """Send the signal and wait for the end."""
        process = self._process
        assert process is not None
        self._process = None
        if process.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, by)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()
        await process.stop(0.0)

    async def until_idle(self) -> None:
        """Return once nothing is being done to it."""
        async with self._busy:
            pass

    def _ended(self, end: Exit) -> None:
        if self._process is not None and not self._process.running:
            self.deaths.append(f"{self.name} ended by itself: {end.reason}")


class Mosquitto(Victim):
    """A broker that keeps sessions and messages over a restart.

    It is not killed: what a broker confirmed and then forgot, nobody behind it can bring back.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        """``shared``: its subscriptions are, and mosquitto forgets those in a restart: it is only frozen."""
        super().__init__("broker")
        self.acts = ("freeze",) if shared else ("restart", "freeze")
        self._program = program("mosquitto")
        self._port = Port()
        self._config = folder / "mosquitto.conf"
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name}\n"
        self._config.write_text(
            f"listener {self._port.number} {LOOPBACK}\nallow_anonymous true\n{user}persistence true\n"
            f"persistence_location {folder}{os.sep}\nmax_queued_messages 0\nset_tcp_nodelay true\n",
            "utf-8",
        )

    @property
    def url(self) -> str:
        return f"mqtt://{self._port.address}"

    def command(self) -> list[str]:
        return [self._program, "-c", str(self._config)]

    async def answering(self, process: Process) -> None:
        await until_answering(process, lambda: mqtt_answers(LOOPBACK, self._port.number, "3.1.1"))


class CacheNode(Victim):
    """A memcached."""

    def __init__(self, number: int) -> None:
        super().__init__(f"node {number}")
        self._program = program("memcached")
        self._port = Port()

    @property
    def address(self) -> str:
        return self._port.address

    @property
    def user(self) -> str:
        return "nobody" if os.geteuid() == 0 else ""

    def command(self) -> list[str]:
        return [self._program, "-l", LOOPBACK, "-p", str(self._port.number), "-U", "0", "-m", "64", "-t", "2"]

    async def answering(self, process: Process) -> None:
        await until_answering(process, lambda: memcached_answers(LOOPBACK, self._port.number))


class Worker(Victim):
    """An ingest worker."""

    def __init__(self, number: int, command: Sequence[str], config: Path) -> None:
        """``command`` is what ``iotcache-tui`` is run by."""
        super().__init__(f"worker {number}")
        self._command = [*command, "ingest", "--config", str(config), "--instance", f"chaos-{number}"]

    def command(self) -> list[str]:
        return self._command

    async def answering(self, process: Process) -> None:
        # Its servers may be away just now: it is up once it runs, and ready when they are back.
        async with asyncio.timeout(_START_S):
            while process.running and not process.output:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
        if not process.running:
            raise StackError(f"{self.name} ended at start: {(await process.wait()).reason}")

    async def until_ready(self) -> None:
        """Return once it takes readings. Raises `StackError`."""
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(_START_S):
                while not any(_READY in line for line in process.output):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            last = process.output[-1] if process.output else "it said nothing"
            raise StackError(f"{self.name} does not come up: {last}") from None


class SqliteLock(Victim):
    """The store's file. It lives in the workers; what can be done to it is to hold its lock."""

    acts = ("freeze",)

    def __init__(self, folder: Path) -> None:
        super().__init__("store")
        self._file = folder / "readings.sqlite3"

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file.as_posix()}"

    async def start(self) -> None:
        """Nothing to start: the first worker makes it."""

    async def freeze(self, for_s: float) -> None:
        """Another program writes, for as long as that."""
        with contextlib.suppress(sqlite3.OperationalError):  # a worker has the lock for long: try no more
            await asyncio.to_thread(self._hold, for_s)

    def _hold(self, for_s: float) -> None:
        import time

        with contextlib.closing(sqlite3.connect(self._file, timeout=5.0, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            time.sleep(for_s)
            database.execute("ROLLBACK")


class PostgresServer(Victim):
    """A PostgreSQL cluster of its own, which keeps what it has committed over a crash."""

    acts = ("kill", "restart")
    ending = signal.SIGINT
    """A fast shutdown: clients are cut off."""

    def __init__(self, folder: Path) -> None:
        super().__init__("store")
        self._folder = folder
        self._port = Port()
        self._bin = _postgres_folder()
        self._data = folder / "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://iot@{self._port.address}/postgres"

    @property
    def user(self) -> str:
        """PostgreSQL refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else ""

    async def start(self) -> None:
        if not self._data.exists():
            making = asyncio.create_task(asyncio.to_thread(self._initialise))
            try:
                await asyncio.shield(making)
            except asyncio.CancelledError:
                await making  # or it would go on writing while the folder is removed
                raise
        await super().start()

    async def end(self, by: signal.Signals) -> None:
        """``SIGQUIT`` is a crash: the server's processes go at once, without a checkpoint."""
        await super().end(signal.SIGQUIT if by is signal.SIGKILL else by)

    def _initialise(self) -> None:
        command = [
            str(self._bin / "initdb"), "-D", str(self._data), "-U", "iot", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync",
        ]  # fmt: skip
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            subprocess.run(
                command, check=True, capture_output=True, cwd="/",
                user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
            )  # fmt: skip
        else:
            subprocess.run(command, check=True, capture_output=True, cwd="/")

    def command(self) -> list[str]:
        return [
            str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self._port.number), "-h", LOOPBACK,
            "-c", "unix_socket_directories=", "-c", "max_connections=60",
        ]  # fmt: skip

    async def answering(self, process: Process) -> None:
        await until_answering(process, self._takes_queries)

    async def _takes_queries(self) -> bool:
        import psycopg

        try:
            async with await psycopg.AsyncConnection.connect(
                host=LOOPBACK, port=self._port.number, user="iot", dbname="postgres", connect_timeout=2
            ):
                return True
        except psycopg.Error:
            return False


def _postgres_folder() -> Path:
    """Where PostgreSQL's programs are. Raises `StackError`."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        raise StackError("PostgreSQL is not installed: it is one of the parts that are killed")
    return versions[-1].parent


def worker_command() -> list[str]:
    """The program's own command."""
    return [sys.executable, "-P", "-m", "iotcache_tui"]


Observer = Callable[[str], None]
"""Told in a sentence what happens."""
