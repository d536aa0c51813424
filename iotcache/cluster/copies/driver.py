"""Who changes the list of hot keys: each stage is put on all nodes and stands for a lease; then the next.

See `iotcache.cluster.copies.hot_keys`. A list whose driver dies half-way does no harm: its keys are written
to more nodes than they are read from. Whoever asks for a list next goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from iotcache.cluster.copies.hot_keys import MOST_COPIES, MOST_KEYS, HotStage, announced, following
from iotcache.cluster.wire.protocol import checked_key
from iotcache.errors import RingBusy, RingRefused

if TYPE_CHECKING:
    from iotcache.cluster.fence import Fences
    from iotcache.cluster.rings.driver import RingDriver
    from iotcache.cluster.rings.looks import RingLooks
    from iotcache.cluster.rings.record import RingRecord
    from iotcache.cluster.rings.resizing import Resizing


class HotKeyDriver:
    """Brings a list of hot keys to all clients."""

    def __init__(self, fences: Fences, looks: RingLooks, driver: RingDriver, resizing: Resizing) -> None:
        self._fences = fences
        self._looks = looks
        self._driver = driver
        self._resizing = resizing

    async def set(self, keys: Sequence[str], copies: int) -> None:
        """Have copies of ``keys``, and of no other, on ``copies`` nodes each.

        Raises `RingBusy` where the ring, or the list, is changed meanwhile, `RingRefused` for what cannot be.
        """
        wanted = tuple(dict.fromkeys(keys))
        for key in wanted:
            checked_key(key)
        if self._fences.observe:
            raise RingRefused("a client that only observes changes no list of hot keys")
        if len(wanted) > MOST_KEYS or not 1 < copies <= MOST_COPIES:
            raise RingRefused(f"at most {MOST_KEYS} keys have copies, on 2 to {MOST_COPIES} nodes each")
        async with self._driver.busy:
            self._looks.driving = True
            try:
                await self._carry_out(wanted, copies)
            finally:
                self._looks.driving = False

    async def _carry_out(self, keys: tuple[str, ...], copies: int) -> None:
        record = self._resizing.base()
        if record.change is not None:
            raise RingBusy("a change of the ring is under way")
        hot = record.hot
        if hot is None:
            if not keys:
                return
        elif hot.stage is HotStage.READ and (hot.keys, hot.copies) == (keys, copies):
            return
        record = self._next(record)
        record = replace(record, hot=announced(hot, record.seq, keys, copies))
        self._looks.offer(record)
        while True:
            if not await self._driver.stand(record):
                raise RingBusy("another change of the ring, or of hot keys, was announced first")
            hot = record.hot
            if hot is None or hot.stage is HotStage.READ:
                return
            fenced: tuple[str, ...] | None = ()
            if hot.stage is HotStage.KNOWN and hot.keys:
                fenced = await self._driver.put_floors(record, hot.epoch)
            if fenced is not None:
                record = replace(self._next(record), hot=following(hot, fenced))
                self._looks.offer(record)

    def _next(self, record: RingRecord) -> RingRecord:
        return replace(record, seq=record.seq + 1, stamp=self._driver.stamp())
