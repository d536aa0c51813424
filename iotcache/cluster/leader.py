"""One of several workers, chosen by a key in the cache that only one can add.

It is a courtesy, no guarantee: what the chosen one does must do no harm when two do it for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotcache.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from iotcache.cluster import Cluster

TERM_S: Final = 10
"""So long after its last word a chosen one that died is followed by another."""
RENEW_S: Final = 3.0


class LeaderLock:
    """Whether this process is the one, asked again and again."""

    def __init__(
        self, cluster: Cluster, key: str, name: str, *, term_s: int = TERM_S, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """``name`` must be this process's own among those who use ``key``."""
        self._cluster = cluster
        self._key = key
        self._name = name.encode("utf-8", "replace")
        self._term_s = term_s
        self._clock = clock
        self._asked_s = float("-inf")
        self.held = False

    async def hold(self) -> bool:
        """Whether we are the chosen one; asks the cache now and then.

        While the cache cannot say, everybody is: better twice than never.
        """
        from iotcache.cluster import Mode, SetItem

        now_s = self._clock.monotonic()
        if now_s - self._asked_s < min(RENEW_S, self._term_s / 3):
            return self.held
        self._asked_s = now_s
        (got,) = await self._cluster.get_many([self._key])
        if not got.hit:
            item = SetItem(self._key, self._name, 0, self._term_s, Mode.ADD)
            (outcome,) = await self._cluster.set_many([item])
            if outcome.ok:
                self.held = True
                return True
            (got,) = await self._cluster.get_many([self._key])
        if not got.hit:
            self.held = True
        elif got.value == self._name:
            self.held = True
            await self._cluster.touch_many([self._key], self._term_s)
        else:
            self.held = False
        return self.held

    async def give_up(self) -> None:
        """Let another be chosen at once."""
        if self.held:
            self.held = False
            (got,) = await self._cluster.get_many([self._key])
            if got.hit and got.value == self._name:
                await self._cluster.delete_many([self._key])
