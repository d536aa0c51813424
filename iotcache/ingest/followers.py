"""Those who follow the stream of committed batches: aggregates, alerts, newcomers.

A batch is handed to them after its acknowledgement: what they do with it holds no sender up, and what they
fail at stops nobody. While they are behind, a bounded number of batches waits; what comes on top passes them
by, and each is told how much that was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

from iotcache.faults import Faults
from iotcache.model import CommittedBatch, Follower, Series, StoredReading

WAITING_BATCHES: Final = 16
"""With the pipeline's batch limit this bounds the memory."""


class Followers:
    """Hands batches on to each follower. Run `run` beside whoever calls `tell`."""

    def __init__(
        self,
        followers: Sequence[Follower] = (),
        bound: int = WAITING_BATCHES,
        *,
        faults: Faults | None = None,
    ) -> None:
        self._followers = list(followers)
        self._faults = faults or Faults()
        self._waiting: deque[CommittedBatch] = deque()
        self._bound = bound
        self._missed = 0
        self._some = asyncio.Event()
        self.passed_by = 0
        """Batches that came while too many waited, since the start."""

    def add(self, follower: Follower) -> None:
        """One more; before `run` begins."""
        self._followers.append(follower)

    def tell(self, batch: CommittedBatch) -> None:
        """Hand a batch over; never waits."""
        if not self._followers:
            return
        if len(self._waiting) >= self._bound:
            self._missed += 1
            self.passed_by += 1
            return
        self._waiting.append(batch)
        self._some.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                name = type(follower).__name__
                running = self._faults.keep_running(f"the background work of {name}", follower.run)
                tasks.create_task(running, name=f"follower {name}")
            tasks.create_task(self._hand_on())

    async def _hand_on(self) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                missed, self._missed = self._missed, 0
                batch = self._waiting.popleft()
                for follower in self._followers:
                    self._hand_to(follower, batch, missed)
                await asyncio.sleep(0)  # others have their turn between two batches
            self._some.clear()

    def _hand_to(self, follower: Follower, batch: CommittedBatch, missed: int) -> None:
        """Hand one follower a batch; of one that it fails at, the readings one by one."""
        stage = f"handing a batch to {type(follower).__name__}"
        try:
            if missed:
                follower.missed(missed)
        except Exception as error:
            self._faults.note(stage, error)
        try:
            follower.follow(batch)
        except Exception as error:
            self._faults.note(stage, error)
            self._hand_singly(follower, batch)

    def _hand_singly(self, follower: Follower, batch: CommittedBatch) -> None:
        """Each reading alone, as a duplicate: the follower may have counted it before it failed."""
        newest: dict[Series, StoredReading] = {}
        for stored in batch.newest:
            with contextlib.suppress(Exception):  # noted already, with the whole batch; and so below
                newest[stored.reading.series] = stored
        for reading in batch.readings:
            with contextlib.suppress(Exception):
                own = newest.pop(reading.series, None)
                follower.follow(CommittedBatch([reading], [own] if own else [], 1))
