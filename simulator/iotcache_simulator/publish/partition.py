"""One process's share of a fleet: some of its lanes, their connections, and what came of them."""

from __future__ import annotations

import asyncio
import math
import secrets
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from time import monotonic, time_ns
from typing import Any, Final

from msgspec import Struct

from iotcache.histogram import DurationHistogram
from iotcache.mqtt.codec import Will
from iotcache_simulator.faults.intervals import ListeningStream
from iotcache_simulator.fleet.lifecycle_payloads import LOST, birth, death, lifecycle_topic
from iotcache_simulator.fleet.load import LiveLoad
from iotcache_simulator.fleet.stream import SHARDS, Timeline
from iotcache_simulator.publish.announce import announced, default_instance, stats_uplink
from iotcache_simulator.publish.edge_events import edge_events
from iotcache_simulator.publish.identity import filled, identified
from iotcache_simulator.publish.lifecycle import DeviceLifecycles
from iotcache_simulator.publish.listening import Listening
from iotcache_simulator.publish.outages import outages
from iotcache_simulator.publish.plan.digest import StreamDigest
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of
from iotcache_simulator.publish.publisher import Publisher
from iotcache_simulator.publish.sparkplug_edge import SparkplugEdge, edges_of_part
from iotcache_simulator.publish.storm import storms
from iotcache_simulator.report.rate_bins import RateBins
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.device_tls import read_by_the_record
from iotcache_simulator.wire.dialect import Dialect
from iotcache_simulator.wire.dialect_uplink import DialectUplink
from iotcache_simulator.wire.uplink import Uplink

CONNECTING: Final = 64
"""Connections of a process that are made at a time: mosquitto lets 100 wait for it to accept them."""
_LOOK_S: Final = 0.25
"""How often is looked whether more connections came."""

Durations = tuple[list[tuple[int, int]], float, float]
"""A histogram on its way between processes."""


class PublishTotals(Struct, frozen=True, kw_only=True):
    """What one share, or all together, came to."""

    planned: int = 0
    published: int = 0
    confirmed: int = 0
    refused: int = 0
    resent: int = 0
    late: int = 0
    skipped: int = 0
    reconnects: int = 0
    elapsed_s: float = 0.0
    lag: Durations = ([], 0.0, 0.0)
    ack: Durations = ([], 0.0, 0.0)
    by_second: RateBins = RateBins()
    shards: dict[int, bytes] = {}
    """The digest of each lane of the share."""
    horizons: dict[int, int] = {}
    """For each lane, the virtual time (µs) before which everything was planned."""

    @property
    def lag_ms(self) -> DurationHistogram:
        return DurationHistogram.of_sparse(*self.lag)

    @property
    def ack_ms(self) -> DurationHistogram:
        return DurationHistogram.of_sparse(*self.ack)


