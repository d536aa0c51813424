"""Writing many keys at once: every set is confirmed, and none goes where it could turn up stale."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from iotcache.clock import Clock
from iotcache.cluster.exchange import exchange, gather_groups, windows
from iotcache.cluster.fence import LEASE_S
from iotcache.cluster.node import Node
from iotcache.cluster.pipelined_set import SetPipeline
from iotcache.cluster.router import Route, Router
from iotcache.cluster.types import GetResult, Mode, SetItem, WriteResult
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import ErrorReply, StoreReplies
from iotcache.cluster.wire.connection import Connection, ConnectionLost
from iotcache.cluster.wire.protocol import BARRIER
from iotcache.errors import NodeError
from iotcache.ttl import RELATIVE_LIMIT_S, wire_ttl

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
    """The requests for some positions; True when they are for a stand-in."""
    impatient: frozenset[int]
    """Positions that must not wait until all clients know that a node is out."""
    reasons: dict[bytes, tuple[bool, str]]


class Writes:
    """The writing half of a cluster."""

    def __init__(self, router: Router, *, timeout_s: float, failover_ttl_s: int, clock: Clock) -> None:
        self._router = router
        self._nodes = router.nodes
        self._fences = router.fences
        self._timeout_s = timeout_s
        self._failover_ttl_s = failover_ttl_s
        self._clock = clock
        self._bursts = SetPipeline(router)
        self.last_at = float("-inf")
        """Monotonic time of the last write."""

    async def set_many(self, items: Sequence[SetItem]) -> list[WriteResult]:
        """Store ``items``; every set is confirmed by its node, and the outcomes are in their order.

        A set whose node is out goes to its stand-in, with a short life; the first one after the node was
        lost waits until all clients know of it (about half a second), one in `Mode.ADD` does not and is
        refused. Raises ValueError for a life that is not positive.
        """
        lives = {item.ttl_s for item in items}
        if lives and min(lives) <= 0:
            item = next(item for item in items if item.ttl_s <= 0)
            raise ValueError(f"the life of {item.key!r} is {item.ttl_s} s; it must be positive")
        flights = None
        if lives and max(lives) <= RELATIVE_LIMIT_S:
            self.last_at = time.monotonic()
            if self.last_at > self._fences.valid_until:
                await self._fences.renew()
            flights = self._bursts.send(items, self._timeout_s)
        if flights is None:
            return await self._write(self._sets(items))
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
            again += _note(node, order, flight.answers, error, _shared(node, _SET_REASONS), results)
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

        def encode(positions: Sequence[int], stand_in: bool) -> list[bytes]:
            requests = []
            for position in positions:
                item = items[position]
                ttl = wire_ttl(min(item.ttl_s, longest) if stand_in else item.ttl_s, now)
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
        if time.monotonic() > self._fences.valid_until:
            await self._fences.renew()
        now = self._clock.now()
        places = self._router.places([item.key for item in items])
        results: list[WriteResult] = [_UNTOLD] * len(items)
        groups: dict[int, list[int]] = {}
        for position, (_, got) in enumerate(zip(items, seen, strict=True)):
            owner = places[position].owner
            node = self._nodes[owner]
            if not got.cas or got.node != node.name or not node.up:
                results[position] = WriteResult(
                    False, node.name, "it was not read with its CAS unique from this node"
                )
            else:
                groups.setdefault(owner, []).append(position)

        def encode(position: int) -> bytes:
            item = items[position]
            extra = b" C%d" % seen[position].cas
            return protocol.set_request(
                places[position].key, item.value, item.flags, wire_ttl(item.ttl_s, now), extra
            )

        async def ask(index: int) -> None:
            await self._confirm(
                index, groups[index], [encode(at) for at in groups[index]], _SET_REASONS, results
            )

        await gather_groups(ask, list(groups))
        return results

    async def release_many(self, keys: Sequence[str], seen: Sequence[GetResult]) -> None:
        """Give back leases (from `lease_many`) whose values could not be loaded, so that others may try."""
        groups: dict[int, list[bytes]] = {}
        for place, got in zip(self._router.places(keys), seen, strict=True):
            if got.cas and self._nodes[place.owner].name == got.node:
                groups.setdefault(place.owner, []).append(protocol.delete_request(place.key, got.cas))

        async def release(index: int) -> None:
            await exchange(self._nodes[index], groups[index], StoreReplies, self._timeout_s)

        await gather_groups(release, list(groups))

    async def delete_many(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        places = self._router.places(keys)

        def encode(positions: Sequence[int], stand_in: bool) -> list[bytes]:
            return [protocol.delete_request(places[position].key) for position in positions]

        return await self._write(_Write(keys, places, encode, frozenset(), _DELETE_REASONS))

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[WriteResult]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them.

        Only on their own nodes: what stands in for a node that is out lives shortly, and that is meant.
        """
        if ttl_s <= 0:
            raise ValueError(f"a life of {ttl_s} s is not positive")
        ttl = wire_ttl(ttl_s, self._clock.now())
        places = self._router.places(keys)
        results: list[WriteResult] = [_UNTOLD] * len(places)
        groups: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if self._nodes[place.owner].up:
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
        self.last_at = time.monotonic()
        results: list[WriteResult] = [_UNTOLD] * len(write.places)
        again = await self._send(write, range(len(write.places)), results)
        if again:
            await self._send(write, again, results)
        return results

    async def _send(self, write: _Write, which: Sequence[int], results: list[WriteResult]) -> list[int]:
        """Send the writes at ``which``; returns those whose node failed and that a stand-in may take."""
        if time.monotonic() > self._fences.valid_until:
            await self._fences.renew()
        if not self._router.all_up:
            await self._declare_missing(write, which)
        by_owner: list[list[int]] = [[] for _ in self._nodes]
        for position in which:
            by_owner[write.places[position][0]].append(position)
        at_owner: dict[int, list[int]] = {}
        elsewhere: dict[int, list[int]] = {}
        for owner, positions in enumerate(by_owner):
            if positions and self._nodes[owner].up:
                at_owner[owner] = positions
            elif positions:
                self._divert(write, owner, positions, elsewhere, results)
        failed: list[int] = []

        async def to_owner(index: int) -> None:
            positions = at_owner[index]
            requests = write.encode(positions, False)
            unanswered = await self._confirm(index, positions, requests, write.reasons, results)
            failed.extend(position for position in unanswered if position not in write.impatient)

        tasks: list[Callable[[], Coroutine[Any, Any, None]]] = [partial(to_owner, at) for at in at_owner]
        if elsewhere:
            tasks.append(partial(self._send_elsewhere, write, elsewhere, results))
        await gather_groups(_run, tasks)
        return failed

    def _divert(
        self,
        write: _Write,
        owner: int,
        positions: list[int],
        elsewhere: dict[int, list[int]],
        results: list[WriteResult],
    ) -> None:
        """Find the stand-ins for the keys of a node that is out."""
        name = self._nodes[owner].name
        returning = owner in self._fences.returning
        declared = self._fences.declared(owner)
        for position in positions:
            stand_in = self._router.stand_in(write.keys[position])
            if stand_in < 0:
                why = "no cache node is up" if self._router.failover else "its node is out"
                results[position] = WriteResult(False, name, why)
            elif position not in write.impatient if returning else declared:
                elsewhere.setdefault(stand_in, []).append(position)
            else:
                results[position] = WriteResult(False, name, "its node is out, and not all clients know yet")

    async def _send_elsewhere(
        self, write: _Write, elsewhere: dict[int, list[int]], results: list[WriteResult]
    ) -> None:
        """Write to the nodes that stand in for others."""
        started = time.monotonic()
        await self._also_at_returning(write, elsewhere, results)

        async def to_stand_in(index: int) -> None:
            positions = elsewhere[index]
            requests = write.encode(positions, True)
            await self._confirm(index, positions, requests, write.reasons, results)

        await gather_groups(to_stand_in, [index for index, positions in elsewhere.items() if positions])
        if time.monotonic() - started > LEASE_S:
            # Its owner may be up again by now for others, who would not look at the stand-in any more.
            for positions in elsewhere.values():
                for position in positions:
                    results[position] = WriteResult(
                        False, results[position].node, "the stand-in was too slow"
                    )

    async def _declare_missing(self, write: _Write, which: Sequence[int]) -> None:
        """Let all clients know which of the nodes concerned are out, before anything is written elsewhere."""
        out = {write.places[at].owner for at in which if not self._nodes[write.places[at].owner].up}
        waits = set()
        for owner in out:
            if owner not in self._fences.returning and not self._fences.declared(owner):
                task = self._fences.declare(owner)
                if any(at not in write.impatient and write.places[at].owner == owner for at in which):
                    waits.add(task)
        if waits:
            await asyncio.wait(waits)

    async def _also_at_returning(
        self, write: _Write, elsewhere: dict[int, list[int]], results: list[WriteResult]
    ) -> None:
        """While a node is being made safe, what is written elsewhere is written to it as well.

        Clients that have it back already read it there. What it does not take is not written at all.
        """
        back: dict[int, list[int]] = {}
        for positions in elsewhere.values():
            for position in positions:
                back.setdefault(write.places[position].owner, []).append(position)
        for owner, positions in back.items():
            self._fences.wrote_elsewhere(owner, [write.places[position].key for position in positions])
            connection = self._fences.returning.get(owner)
            if connection is None:
                continue
            requests = write.encode(positions, False)
            if await _confirmed(connection, requests, self._timeout_s):
                continue
            refused = set(positions)
            for stand_in, kept in elsewhere.items():
                elsewhere[stand_in] = [at for at in kept if at not in refused]
            for position in positions:
                results[position] = WriteResult(False, self._nodes[owner].name, "its node is on its way back")

    async def _confirm(
        self,
        index: int,
        positions: list[int],
        requests: list[bytes],
        reasons: dict[bytes, tuple[bool, str]],
        results: list[WriteResult],
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
    results: list[WriteResult],
) -> list[int]:
    """Put a window's outcomes where ``order`` says; returns the positions that a stand-in may take."""
    unanswered: list[int] = []
    if answers.out.count(b"HD") == answers.want:  # as nearly always
        done = shared[b"HD"]
        for position in islice(order, answers.want):
            results[position] = done
        return unanswered
    for answer, position in zip(answers.out, order, strict=False):
        results[position] = shared.get(answer) or WriteResult(False, node.name, _words(answer))
    if error is not None:
        failed = WriteResult(False, node.name, str(error))
        for position in islice(order, answers.want - len(answers.out)):
            results[position] = failed
            # A node that is up and only slow would be no faster the second time.
            if isinstance(error, ConnectionLost) or not node.up:
                unanswered.append(position)
    return unanswered


async def _run(task: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await task()


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
