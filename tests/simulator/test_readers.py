"""The read workload: who reads what, how often, and what the report says of it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from iotcache.cache import DeviceCache
from iotcache.config.schema import Settings
from iotcache.errors import UsageError
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.readers.popularity import popularity
from iotcache_simulator.readers.report import FIGURES, report_of
from iotcache_simulator.readers.workload import Readers, ReadSpec
from iotcache_simulator.wire.target import target_of
from tests.conforming import conforming


def test_zipf_reads_few_often_and_another_seed_reads_others() -> None:
    counts = Counter(map(popularity("zipf", 1_000, 1), range(20_000)))
    (most, first), (_, second), *_ = counts.most_common()
    assert first == pytest.approx(20_000 / 7.485, rel=0.1), "1/H(1000) of the reads"
    assert second == pytest.approx(first / 2, rel=0.15)
    assert Counter(map(popularity("zipf", 1_000, 2), range(2_000))).most_common(1)[0][0] != most
    steep = Counter(map(popularity("zipf:2", 1_000, 1), range(5_000)))
    assert steep.most_common(1)[0][1] > 2_800


def test_uniform_is_even_and_scan_takes_all_in_turn() -> None:
    counts = Counter(map(popularity("uniform", 50, 1), range(10_000)))
    assert set(counts) == set(range(50))
    assert max(counts.values()) < 2 * min(counts.values())
    assert list(map(popularity("scan", 3, 1), range(7))) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("text", ["zip", "zipf:x", "zipf:0", "scan:2", ""])
def test_an_unknown_popularity_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--popularity"):
        popularity(text, 10, 1)


@pytest.mark.real("mosquitto", "memcached")
async def test_readers_find_what_a_fleet_published_and_say_why_not(pipeline: Settings) -> None:
    outcome = await FleetRun(
        FleetSpec(devices=30, rate=400, duration_s=1.0), target_of(pipeline.broker)
    ).run()
    async with DeviceCache.from_settings(pipeline, read_only=True) as cache:
        async with asyncio.timeout(10):
            while (await cache.store.counts()).readings < outcome.report.published:
                await asyncio.sleep(0.02)
        series = [info.series for info in await cache.store.directory()]
        gone = [one for one in series if one.sensor == "temperature"]
        await cache.invalidate(gone)
        spec = ReadSpec(rate=1_000, batch=10, duration_s=1.2, popularity="scan")
        readers = Readers(cache, series, popularity("scan", len(series), 1), spec)
        await readers.run()
    report = report_of(readers, spec, len(series), started="", ended_by="duration")
    assert report.planned == report.reads == pytest.approx(1_200, abs=20)
    assert report.hits + report.fallbacks == report.reads
    assert report.fallbacks >= len(gone)
    assert sum(report.miss_reasons.values()) == report.fallbacks
    assert report.hit_ratio is not None
    assert report.hit_ratio > 0.8
    assert not any(report.promises().values())
    assert set(report.figures()) == set(FIGURES)
    assert 0 < report.service_ms.p50 <= report.latency_ms.max


@pytest.mark.real("mosquitto", "memcached")
async def test_the_command_reports_and_meets_conditions(pipeline: Settings, tmp_path: Path) -> None:
    await FleetRun(FleetSpec(devices=20, rate=200, duration_s=0.5), target_of(pipeline.broker)).run()
    async with DeviceCache.from_settings(pipeline, read_only=True) as cache:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not await cache.store.directory():
                    await asyncio.sleep(0.02)
    flags = [
        "--rate",
        "500",
        "--duration",
        "0.6",
        "--report",
        "-",
        "--require",
        "reads>200",
        "--require",
        "rate>9999",
    ]
    servers = [
        "--broker", pipeline.broker.url,
        "--nodes", ",".join(pipeline.cache.nodes),
        "--store", pipeline.store.url,
    ]  # fmt: skip
    command = [sys.executable, "-P", "-m", "iotcache_tui", "simulate", "readers", *servers, *flags]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30, cwd=tmp_path)
    report = conforming("simulate-readers", done.stdout)
    assert done.returncode == 1
    assert report["schema"] == "iotcache.readers/1"
    assert report["reads"] > 200
    assert report["failures"] == [f"rate>9999: it was {report['rate']['achieved']:.12g}/s"]
    assert msgspec.json.encode(report["failures"][0]).strip(b'"') in done.stderr