def added(parts: Iterable[PublishTotals]) -> PublishTotals:
    """The tallies of all shares as one."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    shards: dict[int, bytes] = {}
    horizons: dict[int, int] = {}
    for part in parts:
        shards |= part.shards
        horizons |= part.horizons
    counts = ("planned", "published", "confirmed", "refused", "resent", "late", "skipped", "reconnects")
    return PublishTotals(
        elapsed_s=max((part.elapsed_s for part in parts), default=0.0),
        lag=_durations(part.lag_ms for part in parts),
        ack=_durations(part.ack_ms for part in parts),
        by_second=RateBins.added(part.by_second for part in parts),
        shards=shards,
        horizons=horizons,
        **{name: sum(getattr(part, name) for part in parts) for name in counts},
    )


def _durations(histograms: Iterable[DurationHistogram]) -> Durations:
    merged = DurationHistogram().merge(histograms)
    return merged.sparse(), merged.total_ms, merged.max_ms


class FleetPartition:
    """Part ``part`` of ``spec.processes``. An async context manager that holds the connections."""

    def __init__(self, spec: FleetSpec, target: BrokerTarget, part: int = 0) -> None:
        self.spec = spec
        self.roster = roster_of(spec)
        self.stopped = asyncio.Event()
        self._shards = spec.lanes(part)
        self._digest = StreamDigest(len(self.roster))
        self._instance = default_instance()
        self._edges: tuple[SparkplugEdge, ...] = ()
        own_devices = [device for device in range(len(self.roster)) if device % SHARDS in self._shards]
        count = max(1, -(-spec.connections // spec.processes))
        if spec.sparkplug:
            self._edges = edges_of_part(spec, self.roster, part)
            uplink_of = {device: number for number, edge in enumerate(self._edges) for device in edge.devices}
        elif spec.own_connections:
            uplink_of = {device: number for number, device in enumerate(own_devices)}
        else:
            uplink_of = {device: device % count for device in own_devices}
        self._uplink_of = uplink_of
        # Devices of other shares are never asked for.
        routes = array("L", (uplink_of.get(device, 0) for device in range(len(self.roster))))
        self.live_load = LiveLoad() if spec.control and spec.load is None else None
        self.stream = stream_of(
            spec,
            self.roster,
            spec.timeline(0),
            shards=self._shards,
            topic=(lambda device: self._edges[routes[device]].data_topic(device)) if self._edges else None,
            live=self.live_load,
        )
        members: dict[int, list[int]] = {}
        for device, number in uplink_of.items():
            members.setdefault(number, []).append(device)
        self.listening = Listening(self.roster, spec.faults, self.stream.scale) if spec.listen else None
        wills: list[Will | None] = [None] * count
        if spec.own_connections or spec.sparkplug:
            wills = [self._last_will(device) if spec.lifecycle else None for device in own_devices]
        in_order = [edge.devices[0] for edge in self._edges] or own_devices
        self.uplinks = uplinks(
            target, spec, wills=wills, dialects=self._edges, on_connected=self._connected,
            devices=[self._fields(device) for device in in_order] if spec.own_connections else (),
            listening=None if self.listening is None else (self.listening, members),
        )  # fmt: skip
        self._speaker = stats_uplink(target, self._instance) if spec.stats else None
        self._own_uplinks: dict[int, Uplink] = {}
        """By device, where each has a connection of its own."""
        self._edge_of = {
            device: (edge, uplink)
            for edge, uplink in zip(self._edges, self.uplinks, strict=bool(self._edges))
            if isinstance(uplink, DialectUplink)
            for device in edge.devices
        }
        if spec.own_connections and not spec.sparkplug:
            self._own_uplinks = {device: self.uplinks[number] for device, number in uplink_of.items()}
        self._lifecycles: DeviceLifecycles | None = None
        if spec.lifecycle or (not spec.sparkplug and any(kind.announce for kind in self.roster.classes)):
            self._lifecycles = DeviceLifecycles(
                self.roster, self.uplinks, members, self.stream.scale, lives=spec.lifecycle,
                version=None if self.listening is None else self.listening.version,
            )  # fmt: skip
        self.publisher = Publisher(
            self.stream,
            self.uplinks,
            devices=len(self.roster),
            routes=routes,
            speed=spec.speed,
            digest=self._digest,
            patience_s=spec.patience_s,
            count=spec.count,
            pad_bytes=spec.pad_bytes,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> FleetPartition:
        began, apart_s = monotonic(), self.spec.ramp_s / max(1, len(self.uplinks) - 1)
        for number, uplink in enumerate(self._all_uplinks()):
            if apart_s and 0 < number < len(self.uplinks) and not self.stopped.is_set():
                await asyncio.sleep(began + number * apart_s - monotonic())
            await self._stack.enter_async_context(uplink)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.listening is not None:
            await self.listening.close()
        # All at once: thousands of connections one after the other would take their time.
        await asyncio.gather(*(uplink.close() for uplink in self._all_uplinks()))
        await self._stack.aclose()

    def _all_uplinks(self) -> tuple[Uplink, ...]:
        return self.uplinks if self._speaker is None else (*self.uplinks, self._speaker)

    def announce(self, topic: str, payload: bytes) -> None:
        """Tell something beside the readings."""
        if self._speaker is not None:
            self._speaker.announce(topic, payload)

    def _fields(self, device: int) -> dict[str, str]:
        """What a template of client ids may say of a device."""
        roster = self.roster
        return {
            "device": roster.names[device], "site": roster.site(device),
            "class": roster.classes[roster.kinds[device]].name, "number": str(roster.number(device)),
        }  # fmt: skip

    def _last_will(self, device: int) -> Will:
        return Will(lifecycle_topic(self.roster, device, "death"), death(self.roster, device, LOST), 1)

    def _tell_birth(self, device: int, timeline: Timeline) -> None:
        """Tell a device's birth once more, as it was asked for it."""
        shown_us = time_ns() // 1_000 if timeline.shift_us else timeline.start_us
        version = None if self.listening is None else self.listening.version(device)
        payload = birth(
            self.roster,
            device,
            shown_us=shown_us,
            boot=timeline.boot,
            scale=self.stream.scale,
            version=version,
        )
        uplink = self.uplinks[self._uplink_of[device]]
        uplink.announce(lifecycle_topic(self.roster, device, "birth"), payload)

    def _connected(self) -> None:
        if self._lifecycles is not None:
            self._lifecycles.connected()

    async def connected(self) -> bool:
        """Wait for the connections; ``False`` when they did not come in time or a stop came first."""
        return await connected(self.uplinks, self.spec.connect_timeout_s, self.stopped)

    @property
    def reason(self) -> str:
        """Why there is no connection; empty when there are all."""
        return next((uplink.reason for uplink in self.uplinks if not uplink.connected), "")

    async def run(self, timeline: Timeline, began: float) -> None:
        """Publish from the moment ``began`` (`time.monotonic`) to the end, and await the confirmations."""
        self.stream.timeline = timeline
        speed = self.spec.speed
        async with AsyncExitStack() as stack:
            if self._speaker is not None:
                telling = announced(
                    self.publisher,
                    self._speaker,
                    self._instance,
                    devices=len(self.roster),
                    series=self.roster.series,
                    target_rate=None if speed == math.inf else round(self.stream.rate * speed, 3),
                )
                await stack.enter_async_context(telling)
            if self._lifecycles is not None:
                await stack.enter_async_context(self._lifecycles.announced(timeline))
            if self._own_uplinks and speed < math.inf:
                cuts = outages(self.roster, self._own_uplinks, timeline, began, speed)
                await stack.enter_async_context(cuts)
            if self.listening is not None:
                assert isinstance(self.stream, ListeningStream)
                acting = self.listening.acting(
                    self.stream, self.publisher, lambda at_us: began + at_us / 1e6 / speed,
                    lambda device: self._tell_birth(device, timeline),
                )  # fmt: skip
                await stack.enter_async_context(acting)
            if self._edge_of and speed < math.inf:
                events = edge_events(self.roster, self._edge_of, self.spec.faults, timeline, began, speed)
                await stack.enter_async_context(events)
            if self.spec.storms_s:
                storm = storms(self.uplinks, began, self.spec.storms_s, self.spec.storm_within_s)
                await stack.enter_async_context(storm)
            await self.publisher.run(began)

    def stop(self) -> None:
        """End the run early and cleanly."""
        self.stopped.set()
        self.publisher.stop()

    def totals(self) -> PublishTotals:
        """What came of it so far."""
        publisher = self.publisher
        shards = self._digest.shards()
        return PublishTotals(
            planned=publisher.counters.planned,
            published=publisher.published,
            confirmed=publisher.confirmed,
            refused=publisher.refused,
            resent=publisher.resent,
            late=publisher.counters.late,
            skipped=publisher.counters.skipped,
            reconnects=publisher.reconnects,
            elapsed_s=publisher.elapsed_s,
            lag=_durations([publisher.lag_ms]),
            ack=_durations(uplink.ack_ms for uplink in self.uplinks),
            by_second=publisher.rate.bins(),
            shards={shard: shards[shard] for shard in self._shards},
            horizons=dict.fromkeys(self._shards, publisher.horizon_us),
        )


