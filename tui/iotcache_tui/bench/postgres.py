"""A private PostgreSQL for a benchmark: a fresh cluster on a loopback port, durable as shipped."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from iotcache.config.schema import StoreSettings
from iotcache.errors import StackError
from iotcache_simulator.processes.process import Process
from iotcache_simulator.stack.ports import Port

_START_S: Final = 30.0


def postgres_programs() -> Path | None:
    """The folder of ``postgres`` and ``initdb``, also where Debian keeps it off PATH."""
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).parent
    many = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(4))
    return many[-1].parent if many else None


class BenchPostgres:
    """An async context manager over one cluster in ``folder``, which must be empty and outlive it.

    Raises `StackError` when it cannot be made. As root it runs as the user postgres or nobody, as the server
    refuses root; ``folder``'s parents must let that user pass.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._user = _unprivileged()
        self._exits = AsyncExitStack()
        self._databases = 0
        self.password = secrets.token_hex(16)
        self.port = 0

    async def __aenter__(self) -> Self:
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self._user:
            for path in (self._folder, secret):
                shutil.chown(path, self._user)
        data = str(self._folder / "data")
        await self._call(
            "initdb", "-D", data, "-U", "iot", "--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        port = Port()
        self.port = port.number
        port.release()
        server = Process(
            "postgres",
            [str(self._programs / "postgres"), "-D", data, "-p", str(self.port), "-h", "127.0.0.1",
             "-c", "unix_socket_directories="],
            guarded=True,
            user=self._user,
        )  # fmt: skip
        self._exits.push_async_callback(server.stop)
        try:
            await server.start()
            async with asyncio.timeout(_START_S):
                # The server tells that it is up to nobody but who asks.
                while not await self._answers():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def database(self) -> StoreSettings:
        """A new, empty database."""
        self._databases += 1
        name = f"turn{self._databases}"
        async with await self._admin() as admin:
            await admin.execute(f"CREATE DATABASE {name}".encode())
        url = f"postgresql://iot@127.0.0.1:{self.port}/{name}"
        return StoreSettings(url=url, password=self.password)

    async def _answers(self) -> bool:
        import psycopg

        try:
            await (await self._admin()).close()
        except psycopg.OperationalError:
            return False
        return True

    async def _admin(self) -> Any:
        import psycopg

        return await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=self.port, user="iot", password=self.password, dbname="postgres",
            autocommit=True,
        )  # fmt: skip

    async def _call(self, name: str, *arguments: str) -> None:
        def called() -> subprocess.CompletedProcess[bytes]:
            command = [str(self._programs / name), *arguments]
            if not self._user:
                return subprocess.run(command, capture_output=True, cwd="/", check=False)
            return subprocess.run(
                command, capture_output=True, cwd="/", check=False, user=self._user, extra_groups=[]
            )

        done = await asyncio.to_thread(called)
        if done.returncode:
            raise StackError(f"{name} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")


def _unprivileged() -> str:
    """Whom the server runs as, when that is not ourselves."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return ""
    import pwd

    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return ""
