"""Write down what a broker hands on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from time import time
from typing import BinaryIO

import msgspec

from iotcache.clock import utc_text
from iotcache.config.schema import BrokerSettings
from iotcache.errors import BrokerError
from iotcache.mqtt import MqttLink
from iotcache_simulator.capture.recording import SCHEMA, Header, recorded


class Capture:
    """Follows some topics into a file until its time is up or `stop`."""

    def __init__(
        self, broker: BrokerSettings, topics: Sequence[str], out: Callable[[], BinaryIO], *, qos: int = 1,
        duration_s: float | None = None, connect_timeout_s: float = 10.0, retained: bool = True,
    ) -> None:  # fmt: skip
        """``out`` opens the file, once there is a connection: an older one is not lost for nothing.

        ``qos`` is 0 or 1: messages of QoS 2 come as 1. ``retained``: whether messages that the broker had
        kept are written down, too.
        """
        self.messages = 0
        self._link = MqttLink.from_settings(
            broker,
            f"iotcache-capture-{secrets.token_hex(4)}",
            subscriptions=tuple((topic, qos) for topic in topics),
        )
        self._topics = tuple(topics)
        self._open = out
        self._duration_s = duration_s
        self._connect_timeout_s = connect_timeout_s
        self._retained = retained
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Raises `BrokerError` when the broker is not reached in time; `OSError` when the file fails."""
        async with self._link as link:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await link.until_connected()
            except TimeoutError:
                raise BrokerError(link.reason or f"the broker at {link.name} was never reached") from None
            header = Header(SCHEMA, utc_text(int(time() * 1e3) * 1_000), self._topics)
            out = self._open()
            out.write(msgspec.json.encode(header) + b"\n")
            following = asyncio.create_task(self._follow(link, out))
            stopped = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait(
                    (following, stopped), timeout=self._duration_s, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                stopped.cancel()
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
                out.flush()

    async def _follow(self, link: MqttLink, out: BinaryIO) -> None:
        began_us: int | None = None
        encode = msgspec.json.Encoder().encode_lines
        while True:
            batch = await link.batch(1_000)
            lines = []
            for message in batch:
                if message.retain and not self._retained:
                    continue
                began_us = message.received_us if began_us is None else began_us
                at_s = max(0, message.received_us - began_us) / 1e6
                lines.append(
                    recorded(at_s, message.topic, message.payload, message.qos, retain=message.retain)
                )
            out.write(encode(lines) if lines else b"")
            self.messages += len(lines)
            link.ack(batch)
