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
from iotcache_simulator.ledger.sightings import Sightings, Track, reboots

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

    def __init__(self, broker: BrokerSettings, timeout_s: float = 10.0) -> None:
        self.seen = Sightings()
        self.foreign = 0
        """Messages on the fleet's topics that are no readings of ours."""
        self.boot = ""
        self._timeout_s = timeout_s
        self._broker = broker
        self._client_id = f"iotcache-ledger-{secrets.token_hex(4)}"
        self._link = MqttLink.from_settings(
            broker, self._client_id, subscriptions=((TOPICS, 1),), persistent=True, backoff_max_s=_BACK_S
        )
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
        while self.seen.distinct() < expected:
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
