"""A subscriber beside the fleet: what the broker really hands on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Self

import msgspec

from iotcache.config.schema import BrokerSettings
from iotcache.decode.topics import RESERVED_SENSORS
from iotcache.errors import BrokerError
from iotcache.mqtt import MqttLink
from iotcache_simulator.ledger.payloads import read
from iotcache_simulator.ledger.reading_back import ReadBack
from iotcache_simulator.ledger.sightings import Sightings, Track, reboots
from iotcache_simulator.ledger.unnumbered import Unnumbered

TOPICS = "iot/+/+/+"
_BACK_S = 0.1
"""Back before the fleet is: what a broker without a memory hands on meanwhile would be taken for lost."""
_FORGET_S = 2.0
"""A broker that is away keeps the session; the verdict does not wait for it."""


class Listener:
    """Notes every reading of one boot as it arrives. An async context manager, entered before the run.

    Its session outlasts its connections, so that what the broker kept for it while it was away is not taken
    for lost; the session ends with it. Times are microseconds of `time.monotonic`.
    """

    def __init__(
        self, broker: BrokerSettings, timeout_s: float = 10.0, read_back: ReadBack | None = None
    ) -> None:
        """``read_back`` reads messages of other forms than ours."""
        self.seen = Sightings()
        self.unnumbered = Unnumbered()
        """What was seen of readings without a number."""
        self._read_back = read_back if read_back is not None and read_back.own else None
        self.foreign = 0
        """Messages on the fleet's topics that are no readings of ours."""
        self.boot = ""
        self._timeout_s = timeout_s
        self._broker = broker
        self._client_id = f"iotcache-ledger-{secrets.token_hex(4)}"
        topics = (TOPICS,) if self._read_back is None else self._read_back.filters
        self._link = MqttLink.from_settings(
            broker, self._client_id, subscriptions=tuple((topic, 1) for topic in topics), persistent=True,
            backoff_max_s=_BACK_S,
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raises `BrokerError` when the broker is not reached in time."""
        await self._link.__aenter__()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._link.until_connected()
        except TimeoutError:
            reason = self._link.reason or "no connection in time"
            await self._link.close()
            raise BrokerError(reason) from None
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._link.close()
        # A clean session of the same name ends the old one (MQTT 3.1.1, 3.1.2.4).
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(_FORGET_S),
                MqttLink.from_settings(self._broker, self._client_id) as link,
            ):
                await link.until_connected()

    async def settled(self, expected: int, timeout_s: float) -> None:
        """Return once ``expected`` different readings were seen, or after ``timeout_s`` without another."""
        while self.seen.distinct() + self.unnumbered.total < expected:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    @property
    def undisturbed(self) -> bool:
        """Whether its first connection lasted: only then must nothing come twice, or out of order."""
        return self._link.connects <= 1

    async def _follow(self) -> None:
        link = self._link
        while True:
            messages = await link.batch(2_000)
            offset_us = time.monotonic_ns() // 1_000 - time.time_ns() // 1_000
            for message in messages:
                if not message.retain:  # what is retained was published before this run
                    self.take(message.topic, message.payload, message.received_us + offset_us)
            self._arrived.set()
            link.ack(messages)
            await asyncio.sleep(0)

    def take(self, topic: str, payload: bytes, at_us: int) -> None:
        """Note one message. Births and the like are no readings, and nothing foreign."""
        if self._read_back is not None:
            self._take_foreign_form(self._read_back, topic, payload, at_us)
            return
        if topic.rpartition("/")[2] in RESERVED_SENSORS:
            return
        try:
            message = read(topic, payload)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            self.foreign += 1
            return
        boots = reboots(message.boot, self.boot)
        if boots is not None:
            track = Track(message.device, message.sensor, boots)
            self.seen.add(track, message.seq, at_us, message.content(topic))

    def _take_foreign_form(self, read_back: ReadBack, topic: str, payload: bytes, at_us: int) -> None:
        if read_back.is_announcement(topic) or topic.rpartition("/")[2] in RESERVED_SENSORS:
            return
        try:
            found = read_back.read(topic, payload)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            self.foreign += 1
            return
        for series, seq, boot, content in found:
            if not read_back.numbered:
                self.unnumbered.add(series, at_us, content)
                continue
            boots = reboots(boot or "", self.boot)
            if boots is not None and seq is not None:
                self.seen.add(Track(series.device, series.sensor, boots), seq, at_us, content)
