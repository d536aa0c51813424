"""What other processes tell of themselves: the counters each publishes once a second."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from iotcache.clock import Clock
from iotcache.config.schema import Settings
from iotcache.mqtt import LinkState, Message, MqttLink
from iotcache.text import printable
from iotcache_tui.feed.parts import Parts
from iotcache_tui.state.updates import Worker

STATS_TOPIC = "iotcache/stats/+/+"
SILENT_S = 5.0
"""A worker not heard of for this long is taken for gone."""
WORKERS_KEPT = 200
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Rate:
    """A rate from a counter that another process publishes."""

    __slots__ = ("_at_s", "_count", "per_s")

    def __init__(self) -> None:
        self._count: float | None = None
        self._at_s = 0.0
        self.per_s: float | None = None

    def heard(self, count: float, at_s: float) -> None:
        if self._count is not None and at_s > self._at_s:
            # A counter that fell belongs to a new process: it counts from zero.
            grown = count - self._count if count >= self._count else count
            now = grown / (at_s - self._at_s)
            self.per_s = now if self.per_s is None else 0.5 * self.per_s + 0.5 * now
        self._count, self._at_s = count, at_s


class WorkerStatsListener:
    """Listens on the broker for the workers' counters, and says how the broker is."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._rates: dict[str, _Rate] = {}

    async def listen(self, settings: Settings) -> None:
        """Run until cancelled; the link heals by itself."""
        name = f"iotcache-dashboard-{os.getpid()}-{secrets.token_hex(3)}"
        link = MqttLink.from_settings(
            settings.broker, name, subscriptions=((STATS_TOPIC, 0),), on_state=self._broker_turned
        )
        async with link:
            while True:
                for message in await link.batch(500):
                    self._heard(message)

    def _broker_turned(self, state: LinkState, reason: str) -> None:
        if state is LinkState.CONNECTED:
            self._parts.turn("broker", "up")
        elif state is LinkState.AWAY:
            self._parts.turn("broker", "down", reason)

    def _heard(self, message: Message) -> None:
        _, _, role, instance = message.topic.split("/", 3)
        name = f"{role}/{instance}"
        try:
            counters: Mapping[str, Any] = _decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if counters.get("state") == "gone":
            self._workers.pop(name, None)
            self._rates.pop(name, None)
            return
        if message.retain or (name not in self._workers and len(self._workers) >= WORKERS_KEPT):
            return  # a retained one may be from long ago: the next live one is at most a second away
        now_s = self._clock.monotonic()
        self._workers[name] = Worker(printable(role, 20), printable(instance, 60), now_s, counters)
        count = counters.get("published" if role == "simulator" else "received")
        if isinstance(count, int | float):
            self._rates.setdefault(name, _Rate()).heard(count, now_s)

    def workers(self, now_s: float) -> dict[str, Worker]:
        """Those heard of lately; the silent are forgotten."""
        for name in [name for name, worker in self._workers.items() if now_s - worker.at_s > SILENT_S]:
            del self._workers[name]
            self._rates.pop(name, None)
        return dict(self._workers)

    def rates(self, now_s: float) -> tuple[float | None, float | None]:
        """Messages a second that all ingest workers took in, and that all simulators sent."""
        return self._sum("ingest/"), self._sum("simulator/")

    def _sum(self, prefix: str) -> float | None:
        known = [rate.per_s for name, rate in self._rates.items() if name.startswith(prefix)]
        heard = [per_s for per_s in known if per_s is not None]
        return sum(heard) if heard else None
