"""PostgreSQL at size: a partition a day, made ahead and dropped whole; the one table of before taken over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from iotcache.clock import ManualClock
from iotcache.config.schema import StoreSettings
from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store import open_store, retention
from iotcache.store.postgres import schema as postgres_schema
from iotcache.store.postgres.identity import widen_identity
from iotcache.store.postgres.partitions import (
    DAY_US,
    FIRST,
    OTHER,
    Partition,
    Partitions,
    cut_after,
    parse_bound,
    step_statements,
)
from iotcache.store.postgres.store import PostgresStore
from iotcache.store.retention import prune_old
from iotcache.store.rows import INT64_MIN
from tests.store.conftest import PASSWORD, Postgres

NOON_US = 1_795_348_800_000_000
"""2026-11-22 12:00 UTC."""
TODAY = NOON_US // DAY_US
DEV = Series("dev-1", "t")
real = pytest.mark.real("postgres")


def stored(ts_us: int, seq: int | None = None, device: str = "dev-1", **more: Any) -> StoredReading:
    return StoredReading(
        Reading(device, "t", float(seq or 0), ts_us, seq=seq, boot="b" if seq else "", **more)
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_US / 1e6)


@pytest.fixture
async def store(postgres: Postgres, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(
        postgres.empty_database(),
        password=PASSWORD,
        retention_days=30,
        clock=clock,
        lock_timeout_s=0.03,
        duplicates_expected_at_start=0,
        duplicates_expected_after=2,
    ) as opened:
        yield opened


def rows(store: PostgresStore, postgres: Postgres, statement: str) -> list[tuple[object, ...]]:
    with postgres.connect(store.url.rpartition("/")[2]) as connection:
        return connection.execute(statement.encode()).fetchall()


def layout(store: PostgresStore, postgres: Postgres) -> dict[str, int]:
    """Readings by partition, empty ones included."""
    names = rows(store, postgres, "SELECT inhrelid::regclass::text FROM pg_inherits "
                                  "WHERE inhparent = 'iotcache.reading'::regclass ORDER BY 1")  # fmt: skip
    return {
        str(name).removeprefix("iotcache."): int(
            str(rows(store, postgres, f"SELECT count(*) FROM {name}")[0][0])
        )
        for (name,) in names
    }


@real
async def test_days_are_made_ahead_and_for_late_readings_and_odd_times_have_a_place(
    store: PostgresStore, postgres: Postgres
) -> None:
    odd = (0, -(2**62), 2**62, NOON_US - 40 * DAY_US, NOON_US + 5 * DAY_US)
    done = await store.commit(
        [stored(NOON_US, 1), stored(NOON_US - 2 * DAY_US, 2), *(stored(ts_us) for ts_us in odd)]
    )
    assert done.stored == 7
    assert layout(store, postgres) == {
        "reading_20261120": 1, "reading_20261122": 1, "reading_20261123": 0, "reading_20261124": 0,
        "reading_20261125": 0, OTHER: 5,
    }  # fmt: skip
    assert (await store.counts()).readings == 7
    assert len(await store.history(DEV, -(2**63), 2**63 - 1)) == 7


@real
async def test_a_new_day_is_made_before_it_comes(
    store: PostgresStore, postgres: Postgres, clock: ManualClock
) -> None:
    await store.commit([stored(NOON_US, 1)])
    clock.advance(2 * 86_400)
    await store.commit([stored(NOON_US + 2 * DAY_US, 2)])
    found = layout(store, postgres)
    assert set(found) == {OTHER, *(f"reading_202611{day}" for day in range(22, 28))}
    assert found[OTHER] == 0


@real
async def test_retention_drops_whole_days_and_the_newest_stay_known(
    store: PostgresStore, postgres: Postgres, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_PAUSE_S", 0)
    await store.commit([stored(NOON_US - n * DAY_US, n + 1) for n in range(30)] + [stored(5)])
    clock.advance(10 * 86_400)
    assert await prune_old(store, 20, clock) == 19 + 1
    found = layout(store, postgres)
    assert "reading_20261111" not in found
    assert found["reading_20261112"] == 1, "half of it is not old yet"
    assert found[OTHER] == 0
    assert (await store.counts()).readings == 11
    assert len(await store.history(DEV, -(2**63), 2**63 - 1)) == 11
    assert await prune_old(store, 20, clock) == 0
    clock.advance(365 * 86_400)
    await prune_old(store, 20, clock)
    assert (await store.counts()).readings == 0
    assert (await store.latest_many([DEV]))[DEV].reading.ts_us == NOON_US


@real
async def test_a_cut_within_a_day_goes_row_by_row(store: PostgresStore, postgres: Postgres) -> None:
    await store.commit([stored(NOON_US + n, n + 1) for n in range(10)])
    assert await store.prune(NOON_US + 4, limit=3) == 3
    assert await store.prune(NOON_US + 4, limit=3) == 1
    assert await store.prune(NOON_US + 4, limit=3) == 0
    assert (await store.counts()).readings == 6


@real
async def test_a_message_stamped_at_each_receipt_is_one_reading_over_midnight(store: PostgresStore) -> None:
    midnight_us = TODAY * DAY_US
    first = stored(midnight_us - 5, 7, received_us=midnight_us - 5)
    again = stored(midnight_us + 5, 7, received_us=midnight_us + 5)
    assert (await store.commit([first])).stored == 1
    done = await store.commit([again, stored(midnight_us + 6, 8, received_us=midnight_us + 6)])
    assert (done.stored, done.duplicates) == (1, 1)
    assert [one.value for one in await store.history(DEV, 0, 2**62)] == [7.0, 8.0]
    assert (await store.commit([again])).duplicates == 1, "and a batch of nothing else"
    long_after = stored(midnight_us + DAY_US + 5, 7, received_us=midnight_us + DAY_US + 5)
    assert (await store.commit([long_after])).stored == 0


@real
async def test_indexes_of_before_that_knew_no_time_of_a_number_are_replaced(
    store: PostgresStore, postgres: Postgres
) -> None:
    await store.commit([stored(NOON_US, 7, received_us=1)])
    with postgres.connect(store.url.rpartition("/")[2]) as connection:
        wide = connection.execute(
            "SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_index "
            "WHERE pg_get_indexdef(indexrelid) LIKE '%(series_id, boot, seq, ts_us) WHERE%'"
        ).fetchall()
        assert wide
        for index, part in wide:
            connection.execute(f"DROP INDEX {index}".encode())
            narrow = "(series_id, boot, seq) WHERE seq > -9223372036854775808"
            connection.execute(f"CREATE UNIQUE INDEX ON {part} {narrow}".encode())
        connection.execute("DROP TABLE iotcache.stale")  # a later step makes it
        before = postgres_schema.STEPS.index(widen_identity)
        connection.execute("UPDATE iotcache.format SET version = %s", (before,))
    rejoined = stored(NOON_US + 1, 7, received_us=1)
    assert (await store.commit([rejoined])).stored == 0, "as it was"
    url = f"{postgres.url.rpartition('/')[0]}/{store.url.rpartition('/')[2]}"
    async with PostgresStore(url, password=PASSWORD) as mended:
        assert (await mended.commit([rejoined])).stored == 1
        assert (await mended.commit([rejoined])).duplicates == 1


@real
async def test_after_a_duplicate_the_next_commits_expect_more_of_them(
    store: PostgresStore, postgres: Postgres
) -> None:
    batch = [stored(NOON_US + n, n + 1) for n in range(20)]
    assert (await store.commit(batch[:10])).stored == 10
    mixed = await store.commit([batch[12], *batch[5:15], stored(NOON_US + 3)])
    assert (mixed.stored, mixed.duplicates) == (6, 6)
    assert mixed.newest == (batch[14],)
    assert store.duplicates_expected == 2
    again = await store.commit(batch[:15])
    assert (again.stored, again.newest) == (0, (batch[14],))
    for n in range(15, 18):
        assert (await store.commit([batch[n]])).stored == 1
    assert store.duplicates_expected == 0
    assert (await store.commit([stored(NOON_US + 3, received_us=1), batch[18]])).stored == 1
    assert (await store.counts()).readings == 20
    assert sum(layout(store, postgres).values()) == 20


@real
async def test_a_day_that_could_not_be_made_takes_its_readings_back_from_the_odd_ones(
    store: PostgresStore, postgres: Postgres, clock: ManualClock
) -> None:
    await store.commit([stored(NOON_US, 1)])
    with postgres.connect(store.url.rpartition("/")[2]) as other, other.transaction():
        other.execute(f"SELECT * FROM iotcache.{OTHER}".encode())  # holds a lock until its end
        late = [stored(NOON_US - DAY_US + n, n + 2) for n in range(3)]
        assert (await store.commit(late)).stored == 3
        assert layout(store, postgres)[OTHER] == 3
    clock.advance(61)
    assert (await store.commit([stored(NOON_US - DAY_US + 9, 9)])).stored == 1
    found = layout(store, postgres)
    assert (found["reading_20261121"], found[OTHER]) == (4, 0)
    assert (await store.counts()).readings == 5
    assert (await store.commit(late)).duplicates == 3


@real
async def test_a_day_in_use_is_dropped_the_next_time(
    store: PostgresStore, postgres: Postgres, clock: ManualClock
) -> None:
    await store.commit([stored(NOON_US, 1)])
    with postgres.connect(store.url.rpartition("/")[2]) as other, other.transaction():
        other.execute(b"SELECT * FROM iotcache.reading_20261122")
        assert await store.prune(NOON_US + 2 * DAY_US) == 0
    assert await store.prune(NOON_US + 2 * DAY_US) == 1


@real
async def test_a_day_removed_by_hand_is_made_again(store: PostgresStore, postgres: Postgres) -> None:
    await store.commit([stored(NOON_US, 1)])
    with postgres.connect(store.url.rpartition("/")[2]) as other:
        other.execute(b"DROP TABLE iotcache.reading_20261122")
    with pytest.raises(StoreError, match="removed by hand") as caught:
        await store.commit([stored(NOON_US, 2)])
    assert caught.value.retryable
    assert (await store.commit([stored(NOON_US, 2)])).stored == 1
    assert layout(store, postgres)["reading_20261122"] == 1


@real
async def test_two_workers_make_and_drop_days_at_once(postgres: Postgres, clock: ManualClock) -> None:
    url = postgres.empty_database()
    every = [
        stored(NOON_US - (n % 12) * DAY_US + n, n + 1, device=f"d{n % 7}") for n in range(600)
    ]  # fmt: skip
    async with (
        PostgresStore(url, password=PASSWORD, clock=clock) as a,
        PostgresStore(url, password=PASSWORD, clock=clock) as b,
    ):
        batches = [every[first : first + 60] for first in range(0, 600, 50)]
        done = await asyncio.gather(*((a, b)[n % 2].commit(batch) for n, batch in enumerate(batches)))
        assert sum(one.stored for one in done) == 600
        assert layout(a, postgres)[OTHER] == 0
        cut_us = (TODAY - 5) * DAY_US
        gone = 0
        while step := sum(await asyncio.gather(a.prune(cut_us), b.prune(cut_us))):
            gone += step
        assert gone == sum(one.reading.ts_us < cut_us for one in every)
        assert (await b.counts()).readings == 600 - gone


def fill_first_format(postgres: Postgres, url: str, readings: list[tuple[int, int]]) -> None:
    """Series 1 with readings ``(ts_us, seq)``, as the first program stored them."""
    with postgres.connect(url.rpartition("/")[2]) as db:
        db.execute(b"CREATE SCHEMA iotcache")
        db.execute(b"SET search_path TO iotcache")
        db.execute(b"CREATE TABLE format (version integer NOT NULL)")
        db.execute(b"INSERT INTO format VALUES (1)")
        step = postgres_schema.STEPS[0]
        assert isinstance(step, str)
        db.execute(step.encode())
        db.execute(b"INSERT INTO series (device, sensor, site, unit) VALUES ('dev-1', 't', '', '')")
        with db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO reading VALUES (1, %s, %s, 'b', %s, NULL, 0, NULL)",
                [(ts_us, seq, float(seq)) for ts_us, seq in readings],
            )
        if readings:
            newest = max(readings)
            db.execute(
                "INSERT INTO latest VALUES (1, %s, %s, 'b', 1, NULL, 0, '', '', 0, 0)", (newest[0], newest[1])
            )
        db.execute("INSERT INTO total VALUES (1, %s)", (len(readings),))


@real
async def test_the_one_table_of_before_becomes_the_oldest_partition(postgres: Postgres) -> None:
    import time

    now_us = int(time.time()) * 1_000_000
    clock = ManualClock(now_us / 1e6)
    url = postgres.empty_database()
    old = [(now_us - n * 1_000_000, 1_000 - n) for n in range(500)]
    fill_first_format(postgres, url, [*old, (2**61, 2_000)])  # and one of a clock gone mad
    async with PostgresStore(url, password=PASSWORD, clock=clock) as store:
        assert (await store.counts()).readings == 501
        assert len(await store.history(DEV, 0, 2**62)) == 501
        assert layout(store, postgres)[FIRST] == 500
        assert layout(store, postgres)[OTHER] == 1
        again = await store.commit([stored(ts_us, seq) for ts_us, seq in old[:50]])
        assert (again.stored, again.duplicates) == (0, 50)
        # Today's still go there, so that a message that comes again around the change is known again.
        assert (await store.commit([stored(now_us + 1, 5_000)])).stored == 1
        assert layout(store, postgres)[FIRST] == 501
        later_us = now_us + 3 * DAY_US
        clock.advance(3 * 86_400)
        assert (await store.commit([stored(later_us, 5_001)])).stored == 1
        assert layout(store, postgres)[FIRST] == 501
        assert await store.prune(now_us - 400 * 1_000_000, limit=50) == 50, "row by row while it is in use"
        assert (await store.counts()).readings == 453
        gone = await store.prune(later_us + 5 * DAY_US)
        assert gone == 451, "then all at once"
        assert (await store.counts()).readings == 2


@real
async def test_an_empty_table_of_before_is_replaced(postgres: Postgres) -> None:
    url = postgres.empty_database()
    fill_first_format(postgres, url, [])
    async with open_store(StoreSettings(url=url, password=PASSWORD)) as store:
        assert isinstance(store, PostgresStore)
        assert FIRST not in layout(store, postgres)
        assert (await store.commit([stored(NOON_US, 1)])).stored == 1


@real
async def test_two_workers_of_the_new_format_migrate_once(postgres: Postgres) -> None:
    url = postgres.empty_database()
    fill_first_format(postgres, url, [(NOON_US + n, n) for n in range(100)])
    with postgres.connect(url.rpartition("/")[2]) as db:
        for number, reason in enumerate(("no JSON", "the broker sent a PUBLISH that has QoS 3")):
            db.execute(
                "INSERT INTO iotcache.dead_letter (received_us, topic, payload, reason, digest) "
                "VALUES (%s, 't', '', %s, %s)",
                (number, reason, bytes([number])),
            )
    settings = StoreSettings(url=url, password=PASSWORD)
    async with open_store(settings) as a, open_store(settings) as b:
        done = await asyncio.gather(a.commit([stored(NOON_US + 1, 1)]), b.commit([stored(NOON_US + 2, 2)]))
        assert [one.stored for one in done] == [0, 0]
        assert (await a.counts()).readings == 100
        assert [letter.truncated for letter in await a.recent_dead_letters()] == [True, False]


@real
async def test_many_workers_at_once_make_the_tables_of_an_empty_database_once(postgres: Postgres) -> None:
    settings = StoreSettings(url=postgres.empty_database(), password=PASSWORD)
    async with AsyncExitStack() as opened:
        stores = await asyncio.gather(
            *(opened.enter_async_context(open_store(settings)) for _ in range(6))
        )  # fmt: skip
        done = await asyncio.gather(*(one.commit([stored(NOON_US, 1)]) for one in stores))
        assert sum(one.stored for one in done) == 1


@real
async def test_a_history_read_looks_into_the_days_it_asks_for(
    store: PostgresStore, postgres: Postgres
) -> None:
    await store.commit([stored(NOON_US - n * DAY_US, n + 1) for n in range(10)])
    plan = rows(
        store, postgres,
        f"EXPLAIN SELECT * FROM iotcache.reading WHERE series_id = 1 AND ts_us >= {NOON_US} "
        f"AND ts_us < {NOON_US + 5}",
    )  # fmt: skip
    assert sum("reading_2026" in str(line) for (line,) in plan) <= 2


def test_bounds_of_the_catalogue() -> None:
    assert parse_bound("a", "FOR VALUES FROM ('-5') TO ('10')") == Partition("a", -5, 10)
    assert parse_bound("a", "FOR VALUES FROM (MINVALUE) TO ('10')") == Partition("a", INT64_MIN, 10)
    assert parse_bound("a", "DEFAULT") is None


def test_the_cut_is_the_end_of_the_newest_day_but_of_tomorrow_at_the_latest() -> None:
    now_s = NOON_US / 1e6
    assert cut_after(NOON_US, now_s) == (TODAY + 1) * DAY_US
    assert cut_after(NOON_US - 3 * DAY_US, now_s) == (TODAY - 2) * DAY_US
    assert cut_after(2**62, now_s) == cut_after(None, now_s) == (TODAY + 2) * DAY_US


def test_with_timescaledb_the_table_becomes_a_hypertable_and_stays_where_it_is() -> None:
    statements = step_statements(timescale=True, cut_us=NOON_US)
    assert any("create_hypertable('iotcache.reading', 'ts_us'" in one for one in statements)
    assert not any("PARTITION BY" in one or "RENAME" in one for one in statements)
    index = next(one for one in statements if one.startswith("CREATE INDEX"))
    assert "UNIQUE" not in index, "a unique index of a hypertable must hold the time"
    assert not any("hypertable" in one for one in step_statements(timescale=False, cut_us=None))


async def test_a_hypertable_gets_no_partitions_of_ours() -> None:
    made = Partitions(30)
    made.hypertable = True

    def begin() -> Any:
        raise AssertionError("nothing is to be made")

    await made.make_room([0, NOON_US], begin)
