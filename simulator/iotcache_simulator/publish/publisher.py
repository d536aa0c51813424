"""The open loop: every message at its own absolute deadline, late when it must be, never left out.

How long the broker took for one message moves no other message's deadline, so that a slow broker shows
as lag and not as a lower load (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from time import monotonic, time
from typing import Any

import msgspec

from iotcache.histogram import DurationHistogram
from iotcache_simulator.fleet.stream import Message, Stream
from iotcache_simulator.publish.plan.digest import StreamDigest
from iotcache_simulator.report.rate_bins import RateCounter
from iotcache_simulator.wire.uplink import Uplink

LATE_MS = 50.0
"""A message that leaves this much after its deadline counts as late."""
_WINDOW_MESSAGES = 256
_WINDOW_MIN_US, _WINDOW_MAX_US = 200, 250_000
_SLICE = 256
"""Messages between two turns of the event loop."""
_TICK_S = 0.002
"""Shortest sleep: finer ones cost more processor than the lag they save."""
_CATCH_UP_US = 60_000_000
"""A fleet without an end that fell further behind than this drops the rest, as devices' buffers do."""
_CLOCK_STEP_US = 5_000_000
_STOP_PATIENCE_S = 2.0
"""Who asked for the end does not want to wait long for a broker that does not answer."""


class Counters(msgspec.Struct):
    """What happened so far."""

    planned: int = 0
    late: int = 0
    skipped: int = 0
    """Dropped by a fleet without an end that was cut off for too long."""


