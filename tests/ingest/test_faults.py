"""No message stops a worker: what a stage fails at is left out, all else is stored, all is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.clock import ManualClock
from iotcache.decode.decoder import Decoder
from iotcache.decode.topics import Topics
from iotcache.faults import LOG_EVERY_S, Faults
from iotcache.ingest import commit as commit_module
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.followers import Followers
from iotcache.ingest.message_reader import MessageReader
from iotcache.ingest.pipeline import Pipeline
from iotcache.model import (
    CommittedBatch,
    DeadLetter,
    DeviceMessage,
    Document,
    LifecycleResult,
    Message,
    Reading,
    Series,
    StoredReading,
)
from iotcache.store.base import Committed
from tests.conftest import Server
from tests.ingest import hostile
from tests.ingest.conftest import until

Make = Callable[..., Any]
NOW_US = 1_795_348_800_000_000
ERRORS: tuple[type[Exception], ...] = (
    ZeroDivisionError,
    OverflowError,
    KeyError,
    RecursionError,
    MemoryError,
    UnicodeEncodeError,
    AssertionError,
)
STAGES = ("decode", "plan", "commit", "cache", "document", "document cache", "follow", "acknowledge")
GOOD = -1


class Trouble:
    """Raises where a reading's value, or a document's version, says that it is to raise."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def at(self, stage: str, number: object) -> None:
        if isinstance(number, int) and 0 <= number < len(STAGES) and STAGES[number] == stage:
            kind = self._random.choice(ERRORS)
            if kind is UnicodeEncodeError:
                raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
            raise kind("at the worst place")


class TroubledDecoder(Decoder):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(Topics(["iot/{site}/{device}/{sensor}"]))
        self._trouble = trouble

    def decode(self, topic: str, payload: bytes, received_us: int, size: int | None = None) -> Any:
        found = super().decode(topic, payload, received_us, size)
        for reading in found if isinstance(found, list) else ():
            self._trouble.at("decode", reading.value)
        return found


