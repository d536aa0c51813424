"""What the traffic of one node comes to: its curves, its frequent keys, its misses by second.

Counting is for all keys and by the batch; only sampled keys are looked at one by one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from iotcache.advisor.hot_keys import HotKey, SpaceSaving
from iotcache.advisor.item_size import DEFAULT_CHUNKS, Chunks, item_bytes
from iotcache.advisor.references import Found, Kind, Reference, key_hash
from iotcache.advisor.sampler import GROUPS, Sampler
from iotcache.traffic.groups import Groups, pattern
from iotcache.traffic.watch_lines import WatchEvent, What

_FOUND: Final = {What.HIT: Found.HIT, What.MISS: Found.MISS, What.EXPIRED: Found.MISS}
_PEAK_LEAST: Final = 20
"""Misses in the worst second, below which a peak is chance."""
_PEAK_SECONDS: Final = 30
_WAITING_MOST: Final = 100_000
_PEAK_SPAN_S: Final = 900
"""How far back the worst second is looked for."""
_LIVES: Final = 63
"""Sets of each group whose lives are remembered."""
_ALIKE: Final = 1.25
"""Lives are alike when half of them differ from their median by no more than this factor."""
MARKS: Final = b"iotcache:"
"""What our own clients' marks on nodes begin with (fence, ring): no application reads or sizes them."""
TICK_S: Final = 1.0
"""memcached's clock goes by the second: an entry lives up to one less than its TTL says."""


