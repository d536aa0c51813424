"""Writing many keys at once: every set is confirmed, and none goes where it could turn up stale."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from iotcache.clock import Clock
from iotcache.cluster.exchange import exchange, gather_groups, windows
from iotcache.cluster.node import Node
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.pipelined_set import SetPipeline
from iotcache.cluster.recovery import Recovery
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import GetResult, Lease, Mode, SetItem, WriteResult
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import ErrorReply, StoreReplies
from iotcache.cluster.wire.connection import Connection, ConnectionLost
from iotcache.cluster.wire.protocol import BARRIER
from iotcache.errors import NodeError
from iotcache.ttl import MAX_TTL_S, RELATIVE_LIMIT_S, wire_ttl

_UNTOLD = WriteResult(False, "", "not sent")
_SET_REASONS = {
    b"HD": (True, ""),
    b"NS": (False, "the key is there already"),
    b"EX": (False, "the value was changed meanwhile"),
    b"NF": (False, "the key is not there"),
}
CONFLICTS = frozenset(why for ok, why in _SET_REASONS.values() if not ok)
"""Reasons of an `WriteResult` that say: somebody else was faster."""
_DELETE_REASONS = {b"HD": (True, ""), b"NF": (True, "it was not there")}
_TOUCH_REASONS = {
    b"HD": (True, ""),
    b"EN": (False, "the key is not there"),
    b"NF": (False, "the key is not there"),
}


class _Write(NamedTuple):
    """A set or delete of many keys."""

    keys: Sequence[str]
    places: list[Route]
    encode: Callable[[Sequence[int], bool], list[bytes]]
    """The requests for some positions; True when they go past a node that is out, for a short time."""
    impatient: frozenset[int]
    """Positions that must not wait until all clients know that a node is out: a reader's additions."""
    reasons: dict[bytes, tuple[bool, str]]

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

    def add(self, write: _Write, position: int, nodes: tuple[int, ...], owner: int) -> None:
        self.diverted.append(position)
        # The one that everybody takes for up is the last; a node on its way back is only written as well.
        for at, index in enumerate(reversed(nodes)):
            groups = self.first if not at else self.more
            groups.setdefault((index, index != owner), []).append(position)


