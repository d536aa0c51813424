"""Looks into the nodes for the key browser: counts, crawls, values, and deleting one key."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from iotcache.cluster.node_client import ItemValue, NodeClient
from iotcache.cluster.wire.metadump import DumpedItem
from iotcache.config.parts import NONE
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.entry_codec import FLAG_COMPRESSED, decode_cached, unpack
from iotcache.errors import CorruptValue, KeyFormatError, NodeError
from iotcache.keys import unescape
from iotcache.model import Series
from iotcache.text import printable, printable_bytes
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.keys.model import (
    CLASSES,
    CachedValue,
    ChangeKeys,
    CountKeys,
    CrawlKeys,
    CrawlStep,
    Deleted,
    DeleteKey,
    FetchValue,
    KeyChunk,
    KeyCounts,
    NodeCrawl,
    Total,
    class_of,
    group_of,
)
from iotcache_tui.state.requests import ActionProgress

STEP_S: Final = 0.2
"""How often a crawl tells how far it is."""
CHANGED_AT_ONCE: Final = 500
GROUPS_COUNTED_MOST: Final = 5_000
GROUPS_SHOWN: Final = 60
VALUE_MOST_BYTES: Final = 1 << 20
LINES_MOST: Final = 20_000
_CLASS_CODES: Final = {name: code for code, name in enumerate(CLASSES)}
_OTHERS: Final = "(others)"


def _addresses(context: RequestContext) -> list[NodeAddress]:
    nodes = context.settings.cache.nodes
    return [] if isinstance(nodes, str) else [parse_node(node) for node in nodes]


def _line(context: RequestContext, name: str) -> NodeClient:
    for address in _addresses(context):
        if address.name == name:
            return NodeClient(address, context.settings.cache)
    raise NodeError(f"no node is called {printable(name, 80)}")


async def count(request: CountKeys, context: RequestContext) -> AsyncIterator[KeyCounts]:
    """``curr_items`` of each, over the cluster's own connections."""
    stats = await context.cache.cluster.node_stats()
    health = {node.name: node for node in context.cache.cluster.health()}
    yield KeyCounts(
        tuple(
            NodeCrawl(name, one.curr_items)
            if one is not None
            else NodeCrawl(name, state="failed", why=printable(health[name].reason, 120) or "does not answer")
            for name, one in stats.items()
        )
    )


class _Sums:
    """Items and bytes by name; past a bound new names go into one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sums: dict[str, list[int]] = {}

    def add(self, name: str, size: int) -> None:
        found = self._sums.get(name)
        if found is None:
            if len(self._sums) >= self._most:
                name = _OTHERS
            found = self._sums.setdefault(name, [0, 0])
        found[0] += 1
        found[1] += size

    def totals(self, most: int) -> tuple[Total, ...]:
        """The largest first; the rest summed up at the end."""
        ranked = sorted(self._sums.items(), key=lambda item: -item[1][1])
        rest = [sums for name, sums in ranked if name == _OTHERS]
        ranked = [item for item in ranked if item[0] != _OTHERS]
        rest += [sums for _, sums in ranked[most:]]
        totals = [Total(printable(name, 60), *sums) for name, sums in ranked[:most]]
        if rest:
            totals.append(Total(_OTHERS, sum(one[0] for one in rest), sum(one[1] for one in rest)))
        return tuple(totals)


class _Crawl:
    """What a crawl has come by."""

    def __init__(self, names: Sequence[str], keys_max: int, prefix: str) -> None:
        self._states = {name: NodeCrawl(name) for name in names}
        self._codes = {name: min(code, 255) for code, name in enumerate(names)}
        self._room = keys_max
        self._prefix = prefix
        self._classes = _Sums(len(CLASSES))
        self._groups = _Sums(GROUPS_COUNTED_MOST)
        self._fresh: list[tuple[DumpedItem, int, int, float]] = []

    def note(self, name: str, **changes: object) -> None:
        self._states[name] = msgspec.structs.replace(self._states[name], **changes)

    def take(self, name: str, items: Sequence[DumpedItem], ahead_s: float) -> None:
        """``ahead_s``: by how much the node's clock is ahead of ours."""
        code = self._codes[name]
        for item in items:
            key = item.key.decode("utf-8", "surrogateescape")
            kind = class_of(key, self._prefix)
            self._classes.add(kind, item.size)
            self._groups.add(group_of(key, self._prefix), item.size)
            if self._room > 0:
                self._room -= 1
                self._fresh.append((item, code, _CLASS_CODES[kind], ahead_s))
        self.note(name, seen=self._states[name].seen + len(items))

    def step(self) -> CrawlStep:
        fresh, self._fresh = self._fresh, []
        chunk = KeyChunk(
            [item.key for item, *_ in fresh],
            bytes(code for _, code, *_ in fresh),
            bytes(kind for _, _, kind, _ in fresh),
            [item.size for item, *_ in fresh],
            [item.expires_s - ahead_s for item, _, _, ahead_s in fresh],
            [item.used_s - ahead_s for item, _, _, ahead_s in fresh],
            bytes(min(item.slab, 255) for item, *_ in fresh),
            bytes(item.fetched for item, *_ in fresh),
        )
        return CrawlStep(
            tuple(self._states.values()),
            chunk if fresh else None,
            self._classes.totals(len(CLASSES)),
            self._groups.totals(GROUPS_SHOWN),
        )


