"""Figures are taken each second, whatever a step does meanwhile; a run that cannot take them says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from iotcache.config.schema import Settings, StoreSettings
from iotcache.errors import StoreError
from iotcache.store import open_store
from iotcache_simulator.lab.application import ArmPolicy
from iotcache_simulator.lab.arm import PROBE, Arm
from iotcache_simulator.lab.definition.scenario import parse
from iotcache_simulator.lab.probe import Probe
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.readers.workload import ReadSpec
from tests.conftest import Server

POLICY = ArmPolicy(ttl_s=60, config_ttl_s=None, jitter=0.0, lease=True, failover=True, placement="ketama")
WAITING = """
title = "T"
level = "basic"
minutes = 1
summary = "S"
teaches = ["x"]
explanation = "E"
[[step]]
title = "one"
say = "s"
expect = ["hit_percent > 80"]
"""


@pytest.mark.real("memcached")
async def test_a_policy_changes_under_the_eyes_of_the_watch(memcached: Server, tmp_path: Path) -> None:
    async with open_store(StoreSettings(url=f"sqlite:///{tmp_path}/s.db")) as store:
        arm = Arm("", Settings(), store, prefix="t:", policy=POLICY, clients=4, seed=1)
        await arm.use_nodes((memcached.address,))
        probe = Probe(store, [arm])
        await probe.write(20, behind=False)
        await arm.read([PROBE], ReadSpec(rate=200, batch=1), "uniform")
        over = asyncio.Event()
        measurements = 0

        async def watch() -> None:
            nonlocal measurements
            while not over.is_set():
                figures = await probe.figures() | arm.figures()
                assert (figures["probe_stale_s"], figures["nodes_up"]) == (0, 1)
                assert figures["misses.node_down"] == 0  # nothing happened, which is a figure as well
                measurements += 1
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        try:
            for number in range(10):
                await arm.set_policy(structs.replace(POLICY, placement=("modulo", "ketama")[number % 2]))
            over.set()
            await watching
        finally:
            watching.cancel()
            await arm.close()
        assert measurements > 10


@pytest.mark.real("memcached")
async def test_a_policy_holds_for_every_client_and_outlives_a_new_list_of_nodes(
    memcached: Server, tmp_path: Path
) -> None:
    async with open_store(StoreSettings(url=f"sqlite:///{tmp_path}/s.db")) as store:
        arm = Arm("", Settings(), store, prefix="t:", policy=POLICY, clients=2, seed=1)
        try:
            await arm.use_nodes((memcached.address,))
            before = [application.cluster for application in arm.applications]
            await arm.set_policy(
                structs.replace(POLICY, ttl_s=5, config_ttl_s=9, jitter=0.2, lease=False, failover=False)
            )
            assert [application.cluster for application in arm.applications] == before, (
                "no need of other connections"
            )
            for _ in range(2):
                for application in arm.applications:
                    ttl, cache = application.cache.ttl, application.cache
                    assert (ttl.volatile_min_s, ttl.volatile_max_s, ttl.config_s, ttl.jitter) == (
                        5,
                        5,
                        9,
                        0.2,
                    )
                    assert (cache.stampede_lease, application.cluster.failover) == (False, False)
                await arm.use_nodes((memcached.address,))
        finally:
            await arm.close()


@pytest.mark.parametrize("auto", [True, False])
async def test_a_run_that_cannot_measure_fails_and_does_not_wait_for_ever(
    auto: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ScenarioRun(parse(WAITING, "x.toml"), auto=auto)

    async def broken() -> dict[str, float | None]:
        raise StoreError("the store is gone")

    monkeypatch.setattr(made.stack, "measure", broken)
    async with asyncio.timeout(10):
        state = await made.play()
    assert (state.status, made.describe_failures()) == ("failed", ["the store is gone"])
    assert not state.passed