class Writes:
    """The writing half of a cluster."""

    def __init__(
        self, router: Router, recovery: Recovery, *, timeout_s: float, failover_ttl_s: int, clock: Clock
    ) -> None:
        self._router = router
        self._recovery = recovery
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._failover_ttl_s = failover_ttl_s
        self._clock = clock
        self._monotonic = clock.monotonic
        self._pipeline = SetPipeline(router)

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
        flights = None
        now = self._monotonic()
        if ttls and max(ttls) <= RELATIVE_LIMIT_S and now <= self._fences.valid_until:
            flights = self._pipeline.send(items, self._timeout_s)
        if flights is None:
            write = self._sets(items)
            if not write.adds:
                self._fences.last_write = now
            return await self._write(write)
        self._fences.last_write = now
        results: list[WriteResult] = [_UNTOLD] * len(items)
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
            again += _note(node, order, answers, error, _shared(node, _SET_REASONS), results)
        if again:
            await self._send(self._sets(items), again, results)
        return results

    def _sets(self, items: Sequence[SetItem]) -> _Write:
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

        return _Write(keys, places, encode, impatient, _SET_REASONS)

    async def cas_many(self, items: Sequence[SetItem], seen: Sequence[GetResult]) -> list[WriteResult]:
        """Store each item only if it still is what ``seen`` (from ``get_many(…, cas=True)``) shows.

        A key whose node has changed meanwhile is refused: CAS uniques mean nothing on another node.
        """
        fences = self._fences
        if self._monotonic() > fences.valid_until:
            await fences.renew(range(len(self._nodes)))
        now = self._clock.now()
        places = self._router.places([item.key for item in items])
        results: list[WriteResult] = [_UNTOLD] * len(items)
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
            await self._confirm(
                index, groups[index], [encode(at, index) for at in groups[index]], _SET_REASONS, results
            )

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
            await self._confirm(index, elsewhere[index], requests, _DELETE_REASONS, deleted)
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

    async def delete_many(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        places = self._router.places(keys)
        if places:
            self._fences.last_write = self._monotonic()

        def encode(positions: Sequence[int], past: bool) -> list[bytes]:
            return [protocol.delete_request(places[position].key) for position in positions]

        return await self._write(_Write(keys, places, encode, frozenset(), _DELETE_REASONS))

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[WriteResult]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them.

        Only on their own nodes: what stands in for a node that is out lives shortly, and that is meant.
        """
        if type(ttl_s) is not int or not 0 < ttl_s <= MAX_TTL_S:
            raise ValueError(_wrong_ttl(", ".join(keys[:1]), ttl_s))
        ttl = wire_ttl(ttl_s, self._clock.now())
        places = self._router.places(keys)
        results: list[WriteResult] = [_UNTOLD] * len(places)
        if self._monotonic() > self._fences.valid_until:
            await self._fences.renew(range(len(self._nodes)))
        groups: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if self._fences.usable(place.owner):
                groups.setdefault(place.owner, []).append(position)
            else:
                results[position] = WriteResult(False, self._nodes[place.owner].name, "its node is out")

        async def ask(index: int) -> None:
            wanted = [protocol.touch_request(places[at].key, ttl) for at in groups[index]]
            await self._confirm(index, groups[index], wanted, _TOUCH_REASONS, results)

        await gather_groups(ask, list(groups))
        return results

    async def _write(self, write: _Write) -> list[WriteResult]:
        """Send every key to where it belongs now; what its node did not take is tried once more elsewhere."""
        results: list[WriteResult] = [_UNTOLD] * len(write.places)
        again = await self._send(write, range(len(write.places)), results)
        if again:
            await self._send(write, again, results)
        return results

    async def _send(self, write: _Write, which: Sequence[int], results: list[WriteResult]) -> list[int]:
        """Send the writes at ``which``; returns those whose node failed, for another try."""
        fences = self._fences
        if self._monotonic() > fences.valid_until:
            await fences.renew(range(len(self._nodes)))
        if not self._router.all_up:
            await self._prepare(write, which)
        began_s = self._monotonic()
        batches = _Batches()
        by_owner: list[list[int]] = [[] for _ in self._nodes]
        for position in which:
            by_owner[write.places[position][0]].append(position)
        for owner, positions in enumerate(by_owner):
            if positions and fences.usable(owner) and (write.adds or not fences.settling(owner)):
                batches.first[owner, False] = positions
            else:
                for position in positions:
                    self._divert(write, owner, position, batches, results)
        failed: list[int] = []
        second: dict[int, WriteResult] = {}

        async def send(batch: tuple[dict[tuple[int, bool], list[int]], tuple[int, bool]]) -> None:
            groups, (index, past) = batch
            positions = groups[index, past]
            into = results if groups is batches.first else second
            failed.extend(await self._to_node(index, write, positions, past, into))

        await gather_groups(
            send, [(groups, key) for groups in (batches.first, batches.more) for key in groups]
        )
        for position, outcome in second.items():
            if results[position].ok and not outcome.ok:
                results[position] = outcome
        if batches.diverted and self._monotonic() - began_s > LEASE_S:
            # The node passed over may be up again for others by now, and they would not look elsewhere.
            for position in batches.diverted:
                results[position] = WriteResult(
                    False, results[position].node, "the failover node was too slow"
                )
        return list(dict.fromkeys(position for position in failed if position not in write.impatient))

    def _divert(
        self,
        write: _Write,
        owner: int,
        position: int,
        batches: _Batches,
        results: list[WriteResult],
    ) -> None:
        """Find the nodes for a key whose owner is out, returning or settling."""
        name = self._nodes[owner].name
        key = write.keys[position]
        if position in write.impatient:
            route = self._router.read_route(key, owner)
            if route is None:
                results[position] = WriteResult(
                    False, name, _why_out(self._router, key, "and not all clients know yet")
                )
            else:
                batches.add(write, position, (route[0],), owner)
            return
        nodes, skipped = self._router.targets(key, owner)
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
        batches.add(write, position, nodes, owner)

    async def _prepare(self, write: _Write, which: Sequence[int]) -> None:
        """Reach for nodes that are out, and let all clients know of those that stay so."""
        if write.adds:
            return
        fences, declarations = self._fences, self._fences.declarations
        out: dict[int, None] = {}
        hopeless: dict[int, None] = {}
        for position in which:
            owner = write.places[position].owner
            if self._nodes[owner].up or position in write.impatient:
                continue
            nodes, skipped = self._router.targets(write.keys[position], owner)
            if nodes:
                out.update(dict.fromkeys(skipped))
            else:
                hopeless.update(dict.fromkeys(skipped))
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
        write: _Write,
        positions: list[int],
        past: bool,
        results: list[WriteResult] | dict[int, WriteResult],
    ) -> list[int]:
        """Send to one node; returns the positions it did not answer."""
        requests = write.encode(positions, past)
        connection = self._fences.returning.get(index)
        if self._nodes[index].up or connection is None:
            return await self._confirm(index, positions, requests, write.reasons, results)
        if await _confirmed(connection, requests, self._timeout_s):
            outcome = WriteResult(True, self._nodes[index].name)
        else:
            outcome = WriteResult(False, self._nodes[index].name, "its node is on its way back")
        for position in positions:
            results[position] = outcome
        return []

    async def _confirm(
        self,
        index: int,
        positions: list[int],
        requests: list[bytes],
        reasons: dict[bytes, tuple[bool, str]],
        results: list[WriteResult] | dict[int, WriteResult],
    ) -> list[int]:
        """Send ``requests`` to one node and note their outcomes; returns the positions it did not answer."""
        node = self._nodes[index]
        shared = _shared(node, reasons)
        order = iter(positions)
        unanswered: list[int] = []
        for answers, error in await exchange(node, requests, StoreReplies, self._timeout_s):
            unanswered += _note(node, order, answers, error, shared, results)
        return unanswered


def _shared(node: Node, reasons: dict[bytes, tuple[bool, str]]) -> dict[bytes, WriteResult]:
    """The outcome of each usual answer of ``node``, one for all keys."""
    return {line: WriteResult(ok, node.name, why) for line, (ok, why) in reasons.items()}


def _note(  # noqa: PLR0917
    node: Node,
    order: Iterator[int],
    answers: StoreReplies,
    error: NodeError | None,
    shared: dict[bytes, WriteResult],
    results: list[WriteResult] | dict[int, WriteResult],
) -> list[int]:
    """Put a window's outcomes where ``order`` says; returns the positions that may be tried elsewhere."""
    if error is not None:
        failed = WriteResult(False, node.name, str(error))
        positions = list(islice(order, answers.want))
        for position in positions:
            results[position] = failed
        # A node that is up and only slow would be no faster the second time.
        return positions if isinstance(error, ConnectionLost) or not node.up else []
    if answers.out.count(b"HD") == answers.want:  # as nearly always
        done = shared[b"HD"]
        for position in islice(order, answers.want):
            results[position] = done
        return []
    for answer, position in zip(answers.out, order, strict=False):
        results[position] = shared.get(answer) or WriteResult(False, node.name, _words(answer))
    return []


def _why_out(router: Router, key: str, why: str) -> str:
    if router.failover_node(key) >= 0:
        return f"its node is out, {why}"
    return "no cache node is up" if router.failover else "its node is out"


def _wrong_ttl(key: str, ttl_s: object) -> str:
    return f"the TTL of {key!r} is {ttl_s} s; it must be a whole number from 1 to {MAX_TTL_S}"


def _words(answer: object) -> str:
    return answer.text if isinstance(answer, ErrorReply) else f"unexpected answer {answer!r}"


async def _confirmed(connection: Connection, requests: list[bytes], timeout_s: float) -> bool:
    """Send ``requests`` over one connection; whether the node carried out all of them."""
    for window in windows(requests):
        answers = StoreReplies(len(window))
        try:
            await connection.submit(b"".join([*window, BARRIER]), answers, timeout_s)
        except NodeError:
            return False
        if any(isinstance(answer, ErrorReply) for answer in answers.out):
            return False
    return True
