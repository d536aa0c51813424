"""No stale value after a node returns, with two writers and a reader in processes of their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .tools import pause, resume

pytestmark = [pytest.mark.real("memcached"), pytest.mark.long]

WORKER = Path(__file__).with_name("worker.py")
KEYS = 60


@pytest.mark.parametrize(("fault", "count"), [("hang", 6), ("restart", 3)])
async def test_two_writers_and_a_reader_in_their_own_processes(
    memcached_factory: Any, tmp_path: Path, fault: str, count: int
) -> None:
    """Two writers take turns on every key, counting up; what is confirmed they tell through shared memory.

    The reader looks there before each read: the cache must never give less, and in between nodes hang or die.
    """
    servers = [memcached_factory() for _ in range(count)]
    shared = tmp_path / "confirmed"
    shared.write_bytes(bytes(8 * KEYS))
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), role, str(shared), *(server.address for server in servers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for role in ("0", "1", "reader")
    ]
    try:
        for worker in workers:
            assert await asyncio.to_thread(worker.stdout.readline) == b"ready\n"  # type: ignore[union-attr]
        await asyncio.sleep(0.3)
        if fault == "hang":
            await pause(servers[0])
            await asyncio.sleep(1.3)
            resume(servers[0])
        else:
            servers[0].kill()
            await asyncio.sleep(1.3)
            servers[0].start()
        await asyncio.sleep(4.0)  # a mark that two writers share runs out in 2 to 3 s
        reports = [
            json.loads((await asyncio.to_thread(worker.communicate, b"", 10))[0]) for worker in workers
        ]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    first, second, reader = reports
    assert reader["stale"] == []
    assert min(first["written"], second["written"]) > 1_000
    assert reader["hits"] > 1_000
    assert [report["returns"] for report in reports] == [1, 1, 1], reports
