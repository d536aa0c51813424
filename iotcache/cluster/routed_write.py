"""A write goes to where its keys belong now: to their own nodes, past them, or to both; all or not at all.

See the rules in `iotcache.cluster.fence`: what is written past a node waits until every client knows of that,
and what returns is written to as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from iotcache.clock import Clock
from iotcache.cluster.copies.writing import COPY_OUT, by_node, out_of_copies
from iotcache.cluster.exchange import gather_groups
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.outcomes import UNTOLD, Reasons, confirm, confirmed_by
from iotcache.cluster.recovery import Recovery
from iotcache.cluster.rings.guard import TOO_LATE, RingGuard
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import WriteResult

if TYPE_CHECKING:
    from iotcache.cluster.copies.placed import CopyPlacement


class RoutedWrite(NamedTuple):
    """A set or delete of many keys."""

    keys: Sequence[str]
    places: list[Route]
    generation: int
    """Of the router when it gave the places: while the write waits its keys may get other owners."""
    encode: Callable[[Sequence[int], bool], list[bytes]]
    """The requests for some positions; True when they go past a node that is out, for a short time."""
    impatient: frozenset[int]
    """Positions that must not wait until all clients know that a node is out: a reader's additions."""
    reasons: Reasons

    @property
    def adds(self) -> bool:
        """Whether there is nothing but additions: the caller is a reader, and has no vote."""
        return len(self.impatient) == len(self.keys)


class _Batches:
    """What goes to which node: by its index, and whether it goes there past a node that is out."""

    def __init__(self) -> None:
        self.first: dict[tuple[int, bool], list[int]] = {}
        """Where the outcome comes from."""
        self.more: dict[tuple[int, bool], list[int]] = {}
        """Where it has to be as well."""
        self.diverted: list[int] = []

    def add(self, write: RoutedWrite, position: int, nodes: tuple[int, ...], owner: int) -> None:
        self.diverted.append(position)
        # The one that everybody takes for up is the last; a node on its way back is only written as well.
        for at, index in enumerate(reversed(nodes)):
            groups = self.first if not at else self.more
            groups.setdefault((index, index != owner), []).append(position)


