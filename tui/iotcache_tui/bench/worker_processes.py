"""Worker processes for a benchmark: started, ready, measured from outside, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from iotcache.config.schema import StoreSettings
from iotcache.errors import StackError

_READY_S: Final = 20.0
_IDLE_S: Final = 20.0
_IDLE_STEP_S: Final = 0.5


class Team:
    """``count`` ingest workers of one group, as an async context manager; inside, all are ready."""

    def __init__(
        self, count: int, *, broker_port: int, nodes: Sequence[str], store: StoreSettings, group: str
    ) -> None:
        self._command = [
            sys.executable, "-P", "-m", "iotcache_tui", "ingest", "--broker", f"mqtt://127.0.0.1:{broker_port}",
            "--nodes", ",".join(nodes), "--store", store.url, "--group", group,
        ]  # fmt: skip
        self._environment = {**os.environ, "IOTCACHE_STORE_PASSWORD": store.password}
        self._count = count
        self._workers: list[asyncio.subprocess.Process] = []
        self._drains: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            for number in range(self._count):
                worker = await asyncio.create_subprocess_exec(
                    *self._command, "--instance", f"bench-{number}", env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                self._workers.append(worker)
            async with asyncio.timeout(_READY_S):
                for worker in self._workers:
                    await self._until_ready(worker)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def pause(self) -> None:
        """Stop all workers where they are (POSIX only); the broker keeps what they do not take."""
        for worker in self._workers:
            worker.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)

    async def until_idle(self) -> None:
        """Return when what they do in the background is done, or after `_IDLE_S` at most."""
        before_s = self.cpu_s()
        for _ in range(int(_IDLE_S / _IDLE_STEP_S)):
            await asyncio.sleep(_IDLE_STEP_S)
            now_s = self.cpu_s()
            if before_s is None or now_s is None or now_s - before_s < 0.1 * _IDLE_STEP_S * self._count:
                return
            before_s = now_s

    def cpu_s(self) -> float | None:
        """Processor time of all workers so far; ``None`` where the system does not tell."""
        ticks = 0
        for worker in self._workers:
            try:
                stat = Path(f"/proc/{worker.pid}/stat").read_text()
            except OSError:
                return None
            fields = stat.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
        return ticks / float(os.sysconf("SC_CLK_TCK"))

    def memory_bytes(self) -> int | None:
        """Memory of all workers that is in RAM; ``None`` where the system does not tell."""
        pages = 0
        for worker in self._workers:
            try:
                pages += int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
            except OSError:
                return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def _until_ready(self, worker: asyncio.subprocess.Process) -> None:
        assert worker.stderr is not None
        output = b""
        async for line in worker.stderr:
            output = line
            if b"ready:" in line:
                self._drains.append(asyncio.create_task(_drain(worker.stderr)))
                return
        raise StackError(f"a worker of the benchmark ended: {output.decode(errors='replace').strip()[:200]}")

    async def _end(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()
                worker.send_signal(signal.SIGCONT)
        for worker in self._workers:
            await worker.wait()
        await asyncio.gather(*self._drains)


async def _drain(lines: asyncio.StreamReader) -> None:
    async for _ in lines:
        pass
