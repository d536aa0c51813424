"""Which keys are to have copies: what all clients have told of their gets, and one of them decides.

It is the one with the lowest id among those that write, as they have a vote: see `iotcache.cluster.fence`.
Two that decide at the same time do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from iotcache.cluster.copies.hot_keys import MOST_KEYS
from iotcache.errors import NodeError, RingError
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.cluster.copies.driver import HotKeyDriver
    from iotcache.cluster.copies.heat import KeyRate
    from iotcache.cluster.fence import Fences
    from iotcache.cluster.rings.view import RingView

LEAST_PER_S: Final = 50.0
"""A key that is read less often is no node's trouble, whatever its share."""
_KEEP: Final = 0.5
"""A key keeps its copies until its gets are so much of a fair share: it must not come and go."""
_EVERY_S: Final = 8.0
_TRY_S: Final = 10.0


class ClientReport(Protocol):
    """What a client tells of itself; `iotcache.cluster.rings.roster.RosterEntry`."""

    @property
    def hot_replicas(self) -> int: ...
    @property
    def votes(self) -> bool: ...
    @property
    def gets_per_s(self) -> float: ...
    @property
    def hottest(self) -> tuple[KeyRate, ...]: ...


def hot_of(entries: Iterable[ClientReport], nodes: int, now: Iterable[str], most: int) -> tuple[str, ...]:
    """The keys whose gets are more than a node's fair share of all; ``now`` have copies already."""
    total, rates = 0.0, dict[str, float]()
    for entry in entries:
        total += entry.gets_per_s
        for each in entry.hottest:
            rates[each.key] = rates.get(each.key, 0.0) + each.gets_per_s
    fair, known = total / max(nodes, 1), frozenset(now)
    hot = [
        key
        for key, per_s in rates.items()
        if per_s > max(fair, LEAST_PER_S) * (_KEEP if key in known else 1.0)
    ]
    return tuple(sorted(sorted(hot, key=lambda key: -rates[key])[:most]))


class HotKeyDecider:
    """Decides now and then, where it is this client's turn."""

    def __init__(self, fences: Fences, view: RingView, driver: HotKeyDriver, hot_replicas: int) -> None:
        self._fences = fences
        self._view = view
        self._driver = driver
        self._hot_replicas = hot_replicas
        self._next_s = fences.monotonic() + _EVERY_S
        self._work: asyncio.Task[None] | None = None

    @property
    def due(self) -> bool:
        """Whether there may be something to decide: all that it costs where nobody wants copies."""
        if self._hot_replicas < 2 and self._view.copies is None:
            return False
        busy = self._work is not None and not self._work.done()
        return not busy and self._fences.votes and self._fences.monotonic() >= self._next_s

    def decide(self, reports: dict[int, ClientReport]) -> None:
        """Change the list where it is this client's turn, and another one is wanted."""
        self._next_s = self._fences.monotonic() + _EVERY_S
        own = self._fences.declarations.own.id
        voters = [number for number, each in reports.items() if each.votes]
        wanting = [number for number in voters if reports[number].hot_replicas > 1]
        if min(wanting or voters, default=own) != own:
            return
        record = self._view.record
        nodes = len(record.present.nodes if record is not None else self._view.own)
        hot = self._view.copies.hot if self._view.copies is not None else None
        copies = min(self._hot_replicas, nodes)
        now = hot.keys if hot is not None else ()
        keys = hot_of(reports.values(), nodes, now, MOST_KEYS) if copies > 1 else ()
        if keys or hot is not None:
            self._work = asyncio.create_task(self._set(keys, max(copies, 2)))

    async def _set(self, keys: tuple[str, ...], copies: int) -> None:
        try:
            async with asyncio.timeout(_TRY_S):
                await self._driver.set(keys, copies)
        except (RingError, NodeError, TimeoutError):
            return  # the next turn tries again

    async def close(self) -> None:
        """Give up what is under way: a list that is announced half does no harm."""
        if self._work is not None:
            await end(self._work)
