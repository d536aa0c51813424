"""What the new owner does not have, the old one is asked for; and what it has is handed over.

See the rules in `iotcache.cluster.rings.view`. The lease at the new owner is taken *before* the old one is
read, and the value is stored over that lease alone: a write or a delete that comes in between takes it away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isinf
from typing import TYPE_CHECKING, Final

from iotcache.clock import Clock
from iotcache.cluster.exchange import exchange, gather_groups
from iotcache.cluster.types import GetResult, Lease
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.model import MissReason
from iotcache.ttl import MAX_TTL_S, wire_ttl

if TYPE_CHECKING:
    from iotcache.cluster.reading import Reads
    from iotcache.cluster.rings.placed import PlacedRing
    from iotcache.cluster.router import Router

_LEASE_S: Final = 2
"""How long the place of an entry that is being handed over is held, also where its client has died."""

Request = Callable[[bytes], bytes]


class HandOver:
    """Copies entries from old owners to new ones."""

    def __init__(self, router: Router, reads: Reads, *, timeout_s: float, clock: Clock) -> None:
        self._router = router
        self._nodes = router.nodes
        self._reads = reads
        self._timeout_s = timeout_s
        self._clock = clock
        self.entries = 0
        self.bytes = 0
        self.reads_saved = 0
        self._change = 0

    def count_for(self, change: int) -> None:
        """What is handed over from now on belongs to the change with this id."""
        if change != self._change:
            self._change = change
            self.entries = self.bytes = self.reads_saved = 0

    async def complete(
        self, keys: Sequence[str], results: list[GetResult], checked: Request | None, old: PlacedRing
    ) -> None:
        """Ask the owners on the ``old`` ring for what ``results`` lack, and put it where it belongs now.

        ``checked`` is the request with which results were asked for, where their CAS uniques matter.
        """
        new = self._router.rings.read
        missing = [at for at, got in enumerate(results) if not got.hit]
        if not missing:
            return
        there: dict[int, GetResult] = {at: results[at] for at in missing}
        silent: set[int] = set()
        found = await self._fetch(keys, missing, old, new, there, silent)
        self.reads_saved += len(found)
        released = [at for at in missing if at not in found and there[at] is not results[at]]
        if checked is None:
            await self._release(keys, [at for at in released if there[at].lease is Lease.WON], there)
            for at in missing:
                if there[at].hit:
                    results[at] = there[at]
                elif at in found:
                    results[at] = found[at]
                elif at in silent and results[at].failure is None and self._moves(keys[at], old, new):
                    results[at] = GetResult(False, node=results[at].node, failure=MissReason.NODE_DOWN)
            return
        # Its place and its CAS unique at the new owner are what the caller goes on with.
        again: dict[int, tuple[int, int | None]] = {}
        for at in found:
            route = self._router.read_route(keys[at], new)
            if route is not None and (route[0] == new.owner(keys[at])):
                again[at] = route
            else:
                results[at] = found[at]
        asked: dict[int, GetResult] = {}
        await self._release(keys, [at for at in released if there[at].lease is Lease.WON], there)
        again.update(
            {at: route for at in released if (route := self._router.read_route(keys[at], new)) is not None}
        )
        await self._reads.ask(again, keys, checked, asked)
        for at, got in asked.items():
            results[at] = got

    def _moves(self, key: str, old: PlacedRing, new: PlacedRing) -> bool:
        return old.owner(key) != new.owner(key)

    async def walk(self, keys: Sequence[str]) -> int:
        """Hand over entries that nobody has asked for; how many."""
        rings = self._router.rings
        old, new = rings.fallback, rings.read
        if old is None:
            return 0
        before = self.entries
        there: dict[int, GetResult] = {}
        found = await self._fetch(keys, range(len(keys)), old, new, there, set())
        empty = [at for at in range(len(keys)) if at not in found]
        won = [at for at in empty if at in there and there[at].lease is Lease.WON]
        await self._release(keys, won, there)
        return self.entries - before

    async def _fetch(  # noqa: PLR0917
        self,
        keys: Sequence[str],
        which: Sequence[int],
        old: PlacedRing,
        new: PlacedRing,
        there: dict[int, GetResult],
        silent: set[int],
    ) -> dict[int, GetResult]:
        """Take leases at new owners, read the old ones, and store over the leases; what the old ones had.

        ``there`` gets the new owners' answers, ``silent`` those whose old owner could not be asked.
        """
        router = self._router
        if self._clock.monotonic() > router.fences.valid_until:
            await self._reads.renew()
        to_old: dict[int, tuple[int, int | None]] = {}
        to_new: dict[int, tuple[int, int | None]] = {}
        for at in which:
            key = keys[at]
            source, target = router.read_route(key, old), router.read_route(key, new)
            if source is None:
                continue
            if target is not None and target[0] == source[0] and (target[1] or 0) <= (source[1] or 0):
                continue  # it is the same node, and as much of it counts
            to_old[at] = source
            owner = new.owner(key)
            known = there.get(at)
            asked = known is not None and known.lease is not None
            if target is not None and target[0] == owner and not router.observe and not asked:
                to_new[at] = target
        await self._reads.ask(to_new, keys, lambda key: protocol.lease_request(key, _LEASE_S, 0), there)
        wanted = {at: route for at, route in to_old.items() if at not in there or not there[at].hit}
        found: dict[int, GetResult] = {}
        await self._reads.ask(wanted, keys, protocol.get_cas_request, found)
        for at in which:
            if at not in found or found[at].failure is not None:
                silent.add(at)
        found = {at: got for at, got in found.items() if got.hit}
        await self._store(keys, found, there, new)
        return found

    async def _store(
        self,
        keys: Sequence[str],
        found: dict[int, GetResult],
        there: dict[int, GetResult],
        new: PlacedRing,
    ) -> None:
        """Store over the leases at owners; give those at other nodes back."""
        away: list[int] = []
        indexes = self._router.rings.indexes
        groups: dict[int, list[int]] = {}
        for at in found:
            lease = there.get(at)
            if lease is None or lease.lease is not Lease.WON or not lease.cas:
                continue
            owner = new.owner(keys[at])
            if indexes.get(lease.node) == owner:
                groups.setdefault(owner, []).append(at)
            else:  # what stands in for the owner lives too shortly to be worth it
                away.append(at)
        now = self._clock.now()

        def request(at: int) -> bytes:
            got = found[at]
            ttl_s = MAX_TTL_S if isinf(got.ttl_s) else int(got.ttl_s)
            key, cas = protocol.checked_key(keys[at]), there[at].cas
            if ttl_s <= 0:
                return protocol.expire_request(key, cas)
            return protocol.set_request(key, got.value, got.flags, wire_ttl(ttl_s, now), b" C%d" % cas)

        async def store(index: int) -> None:
            positions = iter(groups[index])
            requests = [request(at) for at in groups[index]]
            for answers, _ in await exchange(self._nodes[index], requests, StoreReplies, self._timeout_s):
                for answer in answers.out:
                    at = next(positions)
                    if answer == b"HD":
                        self.entries += 1
                        self.bytes += len(found[at].value)

        if groups:
            await gather_groups(store, list(groups))
        await self._release(keys, away, there)

    async def _release(self, keys: Sequence[str], which: Sequence[int], there: dict[int, GetResult]) -> None:
        """Give back leases of what the old owner does not have either."""
        indexes = self._router.rings.indexes
        groups: dict[int, list[bytes]] = {}
        for at in which:
            got = there[at]
            if got.cas and got.node in indexes:
                request = protocol.expire_request(protocol.checked_key(keys[at]), got.cas)
                groups.setdefault(indexes[got.node], []).append(request)

        async def release(index: int) -> None:
            await exchange(self._nodes[index], groups[index], StoreReplies, self._timeout_s)

        if groups:
            await gather_groups(release, list(groups))
