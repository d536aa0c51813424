"""Publish a recording again, at its own pace or at another."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable
from time import monotonic

from iotcache.histogram import DurationHistogram
from iotcache_simulator.capture.recording import Recorded
from iotcache_simulator.wire.uplink import Uplink

_TICK_S = 0.002
_SLICE = 256


class CapturePlayer:
    """Publishes messages at their times (an open loop) through one uplink."""

    def __init__(self, messages: Iterable[Recorded], uplink: Uplink, *, speed: float = 1.0) -> None:
        """``speed`` is recorded seconds in a real one; `math.inf`: as fast as it goes."""
        self.lag_ms = DurationHistogram()
        self.played = 0
        self.elapsed_s = 0.0
        self._messages = messages
        self._uplink = uplink
        self._speed = speed
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self, patience_s: float = 10.0) -> None:
        """Returns when all is played, or at `stop`, and confirmed, or after ``patience_s`` in vain."""
        began, uplink = monotonic(), self._uplink
        for message in self._messages:
            due_s = began + message.at_s / self._speed
            while not self._stop.is_set() and (wait_s := due_s - monotonic()) > 0:
                uplink.flush()
                await self._pause(max(wait_s, _TICK_S))
            timed_out = False
            while not self._stop.is_set() and uplink.room() <= 0 and not timed_out:
                uplink.flush()
                timed_out = not await self._room(patience_s)
            if self._stop.is_set() or timed_out:
                break
            uplink.send(message.topic.encode(), message.content, qos=message.qos, retain=message.retain)
            self.played += 1
            if self._speed < math.inf:
                self.lag_ms.add((monotonic() - due_s) * 1e3)
            if self.played % _SLICE == 0:
                uplink.flush()
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await uplink.until_confirmed()
        self.elapsed_s = monotonic() - began

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _room(self, patience_s: float) -> bool:
        """Wait for room; ``False`` when none came in time."""
        waits: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self._uplink.until_room()), asyncio.ensure_future(self._stop.wait()),
        ]  # fmt: skip
        try:
            done, _ = await asyncio.wait(waits, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for wait in waits:
                wait.cancel()
