"""Reading many keys at once: every node is asked in parallel, and every key gets an answer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Final, NamedTuple, Protocol

from iotcache.clock import Clock
from iotcache.cluster.copies.reading import CopiedReads
from iotcache.cluster.exchange import exchange, gather_groups
from iotcache.cluster.node import Node
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import GetResult, ItemInfo
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import ErrorReply, LineReplies, ProtocolViolation, StoreReplies
from iotcache.cluster.wire.connection import AnswerTimeout, ConnectionLost
from iotcache.cluster.wire.facts import ItemFacts, facts_reader
from iotcache.cluster.wire.gets import CheckedGetReplies, GetBatch, GetReplies
from iotcache.cluster.wire.protocol import BARRIER, checked_key
from iotcache.errors import NodeError
from iotcache.model import MissReason

_RETRY_JITTER_S: Final = 0.01
_ROUNDS: Final = 3
_DISCARD_TIMEOUT_S: Final = 5.0
_UNASKED = GetResult(False, failure=MissReason.NODE_DOWN)
_UNPROBED = ItemInfo(False, "", failure=MissReason.NODE_DOWN)


class _Read(NamedTuple):
    """A get of many keys."""

    keys: Sequence[str]
    places: list[Route]
    checked: Callable[[bytes], bytes] | None
    """The request for a key where its CAS unique matters; ``None`` where it does not."""


class ReadFallback(Protocol):
    """Where else to look while the ring changes; `iotcache.cluster.rings.handover.HandOver`."""

    async def complete(
        self,
        keys: Sequence[str],
        results: list[GetResult],
        checked: Callable[[bytes], bytes] | None,
        old: PlacedRing,
    ) -> None: ...


class Reads:
    """The reading half of a cluster."""

    def __init__(self, router: Router, *, timeout_s: float, clock: Clock, rng: Random) -> None:
        self._router = router
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._monotonic = clock.monotonic
        self._rng = rng
        self.copies = CopiedReads(router, self, clock=clock, rng=rng)
        self.fallback: ReadFallback
        """Set by the cluster client."""

    async def get_many(self, keys: Sequence[str], *, cas: bool = False) -> list[GetResult]:
        """The values of ``keys``, in their order. All nodes are asked at once, each in one pipelined batch.

        With ``cas`` each hit brings its CAS unique, for `cas_many`. A connection that ends under a read is
        replaced and the read tried once more; a time-out is not.
        """
        if cas:
            return await self._get_twice(keys, protocol.get_cas_request)
        copies = self._router.rings.copies
        if copies is None or self._router.observe or copies.read.isdisjoint(keys):
            return await self._get_twice(keys, None)
        if self._monotonic() > self._fences.valid_until:
            await self.renew()
            copies = self._router.rings.copies
            if copies is None:
                return await self._get_twice(keys, None)
        return await self.copies.get_many(keys, copies, lambda some: self._get_twice(some, None))

    async def lease_many(self, keys: Sequence[str], *, stub_s: int, recache_s: int = 0) -> list[GetResult]:
        """As `get_many`, and for each key that is not there one reader everywhere wins the lease to load it.

        The place is held for ``stub_s`` (> 0) seconds by an empty item, so that is how long others wait for
        a winner that dies. Keys whose node is out have no lease: load them, and let the rate be limited.
        """
        return await self._get_twice(keys, lambda key: protocol.lease_request(key, stub_s, recache_s))

    async def _get_twice(
        self, keys: Sequence[str], checked: Callable[[bytes], bytes] | None
    ) -> list[GetResult]:
        if self._monotonic() > self._fences.valid_until:
            await self.renew()
        router, rings = self._router, self._router.rings
        places = router.places(keys)
        results: list[GetResult] = [_UNASKED] * len(places)
        which: Sequence[int] = range(len(places))
        old = rings.fallback
        for _ in range(_ROUNDS):
            generation = router.generation
            again = await self._get(_Read(keys, places, checked), which, results)
            if again:
                await asyncio.sleep(self._rng.uniform(0, _RETRY_JITTER_S))
                await self._get(_Read(keys, places, checked), again, results)
            old = old or rings.fallback
            if old is not None and old in rings.writes:
                await self.fallback.complete(keys, results, checked, old)
            if generation == router.generation:
                break
            # The ring has changed meanwhile: what was missed may have been handed over, or be another's.
            await self.renew()
            before, places = places, router.places(keys)
            which = [
                at
                for at, got in enumerate(results)
                if not got.hit and (checked is None or places[at].owner != before[at].owner)
            ]
        return results

    async def renew(self) -> None:
        """Look at the nodes again where a lease has run out; again while the ring is not known."""
        for _ in range(_ROUNDS):
            await self._fences.renew(self._fences.active)
            if self._monotonic() <= self._fences.valid_until:
                return

    async def ask(
        self,
        routes: Mapping[int, tuple[int, int | None]],
        keys: Sequence[str],
        request: Callable[[bytes], bytes],
        results: dict[int, GetResult],
        *,
        again: bool = True,
    ) -> None:
        """Ask for the keys at some positions where ``routes`` says, with their CAS uniques.

        What was found with a value that does not count is removed, and asked for ``again``.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for position, (index, floor) in routes.items():
            groups.setdefault((index, floor or 0), []).append(position)

        async def ask(group: tuple[int, int]) -> None:
            index, floor = group
            node, order = self._nodes[index], iter(groups[group])
            wanted = [request(checked_key(keys[at])) for at in groups[group]]
            for answers, error in await exchange(node, wanted, _gets(node.name, floor), self._timeout_s):
                positions = list(islice(order, answers.want))
                failed = GetResult(False, node=node.name, failure=_failure(error))
                found = answers.out if error is None else [failed] * len(positions)
                results.update(zip(positions, found, strict=True))
                if error is None and answers.stale and not self._router.observe:
                    stale = [(checked_key(keys[positions[at]]), cas) for at, cas in answers.stale]
                    _discard(node, stale)
                    removed.update({positions[at]: routes[positions[at]] for at, _ in answers.stale})

        removed: dict[int, tuple[int, int | None]] = {}
        await gather_groups(ask, list(groups))
        if removed and again:
            await self.ask(removed, keys, request, results, again=False)

    async def _get(self, read: _Read, which: Sequence[int], results: list[GetResult]) -> list[int]:
        """Ask for the keys at the positions ``which``; returns those to be asked for once more.

        These are the ones whose connection was lost, and those found with a value that does not count.
        """
        keys, places, checked = read
        doubtful = self._monotonic() > self._fences.valid_until
        floors, uneven = self._fences.floors, self._router.rings.uneven
        groups: dict[tuple[int, int | None], list[int]] = {}
        by_owner: list[list[int]] = [[] for _ in self._nodes]
        for position in which:
            by_owner[places[position][0]].append(position)
        elsewhere: list[int] = []
        for owner, positions in enumerate(by_owner):
            if positions and self._nodes[owner].up and not (doubtful and not self._fences.usable(owner)):
                if uneven:
                    elsewhere += self._by_gain(owner, places, positions, groups, checked=checked is not None)
                else:
                    groups[owner, floors[owner] or (0 if checked else None)] = positions
            elif positions:
                elsewhere += positions
        for position in elsewhere:
            owner = places[position].owner
            route = self._router.read_route(keys[position])
            if route is None:
                results[position] = self._nothing(keys[position], owner)
            else:
                groups.setdefault(route, []).append(position)
        again: list[int] = []

        async def ask(group: tuple[int, int | None]) -> None:
            index, floor = group
            node = self._nodes[index]
            order = iter(groups[group])
            if floor is None:
                wanted = [places[position][1] for position in groups[group]]
            else:
                request = checked or protocol.get_cas_request
                if self._router.observe and checked is None:
                    request = protocol.look_cas_request
                wanted = [request(places[position][2]) for position in groups[group]]
            for answers, error in await exchange(node, wanted, _gets(node.name, floor), self._timeout_s):
                positions = list(islice(order, answers.want))
                if error is not None:
                    failed = GetResult(False, node=node.name, failure=_failure(error))
                    for position in positions:
                        results[position] = failed
                    if isinstance(error, ConnectionLost):
                        again.extend(positions)
                    continue
                for position, got in zip(positions, answers.out, strict=True):
                    results[position] = got
                if answers.stale and not self._router.observe:
                    _discard(node, [(places[positions[at]].key, cas) for at, cas in answers.stale])
                    if checked:
                        again.extend(positions[at] for at, _ in answers.stale)

        await gather_groups(ask, list(groups))
        self._blame_owners(places, elsewhere, results)
        return again

    def _by_gain(
        self,
        owner: int,
        places: list[Route],
        positions: list[int],
        groups: dict[tuple[int, int | None], list[int]],
        *,
        checked: bool,
    ) -> list[int]:
        """Group one node's keys by the floor that counts for each; returns those whose floor is not known."""
        unknown: list[int] = []
        by_epoch: dict[int, list[int]] = {}
        for position in positions:
            by_epoch.setdefault(places[position].since, []).append(position)
        for since, some in by_epoch.items():
            gained = self._router.rings.floor(owner, since)
            if gained is None:
                unknown += some
                continue
            floor = max(gained, self._fences.floors[owner]) or (0 if checked else None)
            groups.setdefault((owner, floor), []).extend(some)
        return unknown

    def _nothing(self, key: str, owner: int) -> GetResult:
        index = self._router.failover_node(key)
        name = self._nodes[owner if index < 0 else index].name
        return GetResult(False, node=name, failure=MissReason.NODE_DOWN)

    def _blame_owners(self, places: list[Route], which: Sequence[int], results: list[GetResult]) -> None:
        """A failover node that has nothing says little: the miss is the owner's, who is out."""
        for position in which:
            got = results[position]
            if not got.hit and got.failure is None and got.node != self._nodes[places[position].owner].name:
                results[position] = GetResult(
                    False,
                    node=got.node,
                    failure=MissReason.NODE_DOWN,
                    latency_ms=got.latency_ms,
                    cas=got.cas,
                    lease=got.lease,
                )

    async def probe_many(self, keys: Sequence[str]) -> list[ItemInfo]:
        """Look at items without counting as a read, touching the LRU or marking them fetched (``me``)."""
        if self._monotonic() > self._fences.valid_until:
            await self.renew()
        places = self._router.places(keys)
        results: list[ItemInfo] = [_UNPROBED] * len(places)
        rings = self._router.rings
        await self._probe(keys, range(len(keys)), places, rings.read, results)
        if rings.fallback is not None:
            missing = [at for at, info in enumerate(results) if not info.present]
            older = list(results)
            await self._probe(keys, missing, places, rings.fallback, older)
            for at in missing:
                if older[at].present:
                    results[at] = older[at]
        return results

    async def _probe(
        self,
        keys: Sequence[str],
        which: Iterable[int],
        places: Sequence[Route],
        ring: PlacedRing,
        results: list[ItemInfo],
    ) -> None:
        groups: dict[tuple[int, int | None], list[int]] = {}
        for position in which:
            route = self._router.read_route(keys[position], ring)
            if route is None:
                node = self._nothing(keys[position], places[position].owner).node
                results[position] = ItemInfo(False, node, failure=MissReason.NODE_DOWN)
            else:
                groups.setdefault(route, []).append(position)

        async def ask(route: tuple[int, int | None]) -> None:
            node = self._nodes[route[0]]
            floor = route[1] or 0
            found = node.capabilities
            make = functools.partial(LineReplies, meaning=facts_reader(found.negated_exp if found else False))
            wanted = [protocol.probe_request(places[at].key) for at in groups[route]]
            order = iter(groups[route])
            for answers, error in await exchange(node, wanted, make, self._timeout_s):
                for at in range(answers.want):
                    results[next(order)] = (
                        _probe(node.name, answers.out[at], floor)
                        if error is None
                        else ItemInfo(False, node.name, failure=_failure(error))
                    )

        await gather_groups(ask, list(groups))