async def crawl(request: CrawlKeys, context: RequestContext) -> AsyncIterator[CrawlStep]:
    """One node after the other: a crawl is to be no burden. A node that fails is told of and passed over."""
    addresses = _addresses(context)
    found = _Crawl([one.name for one in addresses], request.keys_max, context.settings.cache.prefix)
    yield found.step()
    reported_s = context.clock.monotonic()
    for address in addresses:
        try:
            async with NodeClient(address, context.settings.cache) as line:
                stats = await line.stats()
                ahead_s = _ahead_s(stats, context.clock.now())
                found.note(address.name, items=_figure(stats, "curr_items"), state="crawling")
                async for items in line.dump():
                    found.take(address.name, items, ahead_s)
                    if context.clock.monotonic() - reported_s >= STEP_S:
                        yield found.step()
                        reported_s = context.clock.monotonic()
                    await asyncio.sleep(0)  # a full socket must not keep everything else waiting
            found.note(address.name, state="done")
        except NodeError as error:
            found.note(address.name, state="failed", why=printable(str(error), 160))
    yield found.step()


def _ahead_s(stats: dict[str, str], now_s: float) -> float:
    """By how much the node's clock is ahead of ours; within its resolution of a second it is not."""
    ahead_s = _figure(stats, "time") - now_s if "time" in stats else 0.0
    return 0.0 if abs(ahead_s) < 2.0 else float(round(ahead_s))


def _figure(stats: dict[str, str], name: str) -> int:
    text = stats.get(name, "")
    return int(text) if text.isdigit() and len(text) < 20 else 0


# One key


async def fetch(request: FetchValue, context: RequestContext) -> AsyncIterator[CachedValue]:
    """The value under a key, made readable as far as that goes."""
    node = request.node
    if not node:
        node = context.cache.cluster.node_of(request.key.decode("ascii", "replace"))
    async with _line(context, node) as line:
        held = await line.value(request.key, VALUE_MOST_BYTES)
    now_s = context.clock.now()
    if held is None:
        yield CachedValue(request.key, node, False, now_s)
    else:
        # A megabyte takes a third of a second to inflate and lay out: others are not to wait for it.
        yield await asyncio.to_thread(readable, request.key, node, held, now_s)


def readable(key: bytes, node: str, held: ItemValue, now_s: float) -> CachedValue:
    """Inflate and lay out a value, within bounds."""
    problem, inflated = "", held.value
    if len(held.value) < held.size:
        problem = f"cut after {len(held.value):,} of {held.size:,} bytes"
    if held.flags & FLAG_COMPRESSED:
        try:
            inflated = unpack(held.value, FLAG_COMPRESSED)
        except CorruptValue as error:
            problem = problem or printable(str(error), 200)
    form, lines = _laid_out(inflated)
    if len(lines) > LINES_MOST:
        lines = [*lines[:LINES_MOST], "…"]
        problem = problem or f"the first {LINES_MOST:,} lines are shown"
    return CachedValue(
        key, node, True, now_s, held.value, held.size, held.flags, held.ttl_s, inflated, form,
        _meaning(key, held), tuple(lines), problem,
    )  # fmt: skip


