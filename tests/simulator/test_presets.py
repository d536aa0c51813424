"""Fleets of others: what a preset publishes is what the preset of the same name reads."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from iotcache.config.presets import preset_names
from iotcache.config.schema import BrokerSettings, CacheSettings, IngestSettings, Settings, StoreSettings
from iotcache.ttl import TtlPolicy
from iotcache.worker.main import run_ingest
from iotcache_simulator.fleet.classes import PRESETS, preset_classes
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases, judged
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server

pytestmark = pytest.mark.real("mosquitto", "memcached")


def test_there_is_a_fleet_for_every_preset_of_the_decoder() -> None:
    assert preset_names() == PRESETS


async def verified(name: str, settings: Settings, *, aliases: bool = False) -> Report:
    sparkplug = name == "sparkplug"
    rate = 2 if name == "aws-shadow" else 20  # shadows tell whole seconds
    payload = Format("sparkplug", aliases=aliases) if sparkplug else Format()
    spec = FleetSpec(
        devices=3, rate=rate, duration_s=3.0, seed=4, classes=preset_classes(name), payload=payload,
        qos=0 if sparkplug else 1, stats=False,
    )  # fmt: skip
    timed = name in ("aws-shadow", "chirpstack", "shelly-gen2", "sparkplug", "ttn", "zigbee2mqtt")
    places = VerifyTargets(not sparkplug, settings.store, settings.cache if timed else None)
    async with Verification(places, spec, settings.broker, settle_s=1.5) as verification:
        outcome = await FleetRun(spec, target_of(settings.broker)).run(verification.begin)
        report = await verification.judged(outcome.report, outcome.horizons)
    # Ten fleets and their verdicts share a loop: how fast each is, is another test's.
    return judged(report, [case for case in cases(report) if case.name != "the rate was kept"])


async def test_a_worker_with_a_preset_reads_all_that_its_fleet_publishes(
    mosquitto: Server, memcached: Server, tmp_path: Path
) -> None:
    settings = Settings(
        broker=BrokerSettings(url=f"mqtt://{mosquitto.address}"),
        # Entries outlive a busy machine's pauses: how long they live is another test's.
        cache=CacheSettings(nodes=(memcached.address,), ttl=TtlPolicy(volatile_min_s=60.0)),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db"),
        ingest=IngestSettings(preset=PRESETS),
    )
    ready = asyncio.Event()
    async with AsyncExitStack() as stack:
        worker = asyncio.create_task(run_ingest(settings, ready=lambda http=None: ready.set()))
        stack.callback(worker.cancel)
        async with asyncio.timeout(20):
            await ready.wait()
        reports = await asyncio.gather(*(verified(name, settings, aliases=True) for name in PRESETS))
    failures = {name: report.failures for name, report in zip(PRESETS, reports, strict=True) if not report.ok}
    assert failures == {}
    for name, report in zip(PRESETS, reports, strict=True):
        assert report.ledger is not None
        assert report.ledger.store is not None
        assert report.ledger.expected == report.ledger.store.stored > 0, name