class TrafficMeter:
    """Feed it events in their order. Memory is bounded, whatever the number of keys."""

    def __init__(
        self,
        memory_bytes: int,
        groups: Groups,
        *,
        chunks: Mapping[int, int] | None = None,
        rate: float = 1.0,
        sizes: Sequence[int] = (),
    ) -> None:
        self.sampler = Sampler(memory_bytes, sizes=sizes, rate=rate, tick_s=TICK_S)
        self.groups = groups
        self.chunks = dict(chunks or {})
        """Chunk size by class number, as the node says."""
        self.gets, self.misses, self.sets = SpaceSaving(), SpaceSaving(), SpaceSaving()
        self.bytes = SpaceSaving()
        """Bytes moved by key, in both directions."""
        self.counts = [0] * len(What)
        self.mark_gets = self.mark_misses = 0
        """Of `MARKS`, which count nowhere else."""
        self.group_gets, self.group_hits = [0.0] * GROUPS, [0.0] * GROUPS
        """Of all keys, as the node answered."""
        self.lives: list[deque[float]] = [deque(maxlen=_LIVES) for _ in range(GROUPS)]
        """Of the last sets."""
        self._sizes = Chunks(self.chunks.values()) if self.chunks else DEFAULT_CHUNKS
        self._missed: set[bytes] = set()
        """Sampled keys that a get missed, and no set followed as yet."""
        self._by_second: dict[tuple[int, int], int] = {}
        self._began_s = self._ended_s = self._rested_s = 0.0

    @property
    def seconds(self) -> float:
        """From the first event to the last, by the node's clock, less the rests."""
        return self._ended_s - self._began_s - self._rested_s

    def rested(self, seconds: float) -> None:
        """Events went by unseen for so long."""
        self._rested_s += seconds
        self._missed.clear()
        self.sampler.gap()

    @property
    def hit_ratio(self) -> float | None:
        """Of the gets seen, as the node answered them."""
        hits, gets = self.counts[What.HIT], sum(self.counts[What.HIT : What.SET])
        return hits / gets if gets else None

    def samples(self, key: bytes) -> bool:
        """Whether the key is in the sample, as it is now."""
        return key_hash(key) < self.sampler.threshold

    def seed(self, key: bytes, size: int, used_s: float, expires_s: float, now_s: float) -> None:
        """An entry that the node held before the first event; the one used longest ago comes first."""
        number = key_hash(key)
        if number < self.sampler.threshold and not key.startswith(MARKS):
            reference = Reference(
                number, Kind.WRITE, now_s, self._sizes.chunk(size), 0.0, self.groups.number(key, read=False)
            )
            self.sampler.seed(reference, used_s, expires_s)

    def feed(self, events: Sequence[WatchEvent]) -> None:
        """Count them all, and sample."""
        events = self._without_marks(events)
        if not events:
            return
        self._began_s = self._began_s or events[0].time_s
        self._ended_s = max(self._ended_s, events[-1].time_s)
        gets = Counter(event.key for event in events if event.what <= What.EXPIRED)
        misses = Counter(event.key for event in events if event.what in (What.MISS, What.EXPIRED))
        sets = Counter(event.key for event in events if event.what is What.SET)
        moved: Counter[bytes] = Counter()
        for event in events:
            self.counts[event.what] += 1
            if event.size:
                moved[event.key] += event.size
            if event.what is What.SET:
                self.lives[self.groups.number(event.key, read=False)].append(event.ttl_s)
        by_group: Counter[int] = Counter()
        for key, number in gets.items():
            group = self.groups.number(key)
            by_group[group] += number
            self.group_gets[group] += number
            self.group_hits[group] += number - misses[key]
        self.sampler.count(by_group)
        for counter, counts in (
            (self.gets, gets), (self.misses, misses), (self.sets, sets), (self.bytes, moved),
        ):  # fmt: skip
            counter.add(counts)
        self._note_misses(events)
        for event in events:
            number = key_hash(event.key)
            if number < self.sampler.threshold:
                self.sampler.take(self._reference(event, number))

    def _without_marks(self, events: Sequence[WatchEvent]) -> Sequence[WatchEvent]:
        marks = [event.what for event in events if event.key.startswith(MARKS)]
        if not marks:
            return events
        self.mark_gets += sum(what <= What.EXPIRED for what in marks)
        self.mark_misses += sum(what in (What.MISS, What.EXPIRED) for what in marks)
        return [event for event in events if not event.key.startswith(MARKS)]

    def _note_misses(self, events: Iterable[WatchEvent]) -> None:
        for event in events:
            if event.what in (What.MISS, What.EXPIRED) and len(self._by_second) < _WAITING_MOST:
                at = (self.groups.number(event.key), int(event.time_s))
                self._by_second[at] = self._by_second.get(at, 0) + 1

    def _reference(self, event: WatchEvent, number: int) -> Reference:
        key, what = event.key, event.what
        chunk = self.chunks.get(event.slab, 0)
        if not chunk and event.size:
            chunk = self._sizes.chunk(item_bytes(len(key), event.size))
        found = _FOUND.get(what, Found.UNKNOWN)
        if what is What.SET:
            kind = Kind.FILL if key in self._missed else Kind.WRITE
            self._missed.discard(key)
        elif what is What.DELETE:
            kind = Kind.DELETE
        else:
            kind = Kind.GET
            if found is Found.MISS and len(self._missed) < _WAITING_MOST:
                self._missed.add(key)
            elif found is Found.HIT:
                self._missed.discard(key)
        group = self.groups.number(key, read=kind is Kind.GET)
        return Reference(number, kind, event.time_s, chunk, event.ttl_s, group, found)

    def fade(self, share: float) -> None:
        """Let what was counted until now weigh only ``share`` of what it does."""
        self.sampler.fade(share)
        for counter in (self.gets, self.misses, self.sets, self.bytes):
            counter.fade(share)
        span_s = self._ended_s - self._began_s
        if span_s > _PEAK_SPAN_S:
            self._began_s = self._ended_s - _PEAK_SPAN_S
            self._rested_s *= _PEAK_SPAN_S / span_s
        old = int(self._began_s)
        self._by_second = {at: count for at, count in self._by_second.items() if at[1] >= old}

    # Results

    def set_ttl(self, group: int) -> float | None:
        """The life that the last sets of the group were given: the median where half of them are near it.

        ``None`` before there are any, and where lives are mixed: their median is now this and now that.
        """
        lives = sorted(self.lives[group])
        if not lives:
            return None
        life, quarter = lives[len(lives) // 2], len(lives) // 4
        alike = life <= _ALIKE * lives[quarter] and lives[-1 - quarter] <= _ALIKE * life
        return life if alike else None

    def peak(self, group: int) -> float:
        """Misses of the group in the worst second, as a multiple of their mean; 1 when it is chance."""
        misses = [count for (at, _), count in self._by_second.items() if at == group]
        if self.seconds < _PEAK_SECONDS or not misses or max(misses) < _PEAK_LEAST:
            return 1.0
        return max(misses) / max(sum(misses) / self.seconds, 1e-9)

    def prefixes(self, number: int) -> list[HotKey]:
        """The most frequent beginnings of keys (to their first ``:``, ``/`` or ``.``) among frequent keys.

        Numbers in them count as one: ``device#:``.
        """
        counted: dict[bytes, float] = {}
        errors: dict[bytes, float] = {}
        for one in self.gets.top(1_024):
            cut = min((at for at in map(one.key.find, (b":", b"/", b".")) if at > 0), default=-1)
            prefix = pattern(one.key[: cut + 1] if cut > 0 else one.key).encode()
            counted[prefix] = counted.get(prefix, 0.0) + one.count
            errors[prefix] = errors.get(prefix, 0.0) + one.error
        best = sorted(counted, key=lambda key: -counted[key])[:number]
        return [HotKey(key, counted[key], errors[key]) for key in best]
