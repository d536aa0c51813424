"""The worker as a host application of Sparkplug B: asks for births, waits for them, notes deaths.

Data that cannot be read before a birth comes is held back, unacknowledged, while the edge node is asked; it
is read again after the birth, and as it is when none came in time. Source: Eclipse Sparkplug 3.0.0, 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from iotcache.clock import Clock
from iotcache.ingest.rebirth import RebirthRequests
from iotcache.model import Message, SenderDeath
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.decode.sparkplug.reader import SparkplugEvent
    from iotcache.ingest.message_reader import MessageReader

log = logging.getLogger(__name__)

TICK_S: Final = 0.25
WAIT_S: Final = 5.0
"""How long data waits for the births that it needs."""
HELD_MESSAGES: Final = 2_000
HELD_BYTES: Final = 8 * 1024 * 1024
STALL_S: Final = 3.0
STALLED_S: Final = 60.0
STALLED_UNACKNOWLEDGED: Final = 5
"""A broker sends no more of QoS 1 and 2 while too many have no acknowledgement. Births of edge nodes that
keep to the specification come all the same, as they are of QoS 0. Where nothing came for `STALL_S`, or a wait
was in vain, they may be behind what is held: then, and for `STALLED_S`, only so many wait."""
_KINDS_LOGGED: Final = 20

Handle = Callable[[list[Message]], Awaitable[None]]


class SparkplugHost:
    """One worker's part as a host application. Run `run` beside whoever reads messages."""

    def __init__(self, clock: Clock, *, asks: bool, reorder_s: float) -> None:
        """``asks``: whether edge nodes are asked for their births."""
        self._clock = clock
        self._reorder_us = round(reorder_s * 1e6)
        self._requests = RebirthRequests(clock) if asks else None
        self._held: list[tuple[float, tuple[str, str], Message]] = []
        self._held_bytes = self._held_unacknowledged = 0
        self._received, self._received_s = 0, 0.0
        """How many messages had come when the last one did, and when that was."""
        self._stalled_until_s = 0.0
        self._held_since_s: dict[int, float] = {}
        """Of the messages that are handed on again just now, by their time of receipt."""
        self.waiting_for: tuple[str, str] | None = None
        """The edge node whose birth the message read last waits for; `takes_back` says what becomes of it."""
        self._born: set[tuple[str, str]] = set()
        self._died: list[SenderDeath] = []
        self.passed_over: Counter[str] = Counter()
        """Metrics that are no measurements, by their kind."""

    @property
    def rebirths_asked(self) -> int:
        """How often edge nodes were asked for their births."""
        return self._requests.asked if self._requests is not None else 0

    @property
    def held(self) -> int:
        """Messages that wait for a birth."""
        return len(self._held)

    def note(self, event: SparkplugEvent) -> None:
        """What a message told beside readings."""
        from iotcache.decode.sparkplug.reader import BirthWanted, Born

        match event:
            case BirthWanted():
                if self._requests is not None:
                    self._requests.want(event.group, event.node)
                if event.is_waiting:
                    self.waiting_for = event.group, event.node
            case Born():
                self._born.add((event.group, event.node))
                if self._requests is not None and not event.device:
                    self._requests.born(event.group, event.node)
            case SenderDeath():
                self._died.append(event)
            case _:
                self._pass_over(event.kind, event.device, event.metric)

    def _pass_over(self, kind: str, device: str, metric: str) -> None:
        self.passed_over[kind] += 1
        if sum(self.passed_over.values()) <= _KINDS_LOGGED:
            log.warning(
                "the metric %s of %s is no measurement (%s): it is passed over, and counted",
                printable(metric, 60), printable(device, 100), kind,
            )  # fmt: skip

    def takes_back(self, message: Message, *, is_last_try: bool) -> bool:
        """Whether the message that was read just now is to wait for a birth; it is not acknowledged then."""
        node, self.waiting_for = self.waiting_for, None
        if node is None or is_last_try or self._requests is None:
            return False
        full = len(self._held) >= HELD_MESSAGES or self._held_bytes + len(message.payload) > HELD_BYTES
        is_stalled = self._clock.monotonic() < self._stalled_until_s
        if full or (message.qos and is_stalled and self._held_unacknowledged >= STALLED_UNACKNOWLEDGED):
            return False
        # What is held again, read after a birth, goes on waiting: it may be a birth that wants one itself.
        since_s = self._held_since_s.get(message.received_us)
        self._hold(self._clock.monotonic() if since_s is None else since_s, node, message)
        return True

    def _hold(self, since_s: float, node: tuple[str, str], message: Message) -> None:
        self._held.append((since_s, node, message))
        self._held_bytes += len(message.payload)
        self._held_unacknowledged += message.qos > 0

    def _release(self) -> tuple[list[Message], list[Message]]:
        """Messages of edge nodes that were born since, and those that waited for too long."""
        born, self._born = self._born, set()
        ready: list[Message] = []
        late: list[Message] = []
        held, self._held = self._held, []
        self._held_bytes = self._held_unacknowledged = 0
        now_s = self._clock.monotonic()
        is_stalled = now_s < self._stalled_until_s
        for since_s, node, message in held:
            is_over = is_stalled and message.qos and self._held_unacknowledged >= STALLED_UNACKNOWLEDGED
            if now_s - since_s >= WAIT_S or (is_over and node not in born):
                late.append(message)
            elif node in born:
                ready.append(message)
                self._held_since_s[message.received_us] = since_s
            else:
                self._hold(since_s, node, message)
        if any(message.qos for message in late):
            self._stalled_until_s = now_s + STALLED_S
        return ready, late

    def _look_for_stall(self, received: int) -> None:
        """Whether nothing comes any more while more than a few messages have no acknowledgement."""
        now_s = self._clock.monotonic()
        if received != self._received or self._held_unacknowledged <= STALLED_UNACKNOWLEDGED:
            self._received, self._received_s = received, now_s
        elif now_s - self._received_s >= STALL_S:
            self._stalled_until_s = now_s + STALLED_S

    def take_deaths(self) -> list[SenderDeath]:
        """Edge nodes and devices that died since the last time."""
        died, self._died = self._died, []
        return died

    def take_commands(self) -> list[tuple[str, bytes]]:
        """Topics and payloads of what edge nodes are to be told now."""
        return self._requests.take() if self._requests is not None else []

    async def run(
        self,
        reader: MessageReader,
        post: Callable[[str, bytes], object],
        again: Handle,
        at_last: Handle,
        *,
        received: Callable[[], int],
    ) -> None:
        """Work until cancelled: ``post`` a command, hand messages on that waited.

        ``received``: how many have come since the start.
        """
        while True:
            await asyncio.sleep(TICK_S)
            reader.sparkplug_overdue(round(self._clock.now() * 1e6), self._reorder_us)
            for topic, payload in self.take_commands():
                post(topic, payload)
            if not self._held:
                self._born.clear()
                continue
            self._look_for_stall(received())
            ready, late = self._release()
            if ready:
                await again(ready)
                self._held_since_s.clear()
            if late:
                await at_last(late)
