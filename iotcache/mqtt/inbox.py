"""Messages between the wire and whoever takes them: queued, counted until they are acknowledged, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from iotcache.mqtt.inbound import Message

QUEUED_MESSAGES: Final = 20_000
QUEUED_BYTES: Final = 32 * 1024 * 1024
"""Past either bound the socket is no longer read, until half of it is taken: TCP tells the broker to wait."""


class Inbox:
    """What one link has received.

    ``window`` is how many QoS 1 messages the broker leaves unacknowledged, where we know (MQTT 5). Older
    brokers have a bound of their own; it is learnt from their silence.
    """

    def __init__(self, window: int | None, on_room: Callable[[], None]) -> None:
        """``on_room`` is called when a full inbox has room again."""
        self.received = 0
        self.unacked = 0
        """QoS 1 messages of the present connection that are not acknowledged yet."""
        self._window = self._stall = window
        self._on_room = on_room
        self._epoch = 0
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._received_us: dict[int, int] = {}
        """Of each unacknowledged packet identifier, oldest first."""
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def oldest_unacked_us(self) -> int:
        """When the oldest message came in that still waits for its ack; 0 when none does."""
        return next(iter(self._received_us.values()), 0)

    def full(self, share: float = 1.0) -> bool:
        """Whether more than ``share`` of a bound is queued."""
        return len(self._queue) > QUEUED_MESSAGES * share or self._queued_bytes > QUEUED_BYTES * share

    # The wire's side

    def begin(self, epoch: int) -> None:
        """A new connection: packet identifiers of the last one mean nothing any more."""
        self._epoch = epoch
        self.unacked = 0
        self._received_us.clear()
        self._stall = self._window

    def resumed(self) -> None:
        """The broker kept the session: what came by earlier connections and has no ack comes again."""
        # The new connection's first messages may have come in one piece with its CONNACK.
        kept = [message for message in self._queue if not message.qos or message.epoch == self._epoch]
        self._queue = deque(kept)
        self._queued_bytes = sum(len(message.payload) for message in kept)

    def deliver(self, message: Message) -> None:
        """Queue one message; `wake` when a round of them is in."""
        self.received += 1
        if message.qos:
            if message.mid not in self._received_us:
                self.unacked += 1
            self._received_us[message.mid] = message.received_us
            if self._stall is not None and self.unacked > self._stall:
                self._stall = self._window
        self._queue.append(message)
        self._queued_bytes += len(message.payload)

    def wake(self) -> None:
        """Let whoever waits for messages look again."""
        self._arrived.set()

    # The taker's side

    async def batch(self, limit: int, linger_s: float, limit_bytes: int) -> list[Message]:
        """See `iotcache.mqtt.MqttLink.batch`."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        if linger_s > 0 and len(self._queue) < limit:
            await self._linger(limit, linger_s, limit_bytes)
        was_past_half = self.full(0.5)
        taken: list[Message] = []
        size = 0
        while self._queue and len(taken) < limit and size < limit_bytes:
            message = self._queue.popleft()
            size += len(message.payload)
            taken.append(message)
        self._queued_bytes -= size
        if was_past_half and not self.full(0.5):
            self._on_room()
        return taken

    async def _linger(self, limit: int, linger_s: float, limit_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        until = last + linger_s
        while len(self._queue) < limit and self._queued_bytes < limit_bytes and not self._stalled():
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                # Silence while messages are unacknowledged: that may be all that the broker sends.
                if self._stall is None and self.unacked and loop.time() - last > linger_s / 2:
                    self._stall = self.unacked
                return
            last = loop.time()

    def _stalled(self) -> bool:
        return self._stall is not None and self.unacked >= self._stall

    def settle(self, messages: Iterable[Message]) -> list[int]:
        """Count messages as acknowledged; the packet identifiers to acknowledge, in their order."""
        epoch = self._epoch
        mids = [message.mid for message in messages if message.qos and message.epoch == epoch]
        self.unacked -= len(mids)
        for mid in mids:
            self._received_us.pop(mid, None)
        return mids