def _gets(node: str, floor: int | None) -> Callable[[int], GetBatch]:
    if floor is None:
        return lambda want: GetReplies(want, node)
    return lambda want: CheckedGetReplies(want, node, floor)


def _failure(error: NodeError | None) -> MissReason:
    if isinstance(error, AnswerTimeout):
        return MissReason.TIMEOUT
    if isinstance(error, ProtocolViolation):
        return MissReason.CORRUPT
    return MissReason.NODE_DOWN


def _probe(name: str, facts: ItemFacts | ErrorReply | None, floor: int) -> ItemInfo:
    if isinstance(facts, ErrorReply):
        return ItemInfo(False, name, failure=MissReason.NODE_DOWN)
    if facts is None or facts.cas <= floor:
        return ItemInfo(False, name)
    return ItemInfo(True, name, facts.ttl_s, facts.age_s, facts.size, facts.fetched)


def _discard(node: Node, stale: list[tuple[bytes, int]]) -> None:
    """Remove items that do not count any more, so that what is added in their place is taken."""
    connection = node.connection
    if connection is not None:
        requests = [protocol.expire_request(key, cas) for key, cas in stale]
        done = connection.submit(b"".join([*requests, BARRIER]), StoreReplies(len(stale)), _DISCARD_TIMEOUT_S)
        done.add_done_callback(lambda future: future.exception())
