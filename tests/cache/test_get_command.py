"""``iotcache-tui get``: one read-through as a script sees it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from iotcache.clock import utc_text
from tests.cache.conftest import Open, ingest, stored, talk
from tests.conforming import conforming
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")


async def get(tmp_path: Path, node: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "iotcache_tui", "get", "--nodes", node, "--store", f"sqlite:///{tmp_path}/readings.db",
        "--broker", "mqtt://127.0.0.1:1", *arguments, cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("IOTCACHE_")},
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def get_json(tmp_path: Path, node: Server, device: str = "dev-1", sensor: str = "temperature") -> Any:
    status, out, err = await get(tmp_path, node.address, device, sensor, "--json")
    assert (status, err) == (0, "")
    return conforming("get", out)


async def test_hit_then_deleted_by_hand_then_hit_again(
    memcached: Server, open_cache: Open, tmp_path: Path
) -> None:
    cache = await open_cache([memcached])
    one = stored(cache)
    await ingest(cache, one)
    hit = await get_json(tmp_path, memcached)
    assert list(hit) == [
        "device", "sensor", "value", "unit", "ts", "source", "node", "ttl_s", "miss_reason", "latency_ms",
    ]  # fmt: skip
    assert (hit["device"], hit["sensor"], hit["value"], hit["unit"]) == ("dev-1", "temperature", 21.5, "°C")
    assert (hit["ts"], hit["source"], hit["node"]) == (
        utc_text(one.reading.ts_us),
        "cache",
        memcached.address,
    )
    assert hit["miss_reason"] is None
    assert 40 <= hit["ttl_s"] <= 66
    assert hit["latency_ms"] > 0
    talk(memcached, b"delete dev-1:temperature:latest")
    again = [await get_json(tmp_path, memcached) for _ in range(2)]
    assert [(read["source"], read["miss_reason"]) for read in again] == [
        ("store", "invalidated"),
        ("cache", None),
    ]
    memcached.kill()
    memcached.start()
    assert (await get_json(tmp_path, memcached))["miss_reason"] == "restarted"
    memcached.kill()
    down = await get_json(tmp_path, memcached)
    assert (down["source"], down["value"], down["miss_reason"], down["ttl_s"]) == (
        "store",
        21.5,
        "node_down",
        None,
    )


async def test_plain_text_is_aligned_and_harmless(
    memcached: Server, open_cache: Open, tmp_path: Path
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache, "\x1b[2Jpwned\n", device="d:\x1b]0;x\x07"))
    status, out, _ = await get(tmp_path, memcached.address, "d:\x1b]0;x\x07", "temperature")
    assert status == 0
    assert "\x1b" not in out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "device", "sensor", "value", "time", "source", "node", "ttl", "latency",
    ]  # fmt: skip
    assert lines[2] == r"value    \x1b[2Jpwned\x0a °C"
    assert {line[8] for line in lines} == {" "}


async def test_an_unknown_series_is_exit_3_and_one_sentence(
    memcached: Server, open_cache: Open, tmp_path: Path
) -> None:
    await open_cache([memcached])
    status, out, err = await get(tmp_path, memcached.address, "no\nsuch", "thing", "--json")
    assert (status, out) == (3, "")
    assert err == "nothing is known of sensor thing of device no\\x0asuch\n"


async def test_a_store_that_is_not_there_is_one_sentence(memcached: Server, tmp_path: Path) -> None:
    status, out, err = await get(tmp_path, memcached.address, "dev-1", "temperature")
    assert (status, out) == (1, "")
    assert "there is no store" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "readings.db").exists()


async def test_an_empty_name_is_a_usage_error(memcached: Server, tmp_path: Path) -> None:
    status, _, err = await get(tmp_path, memcached.address, "", "temperature")
    assert status == 2
    assert "empty" in err
