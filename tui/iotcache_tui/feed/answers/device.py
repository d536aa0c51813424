"""Answers what the device screen asks: keys, documents, history, one read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from iotcache.cluster.types import ItemInfo
from iotcache.keys import Keys, unescape
from iotcache.model import DocumentRead, Read, Reading
from iotcache.model.alerts import AlertState
from iotcache.text import printable
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.device.model import (
    SENSORS_MOST,
    STATES_MOST,
    AlertView,
    DeviceAlerts,
    DeviceDocuments,
    DeviceKeys,
    DocumentView,
    History,
    InspectDevice,
    KeyFacts,
    ReadAlerts,
    ReadDocuments,
    ReadHistory,
    ReadNow,
    figure,
    state_text,
)
from iotcache_tui.state.reasons import label_of

READINGS_MOST: Final = 20_000
"""Of one history: a day at one reading in four seconds."""
BUCKETS_MOST: Final = 240
DOCUMENT_LINES_MOST: Final = 400
ALERTS_MOST: Final = 50


async def inspect(request: InspectDevice, context: RequestContext) -> AsyncIterator[DeviceKeys]:
    """``me`` of each key: counts nowhere, keeps nothing alive."""
    keys, now_s = context.cache.keys, context.clock.now()
    wanted = _keys_of(keys, request.device, request.sensors[:SENSORS_MOST], int(now_s * 1e6))
    probes = await context.cache.cluster.probe_many([key for key, _, _ in wanted])
    yield DeviceKeys(
        request.device,
        context.clock.now(),
        tuple(
            _facts(key, kind, sensor, probe)
            for (key, kind, sensor), probe in zip(wanted, probes, strict=True)
        ),
    )


def _keys_of(keys: Keys, device: str, sensors: Sequence[str], now_us: int) -> list[tuple[str, str, str]]:
    found = [(keys.latest(device, sensor), "latest", sensor) for sensor in sensors]
    found += [(keys.bucket(device, sensor, now_us), "bucket", sensor) for sensor in sensors]
    return [*found, (keys.meta(device), "meta", ""), (keys.config(device), "cfg", "")]


def _facts(key: str, kind: str, sensor: str, probe: ItemInfo) -> KeyFacts:
    return KeyFacts(
        key, kind, sensor, probe.node, probe.present, probe.ttl_s, probe.age_s, probe.size, probe.fetched,
        label_of(probe.failure or ""),
    )  # fmt: skip


async def documents(request: ReadDocuments, context: RequestContext) -> AsyncIterator[DeviceDocuments]:
    """Both at once; one that is missing in the cache comes from the store and is put back."""
    meta, config = await asyncio.gather(
        context.cache.meta(request.device), context.cache.config(request.device)
    )
    yield DeviceDocuments(request.device, _document(meta), _document(config))


def _document(read: DocumentRead) -> DocumentView:
    lines: list[str] = []
    if read.version is not None:
        lines = msgspec.json.format(msgspec.json.encode(read.content), indent=2).decode().splitlines()
    if len(lines) > DOCUMENT_LINES_MOST:
        lines = [*lines[:DOCUMENT_LINES_MOST], "…"]
    return DocumentView(
        read.kind.value, read.version, tuple(lines), read.source.value, read.node, read.ttl_s,
        read.at_us / 1e6, label_of(read.miss_reason or ""), read.error,
    )  # fmt: skip


async def alerts(request: ReadAlerts, context: RequestContext) -> AsyncIterator[DeviceAlerts]:
    """Out of all that stand: there are few, or nobody would look at them."""
    found: list[AlertView] = []
    for alert in await context.cache.store.alerts.active():
        device, _, sensor = alert.subject.partition(":")
        if unescape(device) == request.device and len(found) < ALERTS_MOST:
            found.append(
                AlertView(
                    printable(alert.name, 60), printable(unescape(sensor), 60), alert.severity,
                    alert.state is AlertState.ACKNOWLEDGED, alert.since_us / 1e6, printable(alert.text, 200),
                )
            )  # fmt: skip
    yield DeviceAlerts(request.device, tuple(found))


async def history(request: ReadHistory, context: RequestContext) -> AsyncIterator[History]:
    """What the store has, thinned out; and which of its minutes lie in the cache."""
    until_s = context.clock.now()
    since_s = until_s - request.span_s
    # A device's clock may be ahead of ours.
    readings = await context.cache.store.history(
        request.series, int(since_s * 1e6), int((until_s + 60.0) * 1e6), READINGS_MOST
    )
    cached = await _cached_stretches(request, context, since_s, until_s)
    yield await asyncio.to_thread(drawn, request, readings, until_s, cached)


def drawn(
    request: ReadHistory, readings: Sequence[Reading], until_s: float, cached: tuple[tuple[float, float], ...]
) -> History:
    """Readings as the points of a curve."""
    times = [reading.ts_us / 1e6 for reading in readings]
    states: tuple[str, ...] = ()
    if any(isinstance(reading.value, str | bool) for reading in readings):
        labels = [state_text(reading.value) for reading in readings]
        states = tuple(sorted(set(labels)))
        if len(states) > STATES_MOST:
            states, times, values = (), [], []
        else:
            code = {label: float(at) for at, label in enumerate(states)}
            values = [code[label] for label in labels]
    else:
        values = [figure(reading.value) for reading in readings]
    times, values = thinned(times, values, request.points)
    return History(
        request.series, request.span_s, until_s, times, values, states, len(readings),
        len(readings) < READINGS_MOST, cached,
    )  # fmt: skip


def thinned(times: list[float], values: list[float], points: int) -> tuple[list[float], list[float]]:
    """At most twice ``points`` of them: least and greatest of each stretch, so that no peak is lost."""
    if len(times) <= 2 * points:
        return times, values
    first, width = times[0], (times[-1] - times[0]) / points or 1.0
    indices: list[int] = []
    start = 0
    for slot in range(1, points + 1):
        end = start
        limit = first + slot * width if slot < points else float("inf")
        while end < len(times) and times[end] < limit:
            end += 1
        if end > start:
            stretch = range(start, end)
            indices += sorted({min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)})
        start = end
    return [times[at] for at in indices], [values[at] for at in indices]


async def _cached_stretches(
    request: ReadHistory, context: RequestContext, since_s: float, until_s: float
) -> tuple[tuple[float, float], ...]:
    keys = context.cache.keys
    size = keys.bucket_s
    last = int(until_s) // size
    starts = range(max(int(since_s) // size, last - BUCKETS_MOST + 1), last + 1)
    wanted = [keys.bucket(*request.series, start * size * 1_000_000) for start in starts]
    probes = await context.cache.cluster.probe_many(wanted)
    found: list[tuple[float, float]] = []
    for start, probe in zip(starts, probes, strict=True):
        if not probe.present:
            continue
        begin, end = float(start * size), float((start + 1) * size)
        if found and found[-1][1] == begin:
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return tuple(found)


async def read_now(request: ReadNow, context: RequestContext) -> AsyncIterator[Read]:
    """As this dashboard reads everything."""
    yield await context.cache.read(*request.series)
