"""Compare-and-set: a value is stored only where the node still has the very item that was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from iotcache.clock import Clock
from iotcache.cluster.copies.writing import COPY_OUT, by_node
from iotcache.cluster.exchange import exchange, gather_groups
from iotcache.cluster.outcomes import DELETE_REASONS, SET_REASONS, UNTOLD, confirm, confirmed_by
from iotcache.cluster.rings.guard import TOO_LATE, RingGuard
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import GetResult, Lease, SetItem, WriteResult
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.ttl import wire_ttl

if TYPE_CHECKING:
    from iotcache.cluster.copies.placed import CopyPlacement


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
        copies = self._fences.rings.copies
        if copies is None or copies.written.isdisjoint([item.key for item in items]):
            return await self._cas_many(items, seen)
        async with self._router.copies_turn:
            return await self._cas_many(items, seen)

    async def _cas_many(self, items: Sequence[SetItem], seen: Sequence[GetResult]) -> list[WriteResult]:
        fences = self._fences
        if self._clock.monotonic() > fences.valid_until:
            await fences.renew(fences.active)
        now = self._clock.now()
        places = self._router.places([item.key for item in items])
        results: list[WriteResult] = [UNTOLD] * len(items)
        groups: dict[int, list[int]] = {}
        for position, (_, got) in enumerate(zip(items, seen, strict=True)):
            owner = places[position].owner
            route = self._router.read_route(items[position].key)
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
        guard, written = RingGuard(fences), fences.rings.writes
        old, new = written[0], written[-1]
        reads_new = fences.rings.read is new
        if old is not new and reads_new:
            # The old ring's node goes first: what it kept would be handed over, what it loses is loaded anew.
            kept = await self._forget_on(old, items, groups, results)
            groups = {index: [at for at in some if at in kept] for index, some in groups.items()}

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

        await gather_groups(ask, [index for index in groups if groups[index]])
        if not self._router.all_up:
            await self._forget_elsewhere(items, places, results)
        if old is not new and not reads_new:
            done = {index: [at for at in some if results[at].ok] for index, some in groups.items()}
            await self._forget_on(new, items, done, results)
        if guard.copies is not None:
            await self._forget_copies(guard.copies, items, groups, results)
        if not await guard.holds(fences):
            results = [WriteResult(False, each.node, TOO_LATE) if each.ok else each for each in results]
        return results

    async def _forget_on(
        self,
        ring: PlacedRing,
        items: Sequence[SetItem],
        groups: Mapping[int, Sequence[int]],
        results: list[WriteResult],
    ) -> set[int]:
        """Delete what the nodes of the other ring have of entries that are swapped on ``groups``' nodes.

        Returns the positions of which it has nothing by now; the others' results say why.
        """
        elsewhere: dict[int, list[int]] = {}
        kept: set[int] = set()
        for index, positions in groups.items():
            for at in positions:
                nodes, skipped = self._router.targets(items[at].key, ring)
                if not nodes or not all(self._fences.declarations.established(each) for each in skipped):
                    why = "its node is out, and not all clients know yet"
                    results[at] = WriteResult(False, self._nodes[index].name, why)
                    continue
                kept.add(at)
                for other in nodes:
                    if other != index:
                        elsewhere.setdefault(other, []).append(at)
        await self._forget(elsewhere, items, results, kept)
        return kept

    async def _forget_copies(
        self,
        copies: CopyPlacement,
        items: Sequence[SetItem],
        groups: Mapping[int, Sequence[int]],
        results: list[WriteResult],
    ) -> None:
        """Delete the copies of hot keys that were swapped: readers bring what the owners have.

        Two writers that set them might do so in another order than they swapped.
        """
        swapped = {
            at: items[at].key
            for positions in groups.values()
            for at in positions
            if results[at].ok and items[at].key in copies.written
        }
        elsewhere, refused = by_node(self._router, copies, swapped)
        for at, index in refused.items():
            results[at] = WriteResult(False, self._nodes[index].name, COPY_OUT)
        for index, positions in elsewhere.items():
            # A node that stands in for the owner has what was swapped.
            positions[:] = [at for at in positions if at not in groups.get(index, ())]
        await self._forget({index: some for index, some in elsewhere.items() if some}, items, results, set())

    async def _forget_elsewhere(
        self, items: Sequence[SetItem], places: Sequence[Route], results: list[WriteResult]
    ) -> None:
        """What was swapped on a node that others may still take for out must not be read older elsewhere."""
        elsewhere: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if results[position].ok and self._fences.settling(place.owner):
                for index in self._router.targets(items[position].key).nodes:
                    if index != place.owner and self._nodes[index].up:
                        elsewhere.setdefault(index, []).append(position)

        await self._forget(elsewhere, items, results, set())

    async def _forget(
        self,
        elsewhere: Mapping[int, list[int]],
        items: Sequence[SetItem],
        results: list[WriteResult],
        kept: set[int],
    ) -> None:
        """Delete the entries on each node; those that are not deleted are taken from ``kept``."""

        async def forget(index: int) -> None:
            deleted: dict[int, WriteResult] = {}
            requests = [
                protocol.delete_request(protocol.checked_key(items[at].key)) for at in elsewhere[index]
            ]
            node, returning = self._nodes[index], self._fences.returning.get(index)
            if returning is not None and not node.up:
                if not await confirmed_by(returning, requests, self._timeout_s):
                    why = WriteResult(False, node.name, "its node is on its way back")
                    deleted = dict.fromkeys(elsewhere[index], why)
            else:
                await confirm(node, elsewhere[index], requests, DELETE_REASONS, deleted, self._timeout_s)
            for position, outcome in deleted.items():
                if not outcome.ok:
                    kept.discard(position)
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