class Places:
    """A store, a cache and a keeper of documents in one."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self.store = self
        self.kept: list[Reading] = []
        self.dead: list[DeadLetter] = []
        self.cached: list[Reading] = []
        self.invalidated: list[Series] = []
        self.documents: list[Document] = []
        self.documents_cached: list[Document] = []

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        for reading in readings:
            self._trouble.at("plan", reading.value)
        return [reading.ts_us for reading in readings]

    async def commit(self, readings: Sequence[StoredReading], dead: Sequence[DeadLetter] = ()) -> Committed:
        await asyncio.sleep(0)
        for stored in readings:
            self._trouble.at("commit", stored.reading.value)
        self.kept += [stored.reading for stored in readings]
        self.dead += dead
        return Committed(len(readings), 0, tuple(readings))

    async def write_through(self, newest: Sequence[StoredReading]) -> list[Any]:
        for stored in newest:
            self._trouble.at("cache", stored.reading.value)
        self.cached += [stored.reading for stored in newest]
        return []

    async def invalidate(self, series: Sequence[Series]) -> list[Any]:
        self.invalidated += series
        return []


class Devices:
    def __init__(self, places: Places, trouble: Trouble) -> None:
        self._places = places
        self._trouble = trouble

    async def store(self, messages: Sequence[DeviceMessage]) -> LifecycleResult:
        documents = [one for one in messages if isinstance(one, Document)]
        for document in documents:
            self._trouble.at("document", document.version)
        self._places.documents += documents
        return LifecycleResult(documents, [])

    async def tell_cache(self, result: LifecycleResult) -> None:
        for document in result.standing:
            self._trouble.at("document cache", document.version)
        self._places.documents_cached += result.standing


class Follow:
    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self.seen: set[Reading] = set()

    def follow(self, batch: CommittedBatch) -> None:
        for reading in batch.readings:
            self._trouble.at("follow", reading.value)
            self.seen.add(reading)

    def missed(self, batches: int) -> None:
        raise RuntimeError("and this fails as well")

    async def run(self) -> None:
        await asyncio.Event().wait()


def message(index: int, number: int, *, document: bool) -> Message:
    sensor, field = ("cfg", "version") if document else ("t", "value")
    content = {field: number if not document or number >= 0 else len(STAGES)}
    payload = json.dumps(content).encode()
    return Message(f"iot/s/d{index}/{sensor}", payload, 1, False, index, 1, NOW_US + index, len(payload))


async def run_all(numbers: Sequence[tuple[int, bool]], cuts: Sequence[int], seed: int) -> None:
    trouble = Trouble(seed)
    places, faults = Places(trouble), Faults(ManualClock())
    reader = MessageReader(Topics(["iot/{site}/{device}/{sensor}"]), TroubledDecoder(trouble), faults)
    follower = Follow(trouble)
    followers = Followers([follower], faults=faults)
    counters = IngestCounters(ManualClock())
    pipeline = Pipeline(
        places,  # type: ignore[arg-type]
        counters,
        faults=faults,
        devices=Devices(places, trouble),
        on_commit=followers.tell,
    )
    messages = [message(index, number, document=kind) for index, (number, kind) in enumerate(numbers)]
    acknowledged: list[Message] = []
    tasks = [asyncio.create_task(pipeline.run()), asyncio.create_task(followers.run())]
    try:
        start = 0
        for stop in [*sorted(set(cuts)), len(messages)]:
            part, start = messages[start:stop], stop
            batch = decoded(reader, part, acknowledged, trouble)
            await pipeline.put(batch)
        async with asyncio.timeout(30):
            await pipeline.drained()
        good = {one.topic for one in messages if number_of(one) not in range(len(STAGES))}
        expected = {topic.split("/")[2] for topic in good if topic.endswith("/t")}
        for _ in range(200):
            if expected <= {one.device for one in follower.seen}:
                break
            await asyncio.sleep(0)
        assert {one.mid for one in acknowledged} == {one.mid for one in messages}
        assert len(places.kept) == len({one.device for one in places.kept})
        assert expected <= {one.device for one in places.kept}
        assert expected <= {one.device for one in places.cached}
        assert expected <= {one.device for one in follower.seen}
        assert {topic.split("/")[2] for topic in good if topic.endswith("/cfg")} <= {
            one.device for one in places.documents
        }
        bad = [one for one in messages if number_of(one) in range(len(STAGES))]
        lost = {
            one.topic
            for one in bad
            if (STAGES[number_of(one)] in ("decode", "plan", "commit") and one.topic.endswith("/t"))
            or (STAGES[number_of(one)] == "document" and one.topic.endswith("/cfg"))
        }
        assert counters.dead_letters == len(places.dead) == len(lost)
        assert all("at the worst place" in one.reason or "surrogates" in one.reason for one in places.dead)
        assert bool(lost) <= bool(faults.count)
        assert all(not task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


def number_of(one: Message) -> int:
    return int(next(iter(json.loads(one.payload).values())))


def decoded(
    reader: MessageReader, messages: Sequence[Message], acknowledged: list[Message], trouble: Trouble
) -> DecodedBatch:
    def settled(committed: Committed | None) -> None:
        acknowledged.extend(messages)
        for one in messages:
            trouble.at("acknowledge", number_of(one))

    batch = DecodedBatch([], [], settled, [])
    for one in messages:
        found = reader.read(one)
        if isinstance(found, list):
            batch.readings += found
        elif isinstance(found, DeadLetter):
            batch.dead_letters.append(found)
        elif isinstance(found, Document):
            batch.device_messages.append(found)
    return batch


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(
        st.tuples(st.sampled_from([GOOD, GOOD, GOOD, *range(len(STAGES))]), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    cuts=st.lists(st.integers(1, 39), max_size=4),
    seed=st.integers(0, 2**32),
)
def test_what_raises_at_random_in_any_stage_takes_nothing_else_with_it(
    numbers: list[tuple[int, bool]], cuts: list[int], seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit_module, "RETRY_MIN_S", 0.001)
        patch.setattr(commit_module, "RETRY_MAX_S", 0.002)
        logging.disable(logging.ERROR)
        try:
            asyncio.run(run_all(numbers, [cut for cut in cuts if cut < len(numbers)], seed))
        finally:
            logging.disable(logging.NOTSET)


def test_the_same_fault_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    faults = Faults(clock)
    for _ in range(1_000):
        faults.note("decoding a message", ZeroDivisionError("division\x1b by zero"))
    faults.note("decoding a message", KeyError("x"))
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "ZeroDivisionError: division\\x1b by zero" in caplog.text
    clock.advance(LOG_EVERY_S)
    faults.note("decoding a message", ZeroDivisionError())
    assert "999 more like it" in caplog.text
    assert faults.count == 1_002


async def test_background_work_that_fails_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotcache.faults.RESTART_S", 0.001)
    faults, runs = Faults(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise ExceptionGroup("tasks", [OSError("gone")])

    await faults.keep_running("work", work)
    assert (runs, faults.count) == (4, 3)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("kind", hostile.KINDS)
@pytest.mark.real("mosquitto")
async def test_a_thousand_worst_messages_leave_the_worker_running(
    mosquitto: Server,
    memcached: Server,
    settings_for: Make,
    *,
    worker: Make,
    link: Make,
    protocol: str,
    kind: str,
) -> None:
    topics = ("iot/{site}/{device}/{sensor}", "iot/{site}/{device}", "spBv1.0/#")
    made = await worker(settings_for(mosquitto.port, [memcached], protocol=protocol, topics=topics))
    sender = await link(mosquitto.port, "sender")
    worst = hostile.messages(kind, 1_000, seed=7)
    good = [(f"iot/s/good-{n}/t", json.dumps({"value": n}).encode()) for n in range(100)]
    sent = list(worst)
    for n, message in enumerate(good):
        sent.insert(n * (len(sent) // len(good)), message)
    sent = [good[0], *sent, good[-1]]
    for start in range(0, len(sent), 100):
        await asyncio.gather(
            *(sender.publish(topic, payload, timeout_s=60) for topic, payload in sent[start : start + 100])
        )
    assert made.cache is not None
    store = made.cache.store
    await until(lambda: made.counters.received >= len(sent) and made.link.unacked == 0, 60)
    found = await store.latest_many([Series(f"good-{n}", "t") for n in range(100)])
    assert {stored.reading.value for stored in found.values()} == set(range(100))
    assert made.stats().state == "running"
    after = await made.cache.read("good-99", "t")
    assert after.value == 99
