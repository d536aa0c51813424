"""Those who follow the stream of committed batches: aggregates, alerts, newcomers.

A batch is handed to them after its acknowledgement: what they do with it holds no sender up, and what they
fail at stops nobody. While they are behind, a bounded number of batches waits; what comes on top passes them
by, and each is told how much that was.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from iotcache.model import CommittedBatch, Follower

log = logging.getLogger(__name__)

WAITING_BATCHES: Final = 16
"""With the pipeline's batch limit this bounds the memory."""


class Followers:
    """Hands batches on to each follower. Run `run` beside whoever calls `tell`."""

    def __init__(self, followers: Sequence[Follower] = (), bound: int = WAITING_BATCHES) -> None:
        self._followers = list(followers)
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
                tasks.create_task(_kept_running(follower), name=f"follower {type(follower).__name__}")
            tasks.create_task(self._hand_on())

    async def _hand_on(self) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                missed, self._missed = self._missed, 0
                batch = self._waiting.popleft()
                for follower in self._followers:
                    try:
                        if missed:
                            follower.missed(missed)
                        follower.follow(batch)
                    except Exception:
                        log.exception("%s cannot follow a batch", type(follower).__name__)
                await asyncio.sleep(0)  # others have their turn between two batches
            self._some.clear()


RESTART_S: Final = 5.0
"""A follower whose background work failed begins anew after this long."""


async def _kept_running(follower: Follower) -> None:
    """A fault in what follows must not end the worker that takes the readings in."""
    while True:
        try:
            await follower.run()
            return
        except Exception:
            log.exception("the background work of %s failed; it begins anew", type(follower).__name__)
        await asyncio.sleep(RESTART_S)
