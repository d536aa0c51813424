"""Every case has its right outcome: in the decoder, and through a broker in SQLite and in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from iotcache.config.schema import IngestSettings, StoreSettings
from iotcache.decode.mapping.check import check_mapping
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.model import DeadLetter, Reading, Series
from iotcache.worker.reader import decoder_for, topics_of
from iotcache.worker.worker import Ingest
from tests.cases.case import Case
from tests.cases.json_and_senml import BERLIN, CASES, MAPPINGS
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.store.conftest import PASSWORD, Postgres

Make = Callable[..., Any]


def ingest_settings() -> IngestSettings:
    """Of all cases at once."""
    mappings = tuple(
        msgspec.convert({"name": name, **table}, IngestMapping) for name, table in MAPPINGS.items()
    )
    for mapping in mappings:
        check_mapping(mapping)
    return IngestSettings(topics=("iot/{site}/{device}/{sensor}", "tele/{device}/#"), mapping=mappings)


INGEST = ingest_settings()
DECODER = decoder_for(INGEST, topics_of(INGEST))


def brief(found: Sequence[Reading]) -> list[tuple[Any, ...]]:
    return sorted(((one.device, one.sensor, one.value, one.unit) for one in found), key=repr)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_decoder_gives_each_case_its_right_outcome(case: Case) -> None:
    found = DECODER.decode(case.topic, case.payload, int(time.time() * 1e6))
    if case.dead:
        assert isinstance(found, DeadLetter)
        assert case.dead in found.reason
        assert found.payload == case.payload
    elif case.name == "nothing in it":
        assert isinstance(found, NothingInIt)
    else:
        assert not isinstance(found, DeadLetter | NothingInIt | PartlyDecoded), found
        assert brief(found) == sorted(case.readings, key=repr)


def test_a_local_time_is_of_its_zone_in_summer_and_in_winter() -> None:
    case = next(case for case in CASES if case.topic == "tele/attic/SENSOR")
    for text, hour in ((b"2026-07-01T12:00:00", 10), (b"2026-01-15T12:00:00", 11)):
        found = DECODER.decode(case.topic, case.payload.replace(BERLIN.encode(), text), 1 << 51)
        assert isinstance(found, list)
        assert {one.ts_us // 3_600_000_000 % 24 for one in found} == {hour}


async def _all_cases(made: Ingest, sender: Any) -> None:
    """Publishes all cases, and compares what the store has of each."""
    for case in CASES:
        await sender.publish(case.topic, case.payload, timeout_s=20)
    counters, total = made.counters, sum(len(case.readings) for case in CASES)
    dead = [case for case in CASES if case.dead]
    await until(
        lambda: counters.received == len(CASES) and counters.stored >= total and made.link.unacked == 0
    )
    assert (counters.stored, counters.duplicates, counters.nothing_in_it) == (total, 0, 1)
    assert made.stats().last_nothing_in_it == "m/empty"
    assert counters.dead_letters == len(dead)
    assert made.cache is not None
    store = made.cache.store
    for series in {(device, sensor) for case in CASES for device, sensor, _, _ in case.readings}:
        wanted = [one for case in CASES for one in case.readings if one[:2] == series]
        assert brief(await store.history(Series(*series), 0, 1 << 62, 1_000)) == sorted(wanted, key=repr)
    kept = {one.topic: one.reason for one in await store.recent_dead_letters()}
    for case in dead:
        assert case.dead in kept[case.topic]


@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
async def test_through_a_broker_into_sqlite(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(replace(settings_for(mosquitto.port, [memcached]), ingest=INGEST))
    await _all_cases(made, await link(mosquitto.port, "sender"))


@pytest.mark.real("memcached")
@pytest.mark.real("mosquitto")
@pytest.mark.real("postgres")
async def test_through_a_broker_into_postgresql(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, postgres: Postgres
) -> None:
    store = StoreSettings(url=postgres.empty_database(), password=PASSWORD)
    settings = replace(settings_for(mosquitto.port, [memcached]), ingest=INGEST, store=store)
    await _all_cases(await worker(settings), await link(mosquitto.port, "sender"))
