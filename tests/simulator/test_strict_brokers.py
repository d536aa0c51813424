"""Brokers that allow little: the fleet keeps to it, and its own counters do not stand in its way."""

from __future__ import annotations

import pytest

from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.uplink import Uplink
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.simulator.conftest import Strict
from tests.simulator.test_publishing import verdict

pytestmark = pytest.mark.real("mosquitto")


async def run(broker: Server, version: int, **fields: object) -> Report:
    target = BrokerTarget("127.0.0.1", broker.port, version=version)  # type: ignore[arg-type]
    return verdict(await FleetRun(FleetSpec(**fields), target).run())  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(("limits", "qos"), [("retain_available false", 1), ("max_qos 0", 0)])
async def test_counters_that_the_broker_does_not_take_do_not_stop_a_run(
    strict: Strict, version: int, limits: str, qos: int
) -> None:
    report = await run(strict(limits), version, devices=20, rate=200, duration_s=0.5, qos=qos)
    assert report.ok, report.failures
    assert report.confirmed == report.planned > 50


@pytest.mark.parametrize(
    "fields", [{"payload": Format("sparkplug")}, {"lifecycle": True, "own_connections": True}]
)
async def test_last_wills_are_of_the_quality_that_the_broker_takes(
    strict: Strict, fields: dict[str, object]
) -> None:
    report = await run(strict("max_qos 0"), 5, devices=20, rate=200, duration_s=0.5, qos=0, **fields)
    assert report.ok, report.failures
    assert report.confirmed == report.planned > 50


@pytest.mark.parametrize(
    ("limits", "fields", "cure"),
    [
        ("max_qos 0", {"qos": 1}, "--qos 0"),
        ("retain_available false", {"retain": True}, "leave out --retain"),
    ],
)
async def test_what_a_broker_does_not_take_is_refused_at_the_start_with_the_cure(
    strict: Strict, limits: str, fields: dict[str, object], cure: str
) -> None:
    target = BrokerTarget("127.0.0.1", strict(limits).port, version=5)
    async with Uplink(target, "u", **fields) as uplink:  # type: ignore[arg-type]
        await until(lambda: cure in uplink.reason)


async def test_a_broker_that_takes_one_message_at_a_time_is_kept_busy(strict: Strict) -> None:
    broker = strict("max_inflight_messages 1")
    report = await run(broker, 5, devices=20, rate=1_000, duration_s=0.5, patience_s=5.0)
    assert report.unsent == 0, "it waited for a timer instead of the acknowledgement"
    assert report.confirmed == report.planned > 300