class RoutedWrites:
    """Sends writes of any kind by the state of the nodes."""

    def __init__(self, router: Router, recovery: Recovery, *, timeout_s: float, clock: Clock) -> None:
        self._router = router
        self._recovery = recovery
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._monotonic = clock.monotonic
        self._turn = asyncio.Lock()

    @property
    def waiting(self) -> bool:
        """Whether writes of before are still under way to two rings: later ones must not overtake them."""
        return self._turn.locked()

    async def write(self, write: RoutedWrite) -> list[WriteResult]:
        """Send every key to where it belongs now; what its node did not take is tried once more elsewhere."""
        results: list[WriteResult] = [UNTOLD] * len(write.places)
        again = await self.send(write, range(len(write.places)), results)
        if again:
            await self.send(write, again, results)
        return results

    async def send(self, write: RoutedWrite, which: Sequence[int], results: list[WriteResult]) -> list[int]:
        """Send the writes at ``which``; returns those whose node failed, for another try."""
        fences = self._fences
        if self._monotonic() > fences.valid_until:
            await fences.renew(fences.active)
        if fences.rings.changing or self.waiting:
            # What goes to two nodes one after the other keeps its order only when it goes alone.
            async with self._turn:
                return await self._send_with_copies(write, which, results)
        return await self._send_with_copies(write, which, results)

    async def _send_with_copies(
        self, write: RoutedWrite, which: Sequence[int], results: list[WriteResult]
    ) -> list[int]:
        """Send to the rings, and to copies; writes of keys with copies go alone, for the same reason."""
        while True:
            copies = self._fences.rings.copies
            if copies is None or copies.written.isdisjoint(write.keys):
                failed = await self._send_to_rings(write, which, results, copies)
            else:
                async with self._router.copies_turn:
                    failed = await self._send_to_rings(write, which, results, copies)
            if failed is not None:
                return failed

    async def _send_to_rings(
        self,
        write: RoutedWrite,
        which: Sequence[int],
        results: list[WriteResult],
        copies: CopyPlacement | None,
    ) -> list[int] | None:
        """Write to the old ring's nodes, then to those of the new one that are others, then to ``copies``.

        ``None``, and nothing sent, where other keys have copies by then.
        """
        fences, rings = self._fences, self._fences.rings
        if not self._router.all_up:
            await self._prepare(write, which)
            if self._monotonic() > fences.valid_until:  # on a busy machine that took its time
                await fences.renew(fences.active)
        if rings.copies is not copies:
            return None
        guard, written, read = RingGuard(fences), rings.writes, rings.read
        done: dict[int, list[int]] | None = {} if len(written) > 1 else None
        failed = await self._send_to(written[0], read, write, which, results, done)
        for ring in written[1:]:
            # A reader's addition goes to the ring that is read, and to no other.
            again = [at for at in which if results[at].ok or at in write.impatient]
            failed += await self._send_to(ring, read, write, again, results, done)
        if copies is not None:
            failed += await self._send_to_copies(copies, write, which, results)
        if not await guard.holds(fences):
            for at in which:
                if results[at].ok and at not in write.impatient:
                    results[at] = WriteResult(False, results[at].node, TOO_LATE)
        return failed

    async def _send_to(  # noqa: PLR0917
        self,
        ring: PlacedRing,
        read: PlacedRing,
        write: RoutedWrite,
        which: Sequence[int],
        results: list[WriteResult],
        done: dict[int, list[int]] | None,
    ) -> list[int]:
        """Send to the nodes of one ring, but to those that have it already: ``done``, by position.

        There it is noted as well: it is what was sent, not what comes out when the nodes' states are looked
        at once more, as time passes.
        """
        fences = self._fences
        began_s = self._monotonic()
        batches = _Batches()
        placed = ring is read and write.generation == self._router.generation
        by_owner: list[list[int]] = [[] for _ in self._nodes]
        for position in which:
            if position in write.impatient and ring is not read:
                continue
            owner = write.places[position][0] if placed else ring.owner(write.keys[position])
            by_owner[owner].append(position)
        for owner, positions in enumerate(by_owner):
            if positions and fences.usable(owner) and (write.adds or not fences.settling(owner)):
                fresh = [at for at in positions if owner not in done.get(at, ())] if done else positions
                if fresh:
                    batches.first[owner, False] = fresh
            else:
                for position in positions:
                    there = done.get(position, ()) if done else ()
                    self._divert(ring, write, owner, position, batches, results, there)
        if done is not None:
            for groups in (batches.first, batches.more):
                for (index, _), positions in groups.items():
                    for at in positions:
                        done.setdefault(at, []).append(index)
        failed: list[int] = []
        seconds: list[dict[int, WriteResult]] = []

        async def send(batch: tuple[dict[tuple[int, bool], list[int]], tuple[int, bool]]) -> None:
            groups, (index, past) = batch
            positions = groups[index, past]
            into: list[WriteResult] | dict[int, WriteResult] = results
            if groups is not batches.first:
                into = dict[int, WriteResult]()
                seconds.append(into)
            failed.extend(await self._to_node(index, write, positions, past, into))

        await gather_groups(
            send, [(groups, key) for groups in (batches.first, batches.more) for key in groups]
        )
        _note_failures(seconds, results)
        if batches.diverted and self._monotonic() - began_s > LEASE_S:
            # The node passed over may be up again for others by now, and they would not look elsewhere.
            for position in batches.diverted:
                results[position] = WriteResult(
                    False, results[position].node, "the failover node was too slow"
                )
        return list(dict.fromkeys(position for position in failed if position not in write.impatient))

    async def _send_to_copies(
        self, copies: CopyPlacement, write: RoutedWrite, which: Sequence[int], results: list[WriteResult]
    ) -> list[int]:
        """Write what has gone to owners to their copies; returns the positions whose node has failed."""
        hot = {
            at: write.keys[at]
            for at in which
            if write.keys[at] in copies.written and results[at].ok and at not in write.impatient
        }
        groups, refused = by_node(self._router, copies, hot)
        for at, index in refused.items():
            results[at] = WriteResult(False, self._nodes[index].name, COPY_OUT)
        failed: list[int] = []
        on_nodes: list[dict[int, WriteResult]] = []

        async def send(index: int) -> None:
            into: dict[int, WriteResult] = {}
            on_nodes.append(into)
            failed.extend(await self._to_node(index, write, groups[index], False, into))

        if groups:
            await gather_groups(send, list(groups))
        self._router.copy_counts.writes += sum(map(len, groups.values()))
        _note_failures(on_nodes, results)
        return failed

    def _divert(  # noqa: PLR0917
        self,
        ring: PlacedRing,
        write: RoutedWrite,
        owner: int,
        position: int,
        batches: _Batches,
        results: list[WriteResult],
        done: Collection[int],
    ) -> None:
        """Find the nodes for a key whose owner is out, returning or settling."""
        name = self._nodes[owner].name
        key = write.keys[position]
        if position in write.impatient:
            route = self._router.read_route(key)
            if route is None:
                results[position] = WriteResult(
                    False, name, _why_out(self._router, key, "and not all clients know yet")
                )
            else:
                batches.add(write, position, (route[0],), owner)
            return
        nodes, skipped = self._router.targets(key, ring)
        why = ""
        if not nodes:
            why = "no cache node is up" if self._router.failover else "its node is out"
        elif not all(self._fences.declarations.established(each) for each in skipped):
            why = "its node is out, and not all clients know yet"
        elif not all(index in self._fences.returning or self._fences.usable(index) for index in nodes):
            why = "it is not known whether its node may be used"
        if why:
            results[position] = WriteResult(False, name, why)
            self._recovery.missed(owner, [write.places[position].key])
            return
        for each in skipped:
            self._fences.declarations.wrote_past(each)
        if nodes[0] != owner or len(nodes) > 1:
            self._recovery.missed(owner, [write.places[position].key]) if owner in skipped else None
        batches.add(write, position, tuple(index for index in nodes if index not in done), owner)

    async def _prepare(self, write: RoutedWrite, which: Sequence[int]) -> None:
        """Reach for nodes that are out, and let all clients know of those that stay so."""
        if write.adds:
            return
        fences, declarations = self._fences, self._fences.declarations
        out: dict[int, None] = {}
        hopeless: dict[int, None] = {}
        for ring in fences.rings.writes:
            for position in which:
                key = write.keys[position]
                if position in write.impatient or self._nodes[ring.owner(key)].up:
                    continue
                nodes, skipped = self._router.targets(key, ring)
                (out if nodes else hopeless).update(dict.fromkeys(skipped))
        if fences.rings.copies is not None:
            keys = [write.keys[at] for at in which if at not in write.impatient]
            out.update(dict.fromkeys(out_of_copies(self._router, fences.rings.copies, keys)))
        if hopeless:
            # Nobody takes over: what has just come back must not be found empty, or old, by readers first.
            await asyncio.gather(*(self._nodes[index].reach(self._timeout_s) for index in hopeless))
        waits = [
            declarations.declare(owner)
            for owner in out
            if owner not in fences.returning
            and not self._nodes[owner].up
            and not declarations.established(owner)
        ]
        if waits:
            await asyncio.wait(waits)

    async def _to_node(
        self,
        index: int,
        write: RoutedWrite,
        positions: list[int],
        past: bool,
        results: list[WriteResult] | dict[int, WriteResult],
    ) -> list[int]:
        """Send to one node; returns the positions it did not answer."""
        requests = write.encode(positions, past)
        connection = self._fences.returning.get(index)
        if self._nodes[index].up or connection is None:
            node = self._nodes[index]
            return await confirm(node, positions, requests, write.reasons, results, self._timeout_s)
        if await confirmed_by(connection, requests, self._timeout_s):
            outcome = WriteResult(True, self._nodes[index].name)
        else:
            outcome = WriteResult(False, self._nodes[index].name, "its node is on its way back")
        for position in positions:
            results[position] = outcome
        return []


def _note_failures(on_nodes: Iterable[Mapping[int, WriteResult]], results: list[WriteResult]) -> None:
    """A write is done when all nodes have it that must: one that has it not decides."""
    for outcomes in on_nodes:
        for position, outcome in outcomes.items():
            if results[position].ok and not outcome.ok:
                results[position] = outcome


def _why_out(router: Router, key: str, why: str) -> str:
    if router.failover_node(key) >= 0:
        return f"its node is out, {why}"
    return "no cache node is up" if router.failover else "its node is out"
