"""A subscriber beside the fleet: what the broker really hands on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Self

import msgspec
from msgspec import Struct

from iotcache.config.schema import BrokerSettings
from iotcache.decode import cbor, senml
from iotcache.decode.topics import RESERVED_SENSORS
from iotcache.errors import BrokerError
from iotcache.mqtt import MqttLink
from iotcache_simulator.ledger.seen import Seen, Track, reboots

TOPICS = "iot/+/+/+"
READS = ("json", "cbor", "senml")
"""The payloads that it understands."""
_BACK_S = 0.1
"""Back before the fleet is: what a broker without a memory hands on meanwhile would be taken for lost."""
_FORGET_S = 2.0
"""A broker that is away keeps the session; the verdict does not wait for it."""


class _Sighting(Struct):
    device: str
    sensor: str
    seq: int
    boot: str
    value: float | bool | str


_decode_json = msgspec.json.Decoder(_Sighting).decode
_decode_pack = msgspec.json.Decoder(list[senml.SenmlRecord]).decode


def _sighting(topic: str, payload: bytes) -> _Sighting:
    """The reading that a message holds. Raises `ValueError` or `msgspec.MsgspecError` for none of ours."""
    if payload[:1] >= b"\x80":
        return msgspec.convert(cbor.loads(payload), _Sighting)
    if payload[:1] == b"[":
        device = topic.rsplit("/", 2)[1]
        (fields,) = senml.resolve(_decode_pack(payload), device, 0.0)
        return msgspec.convert({"device": device, **fields}, _Sighting)
    return _decode_json(payload)


class Listener:
    """Notes every reading of one boot as it arrives. An async context manager, entered before the run.

    Its session outlasts its connections, so that what the broker kept for it while it was away is not taken
    for lost; the session ends with it. Times are microseconds of `time.monotonic`.
    """

    def __init__(self, broker: BrokerSettings, timeout_s: float = 10.0) -> None:
        self.seen = Seen()
        self.boot = ""
        self._timeout_s = timeout_s
        self._broker = broker
        self._client_id = f"iotcache-ledger-{secrets.token_hex(4)}"
        self._link = MqttLink.from_settings(
            broker, self._client_id, subscriptions=((TOPICS, 1),), persistent=True, backoff_max_s=_BACK_S
        )
        self._task: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

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
            self._heard.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._heard.wait()
            except TimeoutError:
                return

    async def _follow(self) -> None:
        link, add = self._link, self.seen.add
        while True:
            messages = await link.batch(2_000)
            offset_us = time.monotonic_ns() // 1_000 - time.time_ns() // 1_000
            for message in messages:
                if message.retain or message.topic.rpartition("/")[2] in RESERVED_SENSORS:
                    continue  # of before this run; births and the like are no readings, and no strangers
                try:
                    found = _sighting(message.topic, message.payload)
                except (ValueError, msgspec.MsgspecError, RecursionError):
                    self.seen.foreign += 1
                    continue
                boots = reboots(found.boot, self.boot)
                if boots is not None:
                    add(Track(found.device, found.sensor, boots), found.seq, message.received_us + offset_us)
            self._heard.set()
            link.ack(messages)
            await asyncio.sleep(0)
