"""Writing many keys at once: every set is confirmed, and none goes where it could turn up stale."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.clock import Clock
from iotcache.cluster.exchange import gather_groups
from iotcache.cluster.outcomes import (
    DELETE_REASONS,
    SET_REASONS,
    TOUCH_REASONS,
    UNTOLD,
    confirm,
    note_results,
    shared_results,
)
from iotcache.cluster.pipelined_set import SetPipeline
from iotcache.cluster.recovery import Recovery
from iotcache.cluster.rings.guard import TOO_LATE, RingGuard
from iotcache.cluster.routed_write import RoutedWrite, RoutedWrites
from iotcache.cluster.router import Router
from iotcache.cluster.types import Mode, SetItem, WriteResult
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import StoreReplies
from iotcache.errors import NodeError
from iotcache.ttl import MAX_TTL_S, RELATIVE_LIMIT_S, wire_ttl


class Writes:
    """The writing half of a cluster."""

    def __init__(
        self, router: Router, recovery: Recovery, *, timeout_s: float, failover_ttl_s: int, clock: Clock
    ) -> None:
        self._router = router
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._failover_ttl_s = failover_ttl_s
        self._clock = clock
        self._monotonic = clock.monotonic
        self._pipeline = SetPipeline(router)
        self._routed = RoutedWrites(router, recovery, timeout_s=timeout_s, clock=clock)

    async def set_many(self, items: Sequence[SetItem]) -> list[WriteResult]:
        """Store ``items``; every set is confirmed by its node, and the outcomes are in their order.

        A set whose node is out goes to its stand-in, with a short life; the first one after the node was
        lost waits until all clients know of it (about half a second), one in `Mode.ADD` does not and is
        refused. Raises ValueError for a life that is not positive.
        """
        ttls = {item.ttl_s for item in items}
        for ttl_s in ttls:
            if type(ttl_s) is not int or not 0 < ttl_s <= MAX_TTL_S:
                raise ValueError(_wrong_ttl(next(item.key for item in items if item.ttl_s == ttl_s), ttl_s))
        copies = self._fences.rings.copies
        if copies is not None and (
            hot := [at for at, item in enumerate(items) if item.key in copies.written]
        ):
            return await self._set_hot(items, hot)
        flights = None
        now = self._monotonic()
        if (
            ttls
            and max(ttls) <= RELATIVE_LIMIT_S
            and now <= self._fences.valid_until
            and not self._routed.waiting
        ):
            guard = RingGuard(self._fences)
            flights = self._pipeline.send(items, self._timeout_s)
        if flights is None:
            write = self._sets(items)
            if not write.adds:
                self._fences.last_write = now
            return await self._routed.write(write)
        self._fences.last_write = now
        results: list[WriteResult] = [UNTOLD] * len(items)
        again: list[int] = []
        for flight in flights:
            node = self._nodes[flight.owner]
            error: NodeError | None = None
            try:
                node.answered(await flight.done)
            except NodeError as failure:
                node.failed(failure)
                error = failure
            order = iter(flight.positions)
            answers = flight.answers if error is None else StoreReplies(flight.answers.want)
            again += note_results(node, order, answers, error, shared_results(node, SET_REASONS), results)
        if again:
            await self._routed.send(self._sets(items), again, results)
        if not await guard.holds(self._fences):
            results = [WriteResult(False, each.node, TOO_LATE) if each.ok else each for each in results]
        return results

    async def _set_hot(self, items: Sequence[SetItem], hot: Sequence[int]) -> list[WriteResult]:
        """Set those at ``hot``, which have copies, one way, and the others theirs."""
        apart = frozenset(hot)
        cold = [at for at in range(len(items)) if at not in apart]
        write = self._sets([items[at] for at in hot])
        if not write.adds:
            self._fences.last_write = self._monotonic()
        results: list[WriteResult] = [UNTOLD] * len(items)

        async def send_hot() -> None:
            for at, result in zip(hot, await self._routed.write(write), strict=True):
                results[at] = result

        async def send_cold() -> None:
            for at, result in zip(cold, await self.set_many([items[at] for at in cold]), strict=True):
                results[at] = result

        await gather_groups(lambda send: send(), [send_hot, send_cold] if cold else [send_hot])
        return results

    def _sets(self, items: Sequence[SetItem]) -> RoutedWrite:
        """Sets of any kind, to wherever their keys belong now."""
        now = self._clock.now()
        keys = [item.key for item in items]
        places = self._router.places(keys)
        impatient = frozenset(at for at, item in enumerate(items) if item.mode is not Mode.SET)
        longest = self._failover_ttl_s

        def encode(positions: Sequence[int], past: bool) -> list[bytes]:
            requests = []
            for position in positions:
                item = items[position]
                ttl = wire_ttl(min(item.ttl_s, longest) if past else item.ttl_s, now)
                extra = b" ME" if position in impatient else b""
                requests.append(
                    protocol.set_request(places[position].key, item.value, item.flags, ttl, extra)
                )
            return requests

        return RoutedWrite(keys, places, self._router.generation, encode, impatient, SET_REASONS)

    async def delete_many(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        places = self._router.places(keys)
        if places:
            self._fences.last_write = self._monotonic()

        def encode(positions: Sequence[int], past: bool) -> list[bytes]:
            return [protocol.delete_request(places[position].key) for position in positions]

        generation = self._router.generation
        write = RoutedWrite(keys, places, generation, encode, frozenset(), DELETE_REASONS)
        return await self._routed.write(write)

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[WriteResult]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them.

        Only on their own nodes: what stands in for a node that is out lives shortly, and that is meant.
        """
        if type(ttl_s) is not int or not 0 < ttl_s <= MAX_TTL_S:
            raise ValueError(_wrong_ttl(", ".join(keys[:1]), ttl_s))
        ttl = wire_ttl(ttl_s, self._clock.now())
        fences = self._fences
        if self._monotonic() > fences.valid_until:
            await fences.renew(fences.active)
        places = self._router.places(keys)
        results: list[WriteResult] = [UNTOLD] * len(places)
        rings = fences.rings
        # What is touched where nobody reads it now may be read there next: its outcome does not matter.
        for ring in sorted(rings.writes, key=lambda ring: ring is rings.read):
            groups: dict[int, list[int]] = {}
            for position, place in enumerate(places):
                owner = place.owner if ring is rings.read else ring.owner(keys[position])
                if fences.usable(owner):
                    groups.setdefault(owner, []).append(position)
                else:
                    results[position] = WriteResult(False, self._nodes[owner].name, "its node is out")

            async def ask(index: int, groups: dict[int, list[int]] = groups) -> None:
                wanted = [protocol.touch_request(places[at].key, ttl) for at in groups[index]]
                await confirm(
                    self._nodes[index], groups[index], wanted, TOUCH_REASONS, results, self._timeout_s
                )

            await gather_groups(ask, list(groups))
        return results


def _wrong_ttl(key: str, ttl_s: object) -> str:
    return f"the TTL of {key!r} is {ttl_s} s; it must be a whole number from 1 to {MAX_TTL_S}"
