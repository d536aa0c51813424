"""Whatever function of the worker fails, whenever it fails: nothing else is lost, and the worker goes on.

The functions are those that run while every kind of message is taken in: a new stage is among them by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from iotcache.config.schema import AlertRuleSettings, Settings
from iotcache.errors import BrokerError
from iotcache.model import DocumentKind, DocumentName, Series
from iotcache.mqtt import MqttLink
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest import sabotage
from tests.ingest.conftest import until
from tests.ingest.test_formats import dumps, field

Make = Callable[..., Any]
NOW_S = 1_795_348_800
WALLS = {
    "faults.Faults": "catches what others raise",
    "ingest.message_reader.MessageReader.read": "makes a dead letter of what a decoder raises",
    "ingest.planning.Planner.": "plans a batch, and its readings singly where that fails",
    "ingest.commit.Committer.": "writes a batch, and its parts singly where that fails",
    "ingest.pipeline.Pipeline.": "hands a batch from stage to stage",
    "ingest.followers.Followers.": "hands a batch to each follower",
    "worker.worker.Ingest.": "takes messages from the link and puts them into the pipeline",
    "worker.intake.Intake.": "has one message decoded after the other",
    "decode.outcomes.dead_letter": "what they make of a message that fails",
    "ingest.planning.refused_reading": "the same of a reading",
    "text.printable": "… and its reason",
}
"""What catches the others' exceptions cannot be expected to catch its own: kept small, and held by the tests
beside this one."""
ELSEWHERE = ("cluster", "mqtt", "config", "store.", "tasks", "backoff", "logs", "clock", "faults")
"""Clients of the servers, with outages and tests of their own, and what lives for longer than a message."""
BACKGROUND = ("alerts.publish.AlertPublisher.run", "alerts.watch.AlertWatch.")
SPARKPLUG = field(1, b"t") + field(2, 7) + field(4, 10)


def wanted(module: str) -> bool:
    name = module.removeprefix("iotcache.")
    return name != module and not name.startswith(ELSEWHERE)


class Stand:
    """A worker that gets every kind of message, from a device called good and one called evil."""

    def __init__(self, worker: Ingest, sender: MqttLink) -> None:
        self.worker = worker
        self.sender = sender
        self.running = asyncio.create_task(worker.run())
        self.sent = 0
        self.round = 0

    def messages(self) -> list[tuple[str, bytes]]:
        n, found = self.round, [("iot/s/all/t", self.reading(self.round))]
        for device in (f"good-{n}", f"evil-{n}"):
            birth = field(3, 0) + field(2, SPARKPLUG + bytes([12 << 3 | 5]) + b"\0\0\x80\x3f")
            found += [
                (f"iot/s/{device}/t", self.reading(5)),
                (f"iot/s/{device}/t", self.reading(99, NOW_S + n + 1)),
                (f"iot/s/{device}/t", self.reading(3, NOW_S - 90_000 + n)),
                (f"iot/s/{device}/birth", b'{"firmware": 1}'),
                (f"iot/s/{device}/cfg", b'{"version": 1}'),
                (f"iot/s/{device}/cbor", dumps({"value": 1})),
                (f"iot/s/{device}", b'[{"n": "senml", "v": 2}]'),
                (f"spBv1.0/s/DBIRTH/e/{device}", birth),
                (f"spBv1.0/s/DDATA/e/{device}-unborn", field(3, 1) + field(2, field(2, 7) + field(4, 10))),
                (f"iot/s/{device}-gone/birth", b""),
                (f"spBv1.0/s/DBIRTH/e/{device}-dead", birth),
                (f"spBv1.0/s/DDEATH/e/{device}-dead", field(3, 2)),
            ]
        return [*found, (f"iot/s/evil-{n}/t", b"{")]

    def reading(self, value: int, ts: int = 0) -> bytes:
        return json.dumps({"value": value, "ts": ts or NOW_S + self.round}).encode()

    def expected(self) -> dict[Series, float]:
        good = f"good-{self.round}"
        return {
            Series(good, "t"): 99, Series(good, "cbor"): 1, Series(good, "senml"): 2,
            Series(f"s/e/{good}", "t"): 1.0, Series("all", "t"): self.round,
        }  # fmt: skip

    async def send(self) -> None:
        """One round of messages, until all are acknowledged."""
        self.round += 1
        messages = self.messages()
        self.sent += len(messages)
        await asyncio.gather(*map(self._publish, messages))
        counters, link = self.worker.counters, self.worker.link
        await until(lambda: self.running.done() or (counters.received >= self.sent and link.unacked == 0), 20)
        if self.running.done():
            self.running.result()

    async def _publish(self, message: tuple[str, bytes]) -> None:
        for tries_left in (2, 1, 0):
            try:
                return await self.sender.publish(*message, timeout_s=60)
            except BrokerError:  # the sender's own connection: sent once more, it may come twice
                if not tries_left:
                    raise

    async def play(self, strike: sabotage.Strike | None = None) -> None:
        """One round: everything is acknowledged, and what is good is stored. Where a function fails the next
        time only, that may be on a good message: then that is a dead letter."""
        await self.send()
        if strike is not None:
            strike.restore()
        cache = self.worker.cache
        assert cache is not None
        expected, document = self.expected(), DocumentName(f"good-{self.round}", DocumentKind.CONFIG)
        stored = {
            series: one.reading.value
            for series, one in (await cache.store.latest_many(list(expected))).items()
        }
        missing = {series.device for series, value in expected.items() if stored.get(series) != value}
        if not await cache.store.documents.find([document]):
            missing.add(document.device)
        if strike is not None and strike.hits and not strike.mark:
            dead = [one.topic for one in await cache.store.recent_dead_letters(50)]
            missing = {device for device in missing if not any(device.split("/")[-1] in one for one in dead)}
        assert not missing, stored
        reads = await cache.read_many(list(stored))
        assert {Series(read.device, read.sensor): read.value for read in reads} == stored

    async def goes_on(self) -> None:
        """A round, and what happens in the background after it."""
        lifecycle, aggregates, alerts = self.worker.lifecycle, self.worker.aggregates, self.worker.alerts
        assert lifecycle is not None
        assert aggregates is not None
        assert alerts is not None
        before = alerts.raised, aggregates.written, lifecycle.counts.warmed
        await self.play()
        await until(lambda: alerts.raised > before[0], 5)
        await until(lambda: aggregates.written > before[1], 5)
        await until(lambda: lifecycle.counts.warmed > before[2], 5)


@pytest.fixture
async def stand(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> Stand:  # fmt: skip
    for name, value in {
        "faults.RESTART_S": 0.3, "ingest.commit.RETRY_MIN_S": 0.001, "ingest.commit.RETRY_MAX_S": 0.01,
        "onboarding.warm_queue.SETTLE_S": 0.01, "ingest.sparkplug_host.WAIT_S": 0.1,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"iotcache.{name}", value)
    topics = ("iot/{site}/{device}/{sensor}", "iot/{site}/{device}", "spBv1.0/#")
    settings: Settings = settings_for(mosquitto.port, [memcached], topics=topics, linger_ms=1)
    rules = (
        AlertRuleSettings(name="hot", kind="threshold", above=50.0),
        AlertRuleSettings(name="silent", kind="silent"),
    )
    from msgspec.structs import replace

    made: Ingest = await worker(replace(settings, alerts=rules))
    assert made.alerts is not None
    assert made.aggregates is not None
    made.alerts.tick_s, made.aggregates.every_s = 0.05, 0.05
    return Stand(made, await link(mosquitto.port, "sender"))


async def functions_that_run(stand: Stand) -> dict[str, FunctionType]:
    found: dict[str, FunctionType] = {}
    with sabotage.watching(wanted, found):
        for _ in range(2):
            await stand.goes_on()
    return {
        name: function for name, function in found.items() if not any(name.startswith(wall) for wall in WALLS)
    }


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.real("mosquitto", "memcached")
async def test_whatever_fails_nothing_else_is_lost(stand: Stand) -> None:
    logging.disable(logging.ERROR)
    try:
        functions = await functions_that_run(stand)
        assert len(functions) > 100
        rng = random.Random(4)
        names = sorted(functions)
        unheard: list[sabotage.Strike] = []
        for name in rng.sample(names, len(names)):
            for mark in ("", "evil"):
                strike = sabotage.Strike(functions[name], sabotage.some_error(rng), mark)
                strike.arm()
                try:
                    await stand.play(strike)
                except BaseException as error:
                    error.add_note(f"{name} raised {strike.error!r:.200} on {mark or 'its next call'}")
                    raise
                finally:
                    strike.restore()
                if not strike.hits:
                    unheard.append(strike)
        # What runs by the clock rather than by messages.
        for strike in unheard:
            strike.arm()
        try:
            await stand.send()
            await asyncio.sleep(0.5)
        finally:
            for strike in unheard:
                strike.restore()
        await stand.goes_on()
    finally:
        logging.disable(logging.NOTSET)