def _meaning(key: bytes, held: ItemValue) -> str:
    """The decoded reading of a ``latest`` key."""
    if not key.endswith(b":latest"):
        return ""
    try:
        cached = decode_cached(held.value, held.flags)
    except CorruptValue:
        return ""
    measured_s = cached.ts / 1e6
    clock = time.strftime("%H:%M:%S", time.localtime(measured_s))
    shown = ("on" if cached.value else "off") if isinstance(cached.value, bool) else cached.value
    parts = [f"{shown} {cached.unit}".strip(), f"measured {clock}.{cached.ts // 1000 % 1000:03d}"]
    if cached.received:
        parts.append(f"received {(cached.received - cached.ts) / 1e3:.0f} ms later")
    if cached.interval_s:
        parts.append(f"every {cached.interval_s:g} s")
    return "  ".join(parts)


def _laid_out(raw: bytes) -> tuple[str, list[str]]:
    try:
        if raw and raw[:1] in b'{["':
            # It may be nested as deep as no program's own, or look like JSON and be none, as with NaN in it.
            with contextlib.suppress(RecursionError, msgspec.DecodeError):
                return "JSON", msgspec.json.format(raw, indent=2).decode().splitlines()
        text = raw.decode()
    except UnicodeDecodeError:
        return "binary", printable_bytes(raw, 4_000).splitlines()
    return "text", text.splitlines() or [""]


async def delete(request: DeleteKey, context: RequestContext) -> AsyncIterator[Deleted]:
    """Where the key is a series' own, on the node that owns it, the cache is told; else only the node."""
    cache = context.cache
    try:
        key = request.key.decode("ascii")
        series = _series_of(key, context)
        ours = cache.cluster.node_of(key) == request.node
    except (UnicodeDecodeError, KeyFormatError):
        series, ours = None, False
    if series is not None and ours and context.settings.store.url != NONE:
        async with context.writer() as writer:
            (outcome,) = await writer.invalidate([series])
        if not outcome.ok:
            raise NodeError(outcome.reason)
        yield Deleted(not outcome.reason)
        return
    async with _line(context, request.node) as line:
        yield Deleted(await line.delete(request.key))


async def change(request: ChangeKeys, context: RequestContext) -> AsyncIterator[ActionProgress]:
    """In batches, one node after the other; it ends between two of them when nobody waits any more.

    A node that fails is passed over: what it still had of the keys counts as failed.
    """
    total = sum(len(keys) for _, keys in request.keys)
    done = changed = failed = 0
    why = ""
    yield ActionProgress(0, total, 0)
    for name, keys in request.keys:
        at = 0
        try:
            async with _line(context, name) as line:
                for at in range(0, len(keys), CHANGED_AT_ONCE):
                    part = keys[at : at + CHANGED_AT_ONCE]
                    touched = line.touch_many(part, request.ttl_s) if request.ttl_s else None
                    changed += await (touched or line.delete_many(part))
                    done += len(part)
                    yield ActionProgress(done, total, changed, failed, why)
        except NodeError as error:
            failed, why = failed + len(keys) - at, f"{name}: {printable(str(error), 120)}"
            done += len(keys) - at
            yield ActionProgress(done, total, changed, failed, why)


def _series_of(key: str, context: RequestContext) -> Series | None:
    """The series whose newest reading lies under ``key``, so that the next miss knows why."""
    parts = key.removeprefix(context.settings.cache.prefix).split(":")
    if len(parts) != 3 or parts[2] != "latest" or not all(parts):
        return None
    series = Series(unescape(parts[0]), unescape(parts[1]))
    return series if context.cache.keys.latest(*series) == key else None