class Publisher:
    """Sends one stream through its uplinks."""

    def __init__(
        self,
        stream: Stream,
        uplinks: Sequence[Uplink],
        *,
        devices: int,
        routes: Sequence[int] = (),
        speed: float = 1.0,
        digest: StreamDigest | None = None,
        patience_s: float = 10.0,
        count: int | None = None,
        pad_bytes: int = 0,
    ) -> None:
        """``count``: end after so many messages; ``pad_bytes``: the least size of a payload.
        ``routes`` names the place of each device's uplink (none: devices are dealt to them in turn).
        ``speed`` is virtual seconds in a real one, `math.inf` for as fast as it goes. After the end of
        the stream, what is still unsent or unconfirmed has ``patience_s`` seconds."""
        self.counters = Counters()
        self.lag_ms = DurationHistogram()
        self.rate = RateCounter()
        self.horizon_us = 0
        """Every message due before this was planned, and none that is due later."""
        self.elapsed_s = 0.0
        """Real time from the first deadline to the last message handed over."""
        self._stream = stream
        self._uplinks = uplinks
        self._devices = devices
        self._routes = routes or [device % len(uplinks) for device in range(devices)]
        self._speed = speed
        self._digest = digest
        self._patience_s = patience_s
        self._count = count
        self._pad_bytes = pad_bytes
        per_window = _WINDOW_MESSAGES / max(stream.rate, 1e-9) * 1e6
        self._window_us = int(
            min(max(per_window, _WINDOW_MIN_US), _WINDOW_MAX_US * max(1.0, min(speed, 1e3)))
        )
        self._began = 0.0
        self._at_us = 0
        self._stop = asyncio.Event()

    @property
    def published(self) -> int:
        return sum(uplink.published for uplink in self._uplinks)

    @property
    def confirmed(self) -> int:
        return sum(uplink.confirmed for uplink in self._uplinks)

    @property
    def refused(self) -> int:
        return sum(uplink.refused for uplink in self._uplinks)

    @property
    def resent(self) -> int:
        return sum(uplink.resent for uplink in self._uplinks)

    @property
    def reconnects(self) -> int:
        return sum(max(0, uplink.connects - 1) for uplink in self._uplinks)

    def stop(self) -> None:
        """End the run now: nothing that is due later is sent any more."""
        self._stop.set()

    def progress_s(self) -> float:
        """Virtual seconds since the start."""
        elapsed_s = max(0.0, monotonic() - self._began) if self._began else 0.0
        return elapsed_s * self._speed if self._speed < math.inf else self._at_us / 1e6

    async def run(self, began: float | None = None) -> None:
        """Publish until the stream's end or `stop`, then wait for the confirmations.

        ``began`` is the moment of virtual time 0 on `time.monotonic`'s clock: now, when not given.
        """
        self._began = monotonic() if began is None else began
        end_us = self._stream.timeline.end_us
        deadline_s = math.inf
        if end_us is not None and self._speed < math.inf:
            deadline_s = self._began + end_us / 1e6 / self._speed + self._patience_s
        while not self._stop.is_set() and (end_us is None or self._at_us < end_us) and not self._all_counted:
            messages = self._next_window()
            if end_us is None and self._count is None and await self._fell_behind():
                self.counters.skipped += len(messages)
                continue
            if not await self._send(messages, deadline_s):
                break
        await self._finish(end_us)

    @property
    def _all_counted(self) -> bool:
        return self._count is not None and self.counters.planned >= self._count

    def _next_window(self) -> list[Message]:
        self._at_us += self._window_us
        messages = self._stream.window(self._at_us)
        if self._count is not None:
            del messages[self._count - self.counters.planned :]
        self.horizon_us = self._at_us
        self.counters.planned += len(messages)
        if self._digest is not None:
            self._digest.add(messages)
        return messages

    async def _send(self, messages: list[Message], deadline_s: float) -> bool:
        """Send each message when it is due; ``False`` when the run is over before all were."""
        at, count, speed = 0, len(messages), self._speed
        paced, stopping = speed < math.inf, False
        while at < count:
            if self._stop.is_set() and not stopping:
                # What is due by now is still sent; what is not was never promised.
                stopping = True
                now_us = self.progress_s() * 1e6 if paced else messages[at - 1][0] if at else -1.0
                sendable = at + sum(message[0] <= now_us for message in messages[at:])
                if sendable < count:
                    self.horizon_us = messages[sendable][0]
                self.counters.planned -= count - sendable
                count = sendable
                deadline_s = min(deadline_s, monotonic() + _STOP_PATIENCE_S)
                continue
            upto = min(count, at + _SLICE)
            if paced:
                now_us = (monotonic() - self._began) * 1e6 * speed
                while upto > at and messages[upto - 1][0] > now_us:
                    upto -= 1
                if upto == at:
                    await self._pause(max((messages[at][0] - now_us) / 1e6 / speed, _TICK_S))
                    continue
            sent = self._hand_over(messages, at, upto)
            if sent:
                self._measure(messages, at, at + sent)
                at += sent
                await asyncio.sleep(0)
            elif monotonic() > deadline_s:
                return False
            else:
                await self._until_room(messages[at])
        return not self._stop.is_set()

    def _hand_over(self, messages: list[Message], first: int, last: int) -> int:
        """Give messages to their uplinks as far as there is room; how many were given."""
        uplinks = self._uplinks
        if len(uplinks) == 1:
            uplink = uplinks[0]
            last = min(last, first + uplink.room())
            send, pad = uplink.send, self._pad_bytes
            for _, _, topic, payload, _ in messages[first:last]:
                send(topic, payload.ljust(pad) if pad else payload)
            uplink.flush()
            return max(0, last - first)
        given: set[Uplink] = set()  # of ten thousand uplinks, a slice of messages goes to a few
        for at in range(first, last):
            _, series, topic, payload, _ = messages[at]
            uplink = uplinks[self._routes[series % self._devices]]
            if uplink.room() <= 0:
                last = at
                break
            uplink.send(topic, payload.ljust(self._pad_bytes))
            given.add(uplink)
        for uplink in given:
            uplink.flush()
        return last - first

    def _measure(self, messages: list[Message], first: int, last: int) -> None:
        now_s = monotonic()
        self.elapsed_s = now_s - self._began
        self.rate.add(self.elapsed_s, last - first)
        if self._speed == math.inf:
            return
        now_ms = self.elapsed_s * 1e3
        per_us = 1e-3 / self._speed
        add = self.lag_ms.add
        for message in messages[first:last]:
            lag_ms = now_ms - message[0] * per_us
            add(lag_ms)
            if lag_ms > LATE_MS:
                self.counters.late += 1

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not through a `stop`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _until_room(self, message: Message) -> None:
        """Wait until the uplink of ``message`` can take one, at most for a moment."""
        uplink = self._uplinks[self._routes[message[1] % self._devices]]
        # Asked for at once: with room for one message, its answer may come before a task has begun to wait.
        change = uplink.next_change()
        stopping = asyncio.ensure_future(self._stop.wait())
        waits: list[asyncio.Future[Any]] = [change] if self._stop.is_set() else [change, stopping]
        try:
            await asyncio.wait(waits, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _fell_behind(self) -> bool:
        """Keep an endless fleet near the present: true when the window in hand is too old to send."""
        if self._speed != 1.0:
            return False
        now_us = int((monotonic() - self._began) * 1e6)
        timeline = self._stream.timeline
        shown_us = timeline.start_us + timeline.shift_us + now_us
        step_us = int(time() * 1e6) - shown_us
        if abs(step_us) > _CLOCK_STEP_US:
            # The machine slept, or its clock was set: devices go on with the time as it is now.
            shift_us = timeline.shift_us + step_us // 1_000 * 1_000
            self._stream.timeline = msgspec.structs.replace(timeline, shift_us=shift_us)
        if now_us - self._at_us <= _CATCH_UP_US:
            return False
        await asyncio.sleep(0)
        return True

    async def _finish(self, end_us: int | None) -> None:
        """Count what was planned but never sent, and wait for what was."""
        if not self._stop.is_set():
            while end_us is not None and self._at_us < end_us and not self._all_counted:
                self._next_window()
                await asyncio.sleep(0)
        patience_s = min(self._patience_s, _STOP_PATIENCE_S) if self._stop.is_set() else self._patience_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await asyncio.gather(*(uplink.until_confirmed() for uplink in self._uplinks))
