"""Compare-and-set: a value is stored only where the node still has the very item that was seen."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.clock import Clock
from iotcache.cluster.exchange import exchange, gather_groups
from iotcache.cluster.outcomes import DELETE_REASONS, SET_REASONS, UNTOLD, confirm
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import GetResult, Lease, SetItem, WriteResult
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.ttl import wire_ttl


class Swaps:
    """Compare-and-sets, and leases that are given back."""

    def __init__(self, router: Router, *, timeout_s: float, failover_ttl_s: int, clock: Clock) -> None:
        self._router = router
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._failover_ttl_s = failover_ttl_s
        self._clock = clock

    async def cas_many(self, items: Sequence[SetItem], seen: Sequence[GetResult]) -> list[WriteResult]:
        """Store each item only if it still is what ``seen`` (from ``get_many(…, cas=True)``) shows.

        A key whose node has changed meanwhile is refused: CAS uniques mean nothing on another node.
        """
        fences = self._fences
        if self._clock.monotonic() > fences.valid_until:
            await fences.renew(range(len(self._nodes)))
        now = self._clock.now()
        places = self._router.places([item.key for item in items])
        results: list[WriteResult] = [UNTOLD] * len(items)
        groups: dict[int, list[int]] = {}
        for position, (_, got) in enumerate(zip(items, seen, strict=True)):
            owner = places[position].owner
            route = self._router.read_route(items[position].key, owner)
            index = owner if route is None else route[0]
            # What was seen before the node was fenced does not count any more. Past its owner a key is put
            # by readers with a lease only: a writer's newest value has to be where everybody looks for it.
            if (
                route is None
                or got.node != self._nodes[index].name
                or got.cas <= (route[1] or 0)
                or (index != owner and got.lease is not Lease.WON)
            ):
                results[position] = WriteResult(
                    False, self._nodes[owner].name, "it was not read with its CAS unique from this node"
                )
            else:
                groups.setdefault(index, []).append(position)

        def encode(position: int, index: int) -> bytes:
            item = items[position]
            extra = b" C%d" % seen[position].cas
            ttl_s = item.ttl_s if places[position].owner == index else min(item.ttl_s, self._failover_ttl_s)
            return protocol.set_request(
                places[position].key, item.value, item.flags, wire_ttl(ttl_s, now), extra
            )

        async def ask(index: int) -> None:
            requests = [encode(at, index) for at in groups[index]]
            await confirm(self._nodes[index], groups[index], requests, SET_REASONS, results, self._timeout_s)

        await gather_groups(ask, list(groups))
        if not self._router.all_up:
            await self._forget_elsewhere(items, places, results)
        return results

    async def _forget_elsewhere(
        self, items: Sequence[SetItem], places: Sequence[Route], results: list[WriteResult]
    ) -> None:
        """What was swapped on a node that others may still take for out must not be read older elsewhere."""
        elsewhere: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if results[position].ok and self._fences.settling(place.owner):
                for index in self._router.targets(items[position].key, place.owner).nodes:
                    if index != place.owner and self._nodes[index].up:
                        elsewhere.setdefault(index, []).append(position)

        async def forget(index: int) -> None:
            deleted: dict[int, WriteResult] = {}
            requests = [protocol.delete_request(places[at].key) for at in elsewhere[index]]
            await confirm(
                self._nodes[index], elsewhere[index], requests, DELETE_REASONS, deleted, self._timeout_s
            )
            for position, outcome in deleted.items():
                if not outcome.ok:
                    results[position] = outcome

        await gather_groups(forget, list(elsewhere))

    async def release_many(self, keys: Sequence[str], seen: Sequence[GetResult]) -> None:
        """Give back leases (from `lease_many`) whose values could not be loaded, so that others may try."""
        groups: dict[int, list[bytes]] = {}
        indexes = {node.name: index for index, node in enumerate(self._nodes)}
        for place, got in zip(self._router.places(keys), seen, strict=True):
            if got.cas and got.node in indexes:
                groups.setdefault(indexes[got.node], []).append(protocol.expire_request(place.key, got.cas))

        async def release(index: int) -> None:
            await exchange(self._nodes[index], groups[index], StoreReplies, self._timeout_s)

        await gather_groups(release, list(groups))