def uplinks(
    target: BrokerTarget, spec: FleetSpec, *,
    wills: Sequence[Will | None] = (), dialects: Sequence[Dialect] = (),
    on_connected: Callable[[], None] | None = None, devices: Sequence[dict[str, str]] = (),
    listening: tuple[Listening, Mapping[int, Sequence[int]]] | None = None,
) -> tuple[Uplink, ...]:  # fmt: skip
    """Connections for a fleet, one for each of ``dialects``, or of ``wills`` when there are none.

    ``devices`` says whose each is, where each device has one of its own. ``listening``: with the devices of
    each connection, where they follow what they are told.
    """
    made: list[Uplink] = []

    def subscribed(n: int) -> dict[str, Any]:
        if listening is None:
            return {}
        devices, members = listening[0], listening[1].get(n, ())
        return {
            "subscriptions": devices.filters(members),
            "on_message": devices.recipient(members, lambda: made[n]),
        }

    tag = secrets.token_hex(4)
    # Where all handshakes were under way at once, most would take longer than a broker or we have patience.
    gate = asyncio.Semaphore(CONNECTING)
    if target.tls is not None and len(wills) > CONNECTING:
        read_by_the_record()

    def fields(n: int) -> dict[str, str]:
        return {"tag": tag, "connection": str(n + 1), **(devices[n] if devices else {})}

    def client_id(n: int) -> str:
        return filled(spec.client_id or "iotcache-sim-{tag}-{connection}", fields(n))

    if dialects:
        return tuple(
            DialectUplink(
                identified(target, spec, fields(n)), client_id(n), dialect,
                qos=spec.qos, user_properties=spec.user_properties, topic_aliases=spec.topic_aliases,
                gate=gate,
            )
            for n, dialect in enumerate(dialects)
        )  # fmt: skip
    made += [
        Uplink(
            identified(target, spec, fields(n)),
            client_id(n),
            qos=spec.qos,
            retain=spec.retain,
            will=will,
            on_connected=on_connected,
            persistent=spec.persistent,
            user_properties=spec.user_properties,
            topic_aliases=spec.topic_aliases,
            gate=gate,
            **subscribed(n),
        )
        for n, will in enumerate(wills)
    ]
    return tuple(made)


async def connected(uplinks: Sequence[Uplink], timeout_s: float | None, stopped: asyncio.Event) -> bool:
    """Wait until every uplink has its connection; ``False`` on a stop, or when none more came for
    ``timeout_s``."""

    async def all_connected() -> None:
        for uplink in uplinks:
            while not uplink.connected:
                await uplink.until_room()

    waits = [asyncio.ensure_future(all_connected()), asyncio.ensure_future(stopped.wait())]
    patience_s = math.inf if timeout_s is None else timeout_s
    most, at_s, left_s = 0, monotonic(), patience_s
    try:
        while left_s > 0.0:
            looking = asyncio.wait(waits, timeout=min(_LOOK_S, left_s), return_when=asyncio.FIRST_COMPLETED)
            if (await looking)[0]:
                break
            if (count := sum(uplink.connected for uplink in uplinks)) > most:
                most, at_s = count, monotonic()
            left_s = at_s + patience_s - monotonic()
    finally:
        for wait in waits:
            wait.cancel()
    return waits[0].done() and not waits[0].cancelled() and not stopped.is_set()
