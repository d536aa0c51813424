"""Reads of hot keys: each is asked at its owner, or at a node with a copy, as chance has it.

See rule 4 in `iotcache.cluster.copies.hot_keys`: what a node lacks is brought from the owner over a lease.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isinf
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from iotcache.clock import Clock
from iotcache.cluster.exchange import gather_groups
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.types import GetResult, Lease
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.cluster.wire.protocol import BARRIER
from iotcache.ttl import MAX_TTL_S, wire_ttl

if TYPE_CHECKING:
    from iotcache.cluster.copies.placed import CopyPlacement
    from iotcache.cluster.router import Router

_STUB_S: Final = 2
"""How long the place of a copy that is being brought is held, also where its client has died."""
_STORE_TIMEOUT_S: Final = 5.0

AskOwners = Callable[[Sequence[str]], Awaitable[list[GetResult]]]
"""Reads keys from their owners, or whoever stands in for them."""


class AsksNodes(Protocol):
    """Asks for keys where it is told to; `iotcache.cluster.reading.Reads` does."""

    async def ask(
        self,
        routes: Mapping[int, tuple[int, int | None]],
        keys: Sequence[str],
        request: Callable[[bytes], bytes],
        results: dict[int, GetResult],
    ) -> None: ...


class CopiedReads:
    """Reads copies, and brings those that are missed."""

    def __init__(self, router: Router, reads: AsksNodes, *, clock: Clock, rng: Random) -> None:
        self._router = router
        self._nodes = router.nodes
        self._reads = reads
        self._clock = clock
        self._rng = rng
        self._counts = router.copy_counts

    async def get_many(
        self, keys: Sequence[str], copies: CopyPlacement, ask_owners: AskOwners
    ) -> list[GetResult]:
        """The values of ``keys``, in their order; some of them may be hot."""
        routes = self._routes(keys, copies)
        if not routes:
            return await ask_owners(keys)
        began_s = self._clock.monotonic()
        found: dict[int, GetResult] = {}
        others = [at for at in range(len(keys)) if at not in routes]
        results: dict[int, GetResult] = {}

        async def ask_copies() -> None:
            await self._reads.ask(routes, keys, lambda key: protocol.lease_request(key, _STUB_S, 0), found)
            missed = [at for at in routes if at not in found or not found[at].hit]
            self._counts.reads += len(routes) - len(missed)
            if missed:
                results.update(zip(missed, await ask_owners([keys[at] for at in missed]), strict=True))
                self._bring(keys, {at: found[at] for at in missed if at in found}, results, began_s)

        async def ask_others() -> None:
            results.update(zip(others, await ask_owners([keys[at] for at in others]), strict=True))

        await gather_groups(lambda ask: ask(), [ask_copies, ask_others] if others else [ask_copies])
        return [results[at] if at in results else found[at] for at in range(len(keys))]

    def _routes(self, keys: Sequence[str], copies: CopyPlacement) -> dict[int, tuple[int, int | None]]:
        """By position: the nodes to ask for copies, and above which CAS unique they count."""
        fences, read = self._router.fences, copies.read
        routes: dict[int, tuple[int, int | None]] = {}
        for at, key in enumerate(keys):
            if key not in read:
                continue
            nodes = copies.nodes_read(key)
            chosen = self._rng.randrange(len(nodes) + 1)
            if not chosen:
                continue
            index = nodes[chosen - 1]
            floor = self._router.rings.copy_floor(index)
            if floor is not None and fences.usable(index):
                routes[at] = (index, max(floor, fences.floors[index]))
        return routes

    def _bring(
        self,
        keys: Sequence[str],
        leases: Mapping[int, GetResult],
        results: Mapping[int, GetResult],
        began_s: float,
    ) -> None:
        """Store what owners have over the leases that this client has won, and give the others back."""
        copies = self._router.rings.copies
        late = self._clock.monotonic() > began_s + LEASE_S
        indexes = self._router.rings.indexes
        groups: dict[int, list[bytes]] = {}
        for at, lease in leases.items():
            if lease.lease is not Lease.WON or not lease.cas or lease.node not in indexes:
                continue
            got, key = results[at], protocol.checked_key(keys[at])
            ttl_s = 0 if not got.hit else MAX_TTL_S if isinf(got.ttl_s) else int(got.ttl_s)
            if late or copies is None or keys[at] not in copies.written or ttl_s <= 0:
                request = protocol.expire_request(key, lease.cas)
            else:
                ttl = wire_ttl(ttl_s, self._clock.now())
                request = protocol.set_request(key, got.value, got.flags, ttl, b" C%d" % lease.cas)
                self._counts.brought += 1
            groups.setdefault(indexes[lease.node], []).append(request)
        for index, requests in groups.items():
            connection = self._nodes[index].connection
            if connection is not None:
                batch = b"".join([*requests, BARRIER])
                done = connection.submit(batch, StoreReplies(len(requests)), _STORE_TIMEOUT_S)
                done.add_done_callback(lambda future: future.exception())
