"""Messages between the wire and whoever takes them: queued, counted until they are acknowledged, bounded.

What is queued when a connection ends, and has no ack, comes again on the next one, if the broker kept the
session. It need not: mosquitto saves to disk every half an hour by default, and killed in between it comes
back with the session and without its messages. So they are held until they come again or have not in a while.
What was taken already and comes again keeps the time of its first receipt.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from iotcache.model.messages import Message

QUEUED_MESSAGES: Final = 20_000
QUEUED_BYTES: Final = 32 * 1024 * 1024
"""Past either bound the socket is no longer read, until half of it is taken: TCP tells the broker to wait."""

HELD_S: Final = 5.0
"""How long after the last message that came again the others are waited for: they come first, and at once."""


class Inbox:
    """What one link has received.

    ``window`` is how many messages of QoS 1 and 2 the broker leaves unacknowledged, where we know (MQTT 5).
    Older brokers have a bound of their own; it is learnt from their silence.
    """

    def __init__(self, window: int | None, on_room: Callable[[], None]) -> None:
        """``on_room`` is called when a full inbox has room again."""
        self.received = 0
        self.unacked = 0
        """QoS 1 and 2 messages of the present connection that are not acknowledged yet."""
        self._window = self._stall = window
        self._on_room = on_room
        self._epoch = 0
        self._queue: deque[Message] = deque()
        self.queued_bytes = 0
        """Of those queued and those held."""
        self._expected: dict[tuple[str, bytes], deque[tuple[Message, bool]]] = {}
        """What may come again, by topic and payload, as packet identifiers are new then; and whether it was
        still queued: then it is held, and taken as it came should it not come again."""
        self._held_count = 0
        self._held_until = 0.0
        self._unacked: dict[int, Message] = {}
        """By packet identifier, oldest first."""
        self._unacked_before: list[Message] = []
        """Those of the connections before, until the broker says whether it kept the session."""
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue) + self._held_count

    def oldest_unacked_us(self) -> int:
        """When the oldest message came in that still waits for its ack; 0 when none does."""
        oldest = next(iter(self._unacked.values()), None)
        return 0 if oldest is None else oldest.received_us

    def full(self, share: float = 1.0) -> bool:
        """Whether more than ``share`` of a bound is queued."""
        return len(self) > QUEUED_MESSAGES * share or self.queued_bytes > QUEUED_BYTES * share

    # The wire's side

    def begin(self, epoch: int) -> None:
        """A new connection: packet identifiers of the last one mean nothing any more."""
        self._epoch = epoch
        self.unacked = 0
        self._unacked_before += self._unacked.values()
        self._unacked.clear()
        self._stall = self._window

    def resumed(self) -> None:
        """The broker kept the session: what came by earlier connections and has no ack comes again."""
        in_hand = [message for alike in self._expected.values() for message, _ in alike]
        in_hand += self._unacked_before
        self._unacked_before = []
        self._release()
        queued, self._queue = self._queue, deque()
        # The new connection's first messages may have come in one piece with its CONNACK.
        held = {
            (message.epoch, message.mid): message
            for message in queued
            if message.qos and message.epoch != self._epoch
        }
        all_before = {(message.epoch, message.mid): message for message in in_hand} | held
        for identity, message in sorted(all_before.items(), key=lambda item: item[1].received_us):
            self._expected.setdefault((message.topic, message.payload), deque()).append(
                (message, identity in held)
            )
        self._held_count = len(held)
        for message in queued:
            if (message.epoch, message.mid) not in held:
                self._queue.append(self._as_first(message) if message.epoch == self._epoch else message)
        self._held_until = time.monotonic() + HELD_S
        self.wake()

    def forgotten(self) -> None:
        """The broker knows nothing of a session: nothing comes again."""
        self._unacked_before.clear()
        self._release()
        self.wake()

    def _as_first(self, message: Message) -> Message:
        """The message; with the time of its first receipt when it is one that comes again.

        By that time a reading without a number and a time of its own is known.
        """
        alike = self._expected.get((message.topic, message.payload)) if message.qos else None
        if alike is None:
            return message
        first, queued = alike.popleft()
        if not alike:
            del self._expected[message.topic, message.payload]
        if queued:
            self._held_count -= 1
            self.queued_bytes -= len(first.payload)
        self._held_until = time.monotonic() + HELD_S
        message = replace(message, received_us=first.received_us)
        if message.mid in self._unacked:
            self._unacked[message.mid] = message
        return message

    def _release(self) -> None:
        """Queue what was held and did not come again, in the order of its receipt, before what came since."""
        if self._expected:
            held = sorted(
                (message for alike in self._expected.values() for message, queued in alike if queued),
                key=lambda message: message.received_us,
            )
            self._queue.extendleft(reversed(held))
            self._expected.clear()
            self._held_count = 0

    def deliver(self, message: Message) -> None:
        """Queue one message; `wake` when a round of them is in."""
        self.received += 1
        if message.qos:
            if message.mid not in self._unacked:
                self.unacked += 1
            self._unacked[message.mid] = message
            if self._stall is not None and self.unacked > self._stall:
                self._stall = self._window
        self._queue.append(self._as_first(message) if self._expected else message)
        self.queued_bytes += len(message.payload)

    def wake(self) -> None:
        """Let whoever waits for messages look again."""
        self._arrived.set()

    # The taker's side

    async def batch(self, limit: int, linger_s: float, limit_bytes: int) -> list[Message]:
        """See `iotcache.mqtt.MqttLink.batch`."""
        while not self._queue:
            self._arrived.clear()
            await self._until_some()
        if self._expected and time.monotonic() >= self._held_until:
            self._release()
        if linger_s > 0 and len(self._queue) < limit:
            await self._linger(limit, linger_s, limit_bytes)
        was_past_half = self.full(0.5)
        taken: list[Message] = []
        size = 0
        while self._queue and len(taken) < limit and size < limit_bytes:
            message = self._queue.popleft()
            size += len(message.payload)
            taken.append(message)
        self.queued_bytes -= size
        if was_past_half and not self.full(0.5):
            self._on_room()
        return taken

    async def _until_some(self) -> None:
        """Wait until messages came, or those held will not come again."""
        if not self._expected:
            await self._arrived.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, self._held_until - time.monotonic())):
                await self._arrived.wait()
        except TimeoutError:
            if time.monotonic() >= self._held_until:
                self._release()

    async def _linger(self, limit: int, linger_s: float, limit_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        until = last + linger_s
        while len(self._queue) < limit and self.queued_bytes < limit_bytes and not self._stalled():
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

    def settle(self, messages: Iterable[Message]) -> list[Message]:
        """Count messages as acknowledged; those to acknowledge on the present connection, in their order."""
        epoch = self._epoch
        waiting = [message for message in messages if message.qos and message.epoch == epoch]
        self.unacked -= len(waiting)
        for message in waiting:
            self._unacked.pop(message.mid, None)
        return waiting
