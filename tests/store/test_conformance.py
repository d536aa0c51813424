"""What every store does, whichever it is."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotcache.config.schema import StoreSettings
from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store import open_store
from iotcache.store.base import Store

_seqs = itertools.count()
T0 = 1_780_000_000_000_000
DEV = Series("dev-1", "temperature")


def reading(value: object = 1.0, ts_us: int = T0, **more: object) -> StoredReading:
    fields = {"device": "dev-1", "sensor": "temperature", "value": value, "ts_us": ts_us, **more}
    until_us = fields.pop("cached_until_us", 0)
    return StoredReading(Reading(**fields), until_us)  # type: ignore[arg-type]


async def test_a_committed_reading_is_the_latest_and_in_history(store: Store) -> None:
    one = reading(
        21.5, unit="°C", site="plant-north", seq=7, boot="b1", received_us=T0 + 5, interval_s=2.5,
        cached_until_us=T0 + 9,
    )  # fmt: skip
    done = await store.commit([one])
    assert (done.stored, done.duplicates, done.newest) == (1, 0, (one,))
    assert await store.latest_many([DEV]) == {DEV: one}
    (kept,) = await store.history(DEV, T0, T0 + 1)
    assert (kept.value, kept.unit, kept.site, kept.seq, kept.boot, kept.received_us) == (
        21.5, "°C", "plant-north", 7, "b1", T0 + 5,
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [1, 1.0, 0, -0.0, True, False, "open", "", "true", "1", 2**63 - 1, -(2**63), 2**70, 10**400, 5e-324,
     1.7e308, math.inf, "\x00\x1b[31m\n\\0\ud800é", "x" * 100_000],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
async def test_a_value_comes_back_with_its_type(store: Store, value: object) -> None:
    await store.commit([reading(value)])
    got = (await store.latest_many([DEV]))[DEV].reading.value
    (old,) = await store.history(DEV, 0, 2**62)
    for kept in (got, old.value):
        assert type(kept) is type(value)
        assert kept == value
        assert repr(kept) == repr(value)  # tells -0.0 from 0.0


HOSTILE = st.text(st.characters(exclude_categories=()), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=4))
def test_hostile_names_come_back_as_they_were(
    store_settings: StoreSettings, names: list[tuple[str, str, str, str]]
) -> None:
    async def check() -> None:
        async with open_store(store_settings) as store:
            batch = [
                StoredReading(Reading(device, sensor, 1.0, T0 + n, unit=unit, boot=boot, seq=next(_seqs)))
                for n, (device, sensor, unit, boot) in enumerate(names)
            ]
            letter = DeadLetter(names[0][0], b"\x00\xff", names[0][1], T0 + next(_seqs))
            done = await store.commit(batch, [letter])
            assert done.stored == len(batch)
            latest = await store.latest_many([one.reading.series for one in batch])
            for one in batch:
                old = await store.history(one.reading.series, T0, T0 + 100)
                assert one.reading in old
                assert one.reading.series in latest
            listed = {info.series for info in await store.directory(limit=100_000)}
            assert {one.reading.series for one in batch} <= listed
            assert list(await store.recent_dead_letters(1)) == [letter]

    asyncio.run(check())


async def test_a_redelivered_reading_is_counted_once_by_boot_and_seq(store: Store) -> None:
    first = reading(1.0, T0, seq=1, boot="a")
    await store.commit([first])
    again = await store.commit(
        [first, reading(2.0, T0 + 1, seq=2, boot="a"), reading(1.0, T0, seq=1, boot="b")]
    )
    assert (again.stored, again.duplicates) == (2, 1)
    assert [one.value for one in await store.history(DEV, T0, T0 + 10)] == [1.0, 1.0, 2.0]
    assert (await store.counts()).readings == 3


async def test_the_newest_reading_redelivered_is_told_to_the_cache_again(store: Store) -> None:
    # The worker that committed it may have died before its write-through: the broker then sends it again.
    old, new = reading(1.0, T0, seq=1, boot="a"), reading(2.0, T0 + 1, seq=2, boot="a")
    await store.commit([old, new])
    assert (await store.commit([old])).newest == ()
    again = await store.commit([new, old])
    assert (again.stored, again.newest) == (0, (new,))


async def test_another_value_under_a_known_identity_becomes_a_dead_letter(
    store: Store,
) -> None:
    first = reading(1.0, T0)
    await store.commit([first])
    for _ in range(2):  # delivered again it is the same dead letter
        other = await store.commit([reading(9.0, T0, boot="other"), reading(1, T0), reading(True, T0)])
        assert (other.stored, other.duplicates, other.conflicts) == (0, 1, 2)
    dead = await store.recent_dead_letters()
    assert sorted(letter.reason.rpartition(": ")[2] for letter in dead) == [
        "stored is 1.0, this one says 9.0", "stored is 1.0, this one says True",
    ]  # fmt: skip
    assert (await store.latest_many([DEV]))[DEV].reading.value == 1.0
    assert [one.value for one in await store.history(DEV, T0, T0 + 1)] == [1.0]


async def test_a_redelivery_stamped_anew_does_not_become_the_latest(store: Store) -> None:
    # A payload without a time is given that of its receipt, which differs when the broker sends it again.
    await store.commit([reading(1.0, T0, seq=1, boot="a", received_us=T0)])
    again = await store.commit([reading(1.0, T0 + 500, seq=1, boot="a", received_us=T0 + 500)])
    assert (again.stored, again.duplicates, again.newest) == (0, 1, ())
    assert (await store.latest_many([DEV]))[DEV].reading.ts_us == T0
    assert len(await store.history(DEV, T0, T0 + 1000)) == 1


async def test_a_reading_without_seq_is_known_by_its_time(store: Store) -> None:
    done = await store.commit([reading(1.0, T0), reading(1.0, T0, boot="other"), reading(2.0, T0 + 1)])
    assert (done.stored, done.duplicates) == (2, 1)
    assert (await store.commit([reading(1.0, T0)])).stored == 0


async def test_duplicates_within_one_batch_are_stored_once(store: Store) -> None:
    one = reading(1.0, T0, seq=1, boot="a")
    done = await store.commit([one, one, one])
    assert (done.stored, done.duplicates) == (1, 2)
    assert done.newest == (one,)


async def test_a_late_reading_enters_history_and_never_replaces_the_latest(store: Store) -> None:
    new, old = reading(2.0, T0 + 10, seq=2), reading(1.0, T0, seq=1)
    await store.commit([new])
    late = await store.commit([old])
    assert (late.stored, late.newest) == (1, ())
    assert (await store.latest_many([DEV]))[DEV] == new
    assert [one.value for one in await store.history(DEV, T0, T0 + 20)] == [1.0, 2.0]


async def test_newest_names_each_moved_series_once(store: Store) -> None:
    batch = [reading(float(n), T0 + n, sensor=f"s{n % 3}", seq=n) for n in range(30)]
    random.Random(1).shuffle(batch)
    done = await store.commit(batch)
    assert {one.reading.sensor: one.reading.value for one in done.newest} == {
        "s0": 27.0,
        "s1": 28.0,
        "s2": 29.0,
    }


async def test_what_was_received_before_a_death_is_stale_and_what_comes_after_is_not(store: Store) -> None:
    await store.commit(
        [reading(1.0, T0, received_us=T0 + 1), reading(1.0, T0, device="other", received_us=T0)]
    )
    await store.mark_stale([DEV, Series("unknown", "x")], T0 + 1)
    await store.mark_stale([DEV], T0)  # one that comes late
    known = await store.latest_many([DEV, Series("other", "temperature")])
    assert [known[series].reading.stale for series in sorted(known)] == [True, False]
    await store.commit([reading(2.0, T0 + 5, received_us=T0 + 2)])
    assert not (await store.latest_many([DEV]))[DEV].reading.stale


async def test_the_series_of_a_device_are_found_with_those_below_it(store: Store) -> None:
    names = ["g/e", "g/e/d1", "g/e/d2/x", "g/e0", "g/e.", "g", "g/e/100%_"]
    await store.commit([reading(1.0, T0, device=name, site="g", seq=n) for n, name in enumerate(names)])
    await store.commit(
        [reading(1.0, T0, device="g/e/other", site="h"), reading(1.0, T0, device="g/e", sensor="b", site="g")]
    )
    found = {tuple(one) for one in await store.series_of("g/e", "g", with_below=True)}
    assert found == {
        ("g/e", "temperature"), ("g/e", "b"), ("g/e/d1", "temperature"), ("g/e/d2/x", "temperature"),
        ("g/e/100%_", "temperature"),
    }  # fmt: skip
    assert await store.series_of("g/e/d1", "g", with_below=False) == [Series("g/e/d1", "temperature")]
    assert len(await store.series_of("g/e", "g", with_below=True, limit=2)) == 2
    assert await store.series_of("g/e", "x", with_below=True) == []


async def test_history_is_by_time_half_open_and_keeps_the_newest_of_too_many(store: Store) -> None:
    await store.commit([reading(float(n), T0 + n) for n in range(10)])
    assert [r.value for r in await store.history(DEV, T0 + 2, T0 + 5)] == [2.0, 3.0, 4.0]
    assert [r.value for r in await store.history(DEV, -(2**70), 2**70, limit=2)] == [8.0, 9.0]
    assert await store.history(Series("no", "such"), 0, 2**62) == []


async def test_the_directory_grows_by_order(store: Store) -> None:
    await store.commit([reading(1.0, T0, device="a", site="s1", unit="K", interval_s=3.0)])
    (first,) = await store.directory()
    assert (first.series, first.site, first.unit, first.interval_s) == (
        Series("a", "temperature"),
        "s1",
        "K",
        3.0,
    )
    await store.commit([reading(1.0, T0, device=name) for name in ("b", "a", "c")])
    later = await store.directory(above=first.order)
    assert {info.series.device for info in later} == {"b", "c"}
    assert [info.order for info in later] == sorted(info.order for info in later)
    assert len(await store.directory(limit=1)) == 1


async def test_a_unit_that_changes_is_kept_with_each_reading(store: Store) -> None:
    await store.commit([reading(20.0, T0, unit="C"), reading(68.0, T0 + 1, unit="F", site="moved")])
    assert [(r.unit, r.site) for r in await store.history(DEV, T0, T0 + 2)] == [("C", ""), ("F", "moved")]
    (info,) = await store.directory()
    assert (info.unit, info.site) == ("F", "moved")


async def test_dead_letters_come_newest_first_and_go_with_the_same_commit(store: Store) -> None:
    letters = [DeadLetter("iot/x", bytes([n]), f"reason {n}", T0 + n) for n in range(3)]
    done = await store.commit([], letters)
    assert done.stored == 0
    assert await store.recent_dead_letters(2) == [letters[2], letters[1]]
    assert (await store.counts()).dead_letters == 3


async def test_the_same_dead_letter_again_is_one_letter_with_its_last_time(store: Store) -> None:
    await store.commit([], [DeadLetter("a", b"x", "r1", T0), DeadLetter("a", b"y", "r", T0 + 1)])
    await store.commit([], [DeadLetter("a", b"x", "r2", T0 + 5), DeadLetter("b", b"x", "r", T0 + 2)])
    assert await store.recent_dead_letters() == [
        DeadLetter("a", b"x", "r2", T0 + 5), DeadLetter("b", b"x", "r", T0 + 2),
        DeadLetter("a", b"y", "r", T0 + 1),
    ]  # fmt: skip
    assert (await store.counts()).dead_letters == 3


async def test_a_dead_letter_is_truncated_until_the_whole_message_is_there(store: Store) -> None:
    part, whole = (DeadLetter("a", b"x", "r", T0, truncated=truncated) for truncated in (True, False))
    await store.commit([], [part, DeadLetter("b", b"x", "r", T0 - 1)])
    assert [letter.truncated for letter in await store.recent_dead_letters()] == [True, False]
    assert (await store.dead_letters.page())[1].dead_letter == part
    await store.commit([], [whole])
    assert await store.recent_dead_letters(1) == [whole]
    await store.commit([], [part])  # the same bytes of a longer message
    assert await store.recent_dead_letters(1) == [whole]


async def test_dead_letters_one_by_one(store: Store) -> None:
    for n in range(5):
        await store.commit([], [DeadLetter("t", bytes([n]), f"Reason {n % 2} of \x00", T0 + n)])
    page = await store.dead_letters.page(limit=3)
    assert [letter.dead_letter.payload for letter in page] == [b"\x04", b"\x03", b"\x02"]
    rest = await store.dead_letters.page(page[-1].number)
    assert [letter.dead_letter.payload for letter in rest] == [b"\x01", b"\x00"]
    ones = await store.dead_letters.page(reason="reason 1")
    assert [letter.dead_letter.payload for letter in ones] == [b"\x03", b"\x01"]
    numbers = [letter.number for letter in page]
    assert {letter.number for letter in await store.dead_letters.find([*numbers, 10**9])} == set(numbers)
    # A reading comes in the place of its letter, in one transaction.
    done = await store.commit([reading(20.0, T0)], [], [numbers[0]])
    assert done.stored == 1
    assert await store.dead_letters.remove([numbers[1], 10**9]) == 1
    assert (await store.counts()).dead_letters == 3
    assert await store.dead_letters.remove_before(T0 + 1, 10) == 1
    assert [letter.times for letter in await store.dead_letters.page()] == [1, 1]


async def test_prune_deletes_in_bounded_steps_and_leaves_the_latest_known(store: Store) -> None:
    await store.commit(
        [reading(float(n), T0 + n, device=f"d{n % 3}") for n in range(30)],
        [DeadLetter("t", b"1", "r", T0), DeadLetter("t", b"2", "r", T0 + 100)],
    )
    steps = []
    while gone := await store.prune(T0 + 24, limit=10):
        steps.append(gone)
    assert sum(steps) == 25
    assert max(steps) <= 10
    counts = await store.counts()
    assert (counts.readings, counts.dead_letters, counts.series) == (6, 1, 3)
    await store.prune(T0 + 1000, limit=100)
    assert (await store.counts()).readings == 0
    assert len(await store.latest_many([Series(f"d{n}", "temperature") for n in range(3)])) == 3


async def test_many_series_at_once(store: Store) -> None:
    await store.commit([reading(float(n), T0, device=f"d{n}") for n in range(2_500)])
    wanted = [Series(f"d{n}", "temperature") for n in range(0, 3_000, 2)]
    got = await store.latest_many(wanted)
    assert {series.device: stored.reading.value for series, stored in got.items()} == {
        f"d{n}": float(n) for n in range(0, 2_500, 2)
    }


async def test_a_failed_commit_leaves_nothing_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        await store.commit([reading(1.0, T0, device="new"), reading(1.0, T0, seq=2**64)])
    assert not caught.value.retryable
    assert await store.directory() == []
    assert (await store.commit([reading(1.0, T0, device="new")])).stored == 1
    assert (await store.counts()).readings == 1


async def test_two_stores_at_once_agree(store_settings: StoreSettings) -> None:
    """Two workers commit the same series, each half of them first, and some of the same readings."""
    settings = StoreSettings(url=store_settings.url, password=store_settings.password, busy_timeout_s=10)
    async with open_store(settings) as a, open_store(settings) as b:
        every = [reading(float(n), T0 + n, device=f"d{n % 40}", seq=n, boot="x") for n in range(610)]
        batches = [every[start : start + 60] for start in range(0, 600, 50)]
        done = await asyncio.gather(*((a, b)[n % 2].commit(batch) for n, batch in enumerate(batches)))
        assert sum(one.stored for one in done) == 610
        assert sum(one.duplicates for one in done) == 110
        latest = await a.latest_many([Series(f"d{n}", "temperature") for n in range(40)])
        for n in range(40):
            assert latest[Series(f"d{n}", "temperature")].reading.ts_us == T0 + max(range(n, 610, 40))
        assert (await b.counts()).readings == 610
        assert len(await a.directory()) == 40


async def test_a_store_reopened_still_has_everything(store_settings: StoreSettings) -> None:
    async with open_store(store_settings) as store:
        await store.commit([reading(1.0, T0, seq=1)])
    async with open_store(store_settings) as store:
        assert (await store.commit([reading(1.0, T0, seq=1), reading(2.0, T0 + 1, seq=2)])).duplicates == 1
    async with open_store(store_settings, read_only=True) as store:
        assert (await store.counts()).readings == 2
        assert (await store.latest_many([DEV]))[DEV].reading.value == 2.0
        with pytest.raises(StoreError, match="reading only"):
            await store.commit([reading()])


async def test_a_closed_store_says_so(store_settings: StoreSettings) -> None:
    store = open_store(store_settings)
    async with store:
        await store.ping()
    with pytest.raises(StoreError, match="closed"):
        await store.ping()


async def test_reads_go_on_while_a_writer_is_busy(store: Store) -> None:
    await store.commit([reading(0.0, T0)])
    writing = asyncio.create_task(
        store.commit([reading(float(n), T0 + n, device=f"d{n % 100}") for n in range(20_000)])
    )
    reads = 0
    while not writing.done():
        assert (await store.latest_many([DEV]))[DEV].reading.value == 0.0
        reads += 1
    await writing
    assert reads > 1
