"""A private PostgreSQL cluster, and each store as the conformance tests want it: empty."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from iotcache.config.schema import StoreSettings
from iotcache.store import open_store
from iotcache.store.base import Store
from tests.conftest import Server, program

PASSWORD = "s3cret-Pa55"


def _as_unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            who = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    return {}


class Postgres:
    """A private cluster on a free loopback port, which a test may stop and start again."""

    def __init__(self, folder: Path) -> None:
        path = program("postgres")
        assert path is not None
        self._bin = Path(path).parent
        self._data = folder / "data"
        self._identity = _as_unprivileged()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._identity:
            for place in (folder, secret):
                os.chown(place, int(str(self._identity["user"])), int(str(self._identity["group"])))
        self._call(
            "initdb", "-D", str(self._data), "-U", "iot", "--pwfile", str(secret), "-A", "scram-sha-256",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._database = ""
        self.start()

    def _call(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / name), *arguments], check=True, capture_output=True, cwd="/", **self._identity  # type: ignore[call-overload]
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"postgresql://iot@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        from tests.conftest import free_port

        self.port = self.port or free_port()
        deadline = time.monotonic() + 20
        self._launch()
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                if self._process is None or self._process.poll() is not None:
                    time.sleep(0.2)  # somebody's outgoing connection holds our port for a moment
                    self._launch()

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            [
                str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1",
                "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=40",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._identity,  # type: ignore[call-overload]
        )  # fmt: skip

    def stop(self) -> None:
        """End it as an administrator in a hurry would: clients are cut off."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="iot", password=PASSWORD, dbname=database, autocommit=True
        )

    def empty_database(self) -> str:
        """The URL, without its password, of the database that all tests use, emptied: a new one takes the
        server a quarter of a second of work."""
        if not self._database:
            self._database = "shared"
            with self.connect() as connection:
                connection.execute(f"CREATE DATABASE {self._database}".encode())
        with self.connect(self._database) as connection:
            connection.execute(
                b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                b"WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(b"DROP SCHEMA IF EXISTS iotcache CASCADE")
        return f"postgresql://iot@127.0.0.1:{self.port}/{self._database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not in pytest's own folder: every pytest run closes that to all but its user, and the server is another.
    folder = Path(tempfile.mkdtemp(prefix="iotcache-postgres-"))
    server: Postgres | None = None
    try:
        server = Postgres(folder)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.real("postgres"))]


@pytest.fixture(params=BACKENDS)
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Where an empty store is, of each kind."""
    if request.param == "sqlite":
        return StoreSettings(url=f"sqlite:///{tmp_path}/readings.db", busy_timeout_s=0.2)
    server: Postgres = request.getfixturevalue("postgres")
    # So that the fixed times of the tests have a day of their own, however long ago that is.
    return StoreSettings(url=server.empty_database(), password=PASSWORD, retention_days=3_650)


@pytest.fixture
async def store(store_settings: StoreSettings) -> AsyncIterator[Store]:
    async with open_store(store_settings) as opened:
        yield opened


Starter = Callable[..., Server]
