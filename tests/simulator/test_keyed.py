"""A published workload over keys of its own, at a real node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache_simulator.readers.keyed import KeyedReads
from iotcache_simulator.readers.popularity import popularity
from iotcache_simulator.readers.shapes import SHAPES, Workload
from iotcache_simulator.readers.workload import Readers, ReadSpec
from iotcache_tui.cli.main import main
from tests.conftest import Server

KEYS = 500


@pytest.mark.real("memcached")
async def test_it_gets_fills_and_writes_as_its_shape_says(memcached: Server) -> None:
    shape = SHAPES["twitter-29"]
    workload = Workload(shape, KEYS, 3)
    law = popularity(f"zipf:{shape.exponent}", KEYS, 3)
    async with Cluster([parse_node(memcached.address)]) as cluster:
        reads = KeyedReads(cluster, workload, law, 3)
        spec = ReadSpec(rate=2_000, batch=50, duration_s=1.0, popularity="zipf", seed=3)
        readers = Readers(reads, KeyedReads.series(KEYS), law, spec)
        await readers.run()
        most = max(range(KEYS), key=[law(n) for n in range(5_000)].count)
        (held,) = await cluster.get_many([workload.key(most)])
    totals = readers.totals
    assert totals.reads == totals.hits + totals.fallbacks == totals.planned
    assert reads.written / totals.reads == pytest.approx(shape.writes / (1 - shape.writes), rel=0.3)
    assert totals.fallbacks <= KEYS, "what was missed was put back"
    assert len(held.value) == workload.value_bytes[most]
    assert workload.ttls_s[most] - 30 < held.ttl_s <= workload.ttls_s[most]


@pytest.mark.real("memcached")
def test_the_command_plays_it_and_refuses_keys_without_a_workload(
    memcached: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    flags = ["--nodes", memcached.address, "--keys", "300", "--rate", "2000", "--duration", "0.4"]
    assert main(["simulate", "readers", "--workload", "cold-room", *flags, "--report", str(report)]) == 0
    told = json.loads(report.read_text())
    assert told["series"] == 300
    assert told["hit_ratio"] > 0.5
    assert main(["simulate", "readers", *flags]) == 2
    assert "--keys goes with --workload" in capsys.readouterr().err
