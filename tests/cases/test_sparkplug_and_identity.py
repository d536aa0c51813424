"""Sparkplug and counters: every case has its right outcome through a broker, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.config.schema import IngestSettings, StoreSettings
from iotcache.decode.mapping.settings import FieldPaths
from iotcache.model import Reading, Series
from iotcache.worker.worker import Ingest
from tests.cases.sparkplug_and_identity import CASES
from tests.cases.sparkplug_specification import PI, PIBRELLA
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.store.conftest import PASSWORD, Postgres

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto")]
Make = Callable[..., Any]
INGEST = IngestSettings(
    topics=("spBv1.0/#", "v3/{site}/devices/{device}/up"),
    fields=FieldPaths(
        device="end_device_ids.device_id",
        ts="received_at",
        seq="uplink_message.f_cnt",
        value="uplink_message.decoded_payload.*",
    ),
)
"""With the LoRaWAN example of docs/payloads.md."""


def brief(found: Sequence[Reading]) -> list[tuple[Any, ...]]:
    return sorted(((one.device, one.sensor, one.value, one.unit) for one in found), key=repr)


async def _all_cases(made: Ingest, sender: Any) -> None:
    for case in CASES:
        await sender.publish(case.topic, case.payload, timeout_s=20)
    counters, total = made.counters, sum(len(case.readings) for case in CASES)
    dead = [case for case in CASES if case.dead]
    await until(lambda: counters.received >= len(CASES) and made.link.unacked == 0)
    assert (counters.stored, counters.duplicates, counters.conflicts) == (total, 1, 1)
    assert counters.dead_letters == len(dead)
    assert made.cache is not None
    store = made.cache.store
    for series in {(device, sensor) for case in CASES for device, sensor, _, _ in case.readings}:
        wanted = [one for case in CASES for one in case.readings if one[:2] == series]
        assert brief(await store.history(Series(*series), 0, 1 << 62)) == sorted(wanted, key=repr)
    reasons = [one.reason for one in await store.recent_dead_letters()]
    assert all(any(case.dead in reason for reason in reasons) for case in dead), reasons
    ended = [
        Series(PI, "Supply Voltage"),
        Series(f"{PI}/arrays", "Int8Array/0"),
        Series(PIBRELLA, "Inputs/A"),
    ]
    known = await store.latest_many([*ended, Series("G/E/dev1", "temp")])
    assert {series for series, one in known.items() if one.reading.stale} == set(ended)
    (read,) = await made.cache.read_many([Series("eui-1", "temperature")])
    assert read.value == 31.0
    assert made.stats().metrics_passed_over == {"DataSet": 1}
    assert made.stats().rebirths_asked == 0


async def test_through_a_broker_into_sqlite(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(replace(settings_for(mosquitto.port, [memcached]), ingest=INGEST))
    await _all_cases(made, await link(mosquitto.port, "sender"))


@pytest.mark.real("postgres")
async def test_through_a_broker_into_postgresql(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, postgres: Postgres
) -> None:
    store = StoreSettings(url=postgres.empty_database(), password=PASSWORD)
    settings = replace(settings_for(mosquitto.port, [memcached]), ingest=INGEST, store=store)
    await _all_cases(await worker(settings), await link(mosquitto.port, "sender"))
