"""Which readings are the same one: histories of resets, redeliveries and replays, and a model to hold to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from iotcache.model import Reading, Series, StoredReading, Value, same_value
from iotcache.store.base import Store
from iotcache.store.identity import CONFLICT, LOOK_BACK_US

T0 = 1_780_000_000_000_000
STEP_US = 60_000_000
BIG = 2**62


def of(value: object, ts_us: int, **more: object) -> StoredReading:
    fields = {"device": "eui-1", "sensor": "temperature", "received_us": ts_us + 7, **more}
    return StoredReading(Reading(value=value, ts_us=ts_us, **fields))  # type: ignore[arg-type]


class Model:
    """What a store must hold after these commits."""

    def __init__(self) -> None:
        self.rows: dict[tuple[object, ...], Reading] = {}
        self.dead: set[tuple[object, ...]] = set()

    def commit(self, readings: Sequence[Reading]) -> tuple[int, int, int]:
        stored = duplicates = conflicts = 0
        for one in sorted(readings, key=lambda reading: reading.ts_us):
            key = one.device, one.ts_us, one.seq, one.boot if one.seq is not None else ""
            if self._was_stamped(one):
                duplicates += 1
            elif (known := self.rows.get(key)) is None:
                self.rows[key] = one
                stored += 1
            elif same_value(known.value, one.value):
                duplicates += 1
            else:
                conflicts += 1
                self.dead.add((key, one.value))
        return stored, duplicates, conflicts

    def _was_stamped(self, one: Reading) -> bool:
        """The same number with the same value, both without a time of their own."""
        return one.seq is not None and one.received_us == one.ts_us and any(
            (known.device, known.boot, known.seq) == (one.device, one.boot, one.seq)
            and known.received_us == known.ts_us
            and 0 < one.ts_us - known.ts_us <= LOOK_BACK_US
            and same_value(known.value, one.value)
            for known in self.rows.values()
        )  # fmt: skip


_VALUES: list[Value] = [20.0, 21.0, 21, True, "open"]
_UPLINK = st.tuples(
    st.sampled_from(["next", "next", "rejoin", "same value", "again", "other value"]),
    st.sampled_from(_VALUES),
    st.integers(1, 3),
)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Reading]]:
    """What one device sends, in batches as a worker commits them: own times or none, with or without boot."""
    own_time, with_seq, with_boot = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    at_us, seq, boot = T0, 0, 0
    sent: list[Reading] = []
    batches: list[list[Reading]] = []
    for act, value, size in draw(st.lists(_UPLINK, min_size=1, max_size=14)):
        at_us += STEP_US * draw(st.sampled_from([1, 1, 1, 5_000, 12_000]))
        batch: list[Reading] = []
        for n in range(size):
            at_us += STEP_US
            if act in ("again", "other value") and sent:
                old = draw(st.sampled_from(sent[-6:]))
                ts_us = old.ts_us if old.received_us != old.ts_us else at_us
                again = replace(old, ts_us=ts_us, received_us=at_us if ts_us == at_us else at_us + 3)
                batch.append(again if act == "again" else replace(again, value=value))
                continue
            if act == "rejoin" and not n:
                seq, boot = 0, boot + 1
            batch.append(
                Reading(
                    "eui-1", "temperature", sent[-1].value if act == "same value" and sent else value, at_us,
                    seq=seq if with_seq else None, boot=f"b{boot}" if with_boot else "",
                    received_us=at_us + 3 if own_time else at_us,
                )
            )  # fmt: skip
            sent.append(batch[-1])
            seq += 1
        batches.append(draw(st.permutations(batch)))
    return batches


async def test_a_store_holds_what_the_model_says(store: Store) -> None:
    loop, devices = asyncio.get_running_loop(), iter(range(10_000))

    async def check(batches: list[list[Reading]]) -> None:
        device, model = f"d{next(devices)}", Model()
        for batch in batches:
            given_ = [replace(one, device=device) for one in batch]
            done = await store.commit([StoredReading(one) for one in given_])
            assert (done.stored, done.duplicates, done.conflicts) == model.commit(given_)
        series = Series(device, "temperature")
        kept = {
            (one.ts_us, one.seq, one.boot if one.seq is not None else "", repr(one.value))
            for one in await store.history(series, 0, BIG)
        }
        assert kept == {(*key[1:], repr(one.value)) for key, one in model.rows.items()}
        newest = (await store.latest_many([series]))[series].reading
        assert newest.ts_us == max(one.ts_us for one in model.rows.values())
        letters = await store.dead_letters.page(limit=1_000, reason=CONFLICT)
        assert len([one for one in letters if one.dead_letter.topic.startswith(f"{device}/")]) == len(
            {(key, repr(value)) for key, value in model.dead}
        )

    @settings(
        max_examples=30, deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    @given(histories())
    def all_of_them(batches: list[list[Reading]]) -> None:
        asyncio.run_coroutine_threadsafe(check(batches), loop).result(30)

    await asyncio.to_thread(all_of_them)


async def test_a_lorawan_counter_that_begins_anew_stores_all_its_readings(store: Store) -> None:
    first = [of(20.0 + n, T0 + n * STEP_US, seq=n) for n in range(4)]
    second = [of(30.0, T0 + 9 * STEP_US, seq=0), of(21.0, T0 + 10 * STEP_US, seq=1)]
    await store.commit(first)
    done = await store.commit(second)  # the last of them with the value that its number had before
    assert (done.stored, done.newest) == (2, (second[1],))
    again = await store.commit([*first, *second])
    assert (again.stored, again.duplicates, again.conflicts) == (0, 6, 0)


async def test_a_historical_reading_enters_history_alone(store: Store) -> None:
    old = of(1.0, T0 + 5, historical=True)
    done = await store.commit([old])
    assert (done.stored, done.newest) == (1, ())
    assert await store.latest_many([old.reading.series]) == {}
    await store.commit([of(2.0, T0)])
    done = await store.commit([of(3.0, T0 + 9, historical=True)])
    assert (done.stored, done.newest) == (1, ())
    assert (await store.latest_many([old.reading.series]))[old.reading.series].reading.value == 2.0
    assert [one.value for one in await store.history(old.reading.series, 0, BIG)] == [2.0, 1.0, 3.0]


@pytest.mark.parametrize("value", ["\ud800", "a\0b", 10**400, float("inf")], ids=repr)
async def test_any_contradiction_can_be_kept(store: Store, value: object) -> None:
    await store.commit([of("\x1b[31m[red]", T0, boot="\x1b]", device="a\0")])
    done = await store.commit([of(value, T0, boot="\x1b]", device="a\0")])
    (letter,) = await store.recent_dead_letters()
    assert done.conflicts == 1
    assert "\x1b" not in letter.reason
