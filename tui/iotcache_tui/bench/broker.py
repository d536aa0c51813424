"""A mosquitto for a benchmark: on a free port, with nothing kept on disk."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

from iotcache.errors import UsageError
from iotcache_simulator.processes.process import Process
from iotcache_simulator.stack.ports import Port

_START_S = 10.0


@asynccontextmanager
async def mosquitto(bench: str) -> AsyncIterator[int]:
    """Gives its port. Raises `UsageError` in the name of the benchmark when the program is not there."""
    program = which("mosquitto") or which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise UsageError(f"bench {bench} needs the program mosquitto on PATH")
    with tempfile.TemporaryDirectory(prefix="iotcache-bench-") as folder:
        port = Port()
        config = Path(folder, "mosquitto.conf")
        config.write_text(  # noqa: ASYNC240  # before anything is measured
            f"listener {port.number} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n"
        )
        port.release()
        broker = Process("mosquitto", [program, "-c", str(config)], guarded=True)
        await broker.start()
        try:
            await _answers(port.number)
            yield port.number
        finally:
            await broker.stop()


async def _answers(port: int) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
