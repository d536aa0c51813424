"""Many memcached nodes as one: routing, parallel pipelined batches, and an answer for every key."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from random import Random
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.cluster import protocol
from iotcache.cluster.answers import (
    Gets,
    ItemFacts,
    Lines,
    ProtocolViolation,
    Refusal,
    Stats,
    Stored,
    facts_reader,
)
from iotcache.cluster.connection import AnswerTimeout, Connection, ConnectionLost
from iotcache.cluster.dial import tls_context as tls_of
from iotcache.cluster.exchange import exchange, together, windows
from iotcache.cluster.fence import LEASE_S, Fences
from iotcache.cluster.node import Node, submit
from iotcache.cluster.placement import placement as placement_by_name
from iotcache.cluster.protocol import BARRIER
from iotcache.cluster.stats import NodeLimits, NodeStats, SlabClass, node_limits, node_stats, slab_classes
from iotcache.cluster.types import Got, Item, Mode, Outcome, Probe
from iotcache.config.schema import BreakerSettings, CacheSettings
from iotcache.errors import NodeError
from iotcache.model import Event, MissReason, NodeHealth, NodeState, Severity
from iotcache.ttl import RELATIVE_LIMIT_S, wire_ttl

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_MEMO_MAX: Final = 500_000
_RETRY_JITTER_S: Final = 0.01
_DISCARD_TIMEOUT_S: Final = 5.0


class _Place(NamedTuple):
    """What never changes about a key: looked up once, used for every request."""

    owner: int
    get: bytes
    key: bytes


class _Write(NamedTuple):
    """A set or delete of many keys."""

    keys: Sequence[str]
    places: list[_Place]
    encode: Callable[[int, bool], bytes]
    """The request for a position; True when it is for a stand-in."""
    may_wait: list[bool]
    reasons: dict[bytes, tuple[bool, str]]


class Cluster:
    """The cluster client. An async context manager; safe for any number of concurrent callers of one loop.

    Nothing here raises for a node's sake: a node that cannot answer shows in the answers for its keys.
    `KeyFormatError` is raised for a key that is no key, before anything is sent.
    """

    def __init__(
        self,
        nodes: Sequence[NodeAddress],
        *,
        placement: str = "ketama",
        connect_timeout_s: float = 0.5,
        operation_timeout_s: float = 0.5,
        breaker: BreakerSettings | None = None,
        failover_ttl_s: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        on_event: Callable[[Event], None] | None = None,
        username: str = "",
        password: str = "",
        tls_context: SSLContext | None = None,
    ) -> None:
        self._placement = placement_by_name(placement, nodes)
        self._clock = clock
        self._rng = rng or Random()
        self._timeout_s = operation_timeout_s
        self._failover_ttl_s = max(1, round(failover_ttl_s))
        self._on_event = on_event
        self._nodes = tuple(
            Node(
                address,
                self,
                connect_timeout_s=connect_timeout_s,
                operation_timeout_s=operation_timeout_s,
                breaker=breaker or BreakerSettings(),
                clock=clock,
                rng=self._rng,
                username=username,
                password=password,
                tls_context=tls_context,
            )
            for address in nodes
        )
        self._memo: dict[str, _Place] = {}
        self._stand_ins: dict[str, int] = {}
        self._all_up = False
        self._wrote_at = float("-inf")
        self._fences = Fences(
            self._nodes, timeout_s=operation_timeout_s, keep_declared_s=failover_ttl_s + 2.0
        )

    @classmethod
    def from_settings(
        cls,
        nodes: Sequence[NodeAddress],
        cache: CacheSettings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Self:
        """A cluster as the configuration's ``[cache]`` section describes it."""
        return cls(
            nodes,
            placement=cache.placement,
            connect_timeout_s=cache.connect_timeout_s,
            operation_timeout_s=cache.operation_timeout_s,
            breaker=cache.breaker,
            failover_ttl_s=cache.ttl.failover_s,
            clock=clock,
            rng=rng,
            on_event=on_event,
            username=cache.username,
            password=cache.password,
            tls_context=tls_of(cache),
        )

    async def __aenter__(self) -> Self:
        """Reach for all nodes at once; those that do not answer are down, and tried again later."""
        for node in self._nodes:
            node.start()
        for node in self._nodes:
            await node.settled()
        self._fences.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections and background work."""
        await self._fences.close()
        for node in self._nodes:
            await node.close()

    # Where things are ------------------------------------------------------------------------

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes in the order of the configuration."""
        return tuple(node.name for node in self._nodes)

    def node_of(self, key: str) -> str:
        """The node that owns ``key``, alive or not."""
        return self._nodes[self._place(key).owner].name

    def health(self) -> tuple[NodeHealth, ...]:
        """Each node as it stands, in the order of the configuration."""
        return tuple(node.health() for node in self._nodes)

    def _place(self, key: str) -> _Place:
        place = self._memo.get(key)
        if place is None:
            wire = protocol.checked_key(key)
            place = _Place(self._placement.owner(key), protocol.get_request(wire), wire)
            if len(self._memo) >= _MEMO_MAX:
                self._memo.clear()
            self._memo[key] = place
        return place

    def _places(self, keys: Iterable[str]) -> list[_Place]:
        memo = self._memo
        try:
            return [memo[key] for key in keys]
        except KeyError:
            return [self._place(key) for key in keys]

    def _stand_in(self, key: str) -> int:
        """The first node in the key's own order that is up; -1 for none."""
        found = self._stand_ins.get(key)
        if found is None:
            found = next((index for index in self._placement.order(key) if self._nodes[index].up), -1)
            if len(self._stand_ins) >= _MEMO_MAX:
                self._stand_ins.clear()
            self._stand_ins[key] = found
        return found

    # Reading ---------------------------------------------------------------------------------

    async def get_many(self, keys: Sequence[str], *, cas: bool = False) -> list[Got]:
        """The values of ``keys``, in their order. All nodes are asked at once, each in one pipelined batch.

        With ``cas`` each hit brings its CAS unique, for `cas_many`. A connection that ends under a read is
        replaced and the read tried once more; a time-out is not.
        """
        places = self._places(keys)
        results: list[Got] = [_UNASKED] * len(places)
        again = await self._get(keys, places, range(len(places)), results, cas)
        if again:
            await asyncio.sleep(self._rng.uniform(0, _RETRY_JITTER_S))
            await self._get(keys, places, again, results, cas)
        return results

    async def _get(
        self, keys: Sequence[str], places: list[_Place], which: Sequence[int], results: list[Got], cas: bool
    ) -> list[int]:
        """Ask for the keys at the positions ``which``; returns those whose connection was lost."""
        if time.monotonic() > self._fences.valid_until:
            await self._fences.renew()
        floors = self._fences.floors
        groups: dict[tuple[int, int | None], list[int]] = {}
        if self._all_up:
            by_owner: list[list[int]] = [[] for _ in self._nodes]
            for position in which:
                by_owner[places[position][0]].append(position)
            for owner, positions in enumerate(by_owner):
                if positions:
                    groups[owner, floors[owner] or (0 if cas else None)] = positions
        else:
            for position in which:
                owner = places[position].owner
                route = self._read_route(keys[position], owner)
                if route is None:
                    results[position] = self._nothing(keys[position], owner)
                else:
                    target, floor = route
                    groups.setdefault((target, floor or (0 if cas else None)), []).append(position)
        lost: list[int] = []

        async def ask(group: tuple[int, int | None]) -> None:
            index, floor = group
            node = self._nodes[index]
            order = iter(groups[group])
            if floor is None:
                wanted = [places[position][1] for position in groups[group]]
            else:
                wanted = [protocol.get_cas_request(places[position][2]) for position in groups[group]]
            make = functools.partial(Gets, node=node.name, floor=floor)
            for answers, error in await exchange(node, wanted, make, self._timeout_s):
                positions = list(islice(order, answers.want))
                for position, got in zip(positions, answers.out, strict=False):
                    results[position] = got
                if answers.stale:
                    _discard(node, [(places[positions[at]].key, stale) for at, stale in answers.stale])
                if error is not None:
                    failed = Got(False, node=node.name, failure=_failure(error))
                    unanswered = positions[len(answers.out) :]
                    for position in unanswered:
                        results[position] = failed
                    if isinstance(error, ConnectionLost):
                        lost.extend(unanswered)

        await together(ask, list(groups))
        if not self._all_up:
            self._blame_owners(places, which, results)
        return lost

    def _read_route(self, key: str, owner: int) -> tuple[int, int | None] | None:
        """Which node to ask for ``key``, and above which CAS unique its items count; ``None``: none."""
        if self._nodes[owner].up:
            return owner, self._fences.floors[owner] or None
        stand_in = self._stand_in(key)
        if stand_in < 0:
            return None
        floor = self._fences.stand_in_floor(stand_in, owner)
        return None if floor is None else (stand_in, floor)

    def _nothing(self, key: str, owner: int) -> Got:
        stand_in = self._stand_in(key)
        name = self._nodes[owner if stand_in < 0 else stand_in].name
        return Got(False, node=name, failure=MissReason.NODE_DOWN)

    def _blame_owners(self, places: list[_Place], which: Sequence[int], results: list[Got]) -> None:
        """A stand-in that has nothing says little: the miss is the owner's, who is out."""
        for position in which:
            got = results[position]
            if not got.hit and got.failure is None and got.node != self._nodes[places[position].owner].name:
                results[position] = Got(
                    False, node=got.node, failure=MissReason.NODE_DOWN, latency_ms=got.latency_ms
                )

    async def probe_many(self, keys: Sequence[str]) -> list[Probe]:
        """Look at items without counting as a read, touching the LRU or marking them fetched (``me``)."""
        places = self._places(keys)
        results: list[Probe] = [_UNPROBED] * len(places)
        groups: dict[tuple[int, int | None], list[int]] = {}
        for position, place in enumerate(places):
            route = self._read_route(keys[position], place.owner)
            if route is None:
                node = self._nothing(keys[position], place.owner).node
                results[position] = Probe(False, node, failure=MissReason.NODE_DOWN)
            else:
                groups.setdefault(route, []).append(position)

        async def ask(route: tuple[int, int | None]) -> None:
            node = self._nodes[route[0]]
            floor = route[1] or 0
            found = node.capabilities
            make = functools.partial(Lines, meaning=facts_reader(found.negated_exp if found else False))
            wanted = [protocol.probe_request(places[at].key) for at in groups[route]]
            order = iter(groups[route])
            for answers, error in await exchange(node, wanted, make, self._timeout_s):
                for facts in answers.out:
                    results[next(order)] = _probe(node.name, facts, floor)
                for _ in range(answers.want - len(answers.out)):
                    results[next(order)] = Probe(False, node.name, failure=_failure(error))

        await together(ask, list(groups))
        return results

    # Writing ---------------------------------------------------------------------------------

    async def set_many(self, items: Sequence[Item]) -> list[Outcome]:
        """Store ``items``; every set is confirmed by its node, and the outcomes are in their order.

        A set whose node is out goes to its stand-in, with a short life; the first one after the node was
        lost waits until all clients know of it (about half a second), one in `Mode.ADD` does not and is
        refused. Raises ValueError for a life that is not positive.
        """
        now = self._clock.now()
        places = self._places([item.key for item in items])
        for item in items:
            if item.ttl_s <= 0:
                raise ValueError(f"the life of {item.key!r} is {item.ttl_s} s; it must be positive")

        def encode(position: int, stand_in: bool) -> bytes:
            item = items[position]
            ttl = min(item.ttl_s, self._failover_ttl_s) if stand_in else item.ttl_s
            if ttl > RELATIVE_LIMIT_S:
                ttl = wire_ttl(ttl, now)
            value = item.value
            key = places[position][2]
            if item.mode is Mode.SET:
                return b"ms %b %d T%d F%d\r\n%b\r\n" % (key, len(value), ttl, item.flags, value)
            return protocol.set_request(key, value, item.flags, ttl, b" ME")

        may_wait = [item.mode is Mode.SET for item in items]
        return await self._write(_Write([item.key for item in items], places, encode, may_wait, _SET_REASONS))

    async def cas_many(self, items: Sequence[Item], seen: Sequence[Got]) -> list[Outcome]:
        """Store each item only if it still is what ``seen`` (from ``get_many(…, cas=True)``) shows.

        A key whose node has changed meanwhile is refused: CAS uniques mean nothing on another node.
        """
        now = self._clock.now()
        places = self._places([item.key for item in items])
        results: list[Outcome] = [_UNTOLD] * len(items)
        groups: dict[int, list[int]] = {}
        for position, (_, got) in enumerate(zip(items, seen, strict=True)):
            owner = places[position].owner
            node = self._nodes[owner]
            if not got.hit or not got.cas or got.node != node.name or not node.up:
                results[position] = Outcome(
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

        await together(ask, list(groups))
        return results

    async def delete_many(self, keys: Sequence[str]) -> list[Outcome]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        places = self._places(keys)

        def encode(position: int, stand_in: bool) -> bytes:
            return protocol.delete_request(places[position].key)

        return await self._write(_Write(keys, places, encode, [True] * len(keys), _DELETE_REASONS))

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[Outcome]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them.

        Only on their own nodes: what stands in for a node that is out lives shortly, and that is meant.
        """
        if ttl_s <= 0:
            raise ValueError(f"a life of {ttl_s} s is not positive")
        ttl = wire_ttl(ttl_s, self._clock.now())
        places = self._places(keys)
        results: list[Outcome] = [_UNTOLD] * len(places)
        groups: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if self._nodes[place.owner].up:
                groups.setdefault(place.owner, []).append(position)
            else:
                results[position] = Outcome(False, self._nodes[place.owner].name, "its node is out")

        async def ask(index: int) -> None:
            wanted = [protocol.touch_request(places[at].key, ttl) for at in groups[index]]
            await self._confirm(index, groups[index], wanted, _TOUCH_REASONS, results)

        await together(ask, list(groups))
        return results

    async def _write(self, write: _Write) -> list[Outcome]:
        """Send every key to where it belongs now; what its node did not take is tried once more elsewhere."""
        self._wrote_at = time.monotonic()
        results: list[Outcome] = [_UNTOLD] * len(write.places)
        again = await self._send(write, range(len(write.places)), results)
        if again:
            await self._send(write, again, results)
        return results

    async def _send(self, write: _Write, which: Sequence[int], results: list[Outcome]) -> list[int]:
        """Send the writes at ``which``; returns those whose node failed and that a stand-in may take."""
        if time.monotonic() > self._fences.valid_until:
            await self._fences.renew()
        if not self._all_up:
            await self._declare_missing(write, which)
        at_owner: dict[int, list[int]] = {}
        elsewhere: dict[int, list[int]] = {}
        nodes = self._nodes
        for position in which:
            owner = write.places[position][0]
            if self._all_up or nodes[owner].up:
                found = at_owner.get(owner)
                if found is None:
                    found = at_owner[owner] = []
                found.append(position)
                continue
            stand_in = self._stand_in(write.keys[position])
            if stand_in < 0:
                results[position] = Outcome(False, nodes[owner].name, "no cache node is up")
            elif (
                write.may_wait[position] if owner in self._fences.returning else self._fences.declared(owner)
            ):
                elsewhere.setdefault(stand_in, []).append(position)
            else:
                results[position] = Outcome(
                    False, nodes[owner].name, "its node is out, and not all clients know yet"
                )
        failed: list[int] = []

        async def to_owner(index: int) -> None:
            positions = at_owner[index]
            requests = [write.encode(position, False) for position in positions]
            failed.extend(await self._confirm(index, positions, requests, write.reasons, results))

        tasks: list[tuple[Callable[[int], Awaitable[None]], int]] = [(to_owner, index) for index in at_owner]
        if elsewhere:
            started = time.monotonic()

            async def to_stand_in(index: int) -> None:
                positions = elsewhere[index]
                requests = [write.encode(position, True) for position in positions]
                await self._confirm(index, positions, requests, write.reasons, results)

            await self._also_at_returning(write, elsewhere, results)
            tasks += [(to_stand_in, index) for index in elsewhere]
        await together(lambda task: task[0](task[1]), tasks)
        if elsewhere and time.monotonic() - started > LEASE_S:
            # Its owner may be up again by now for others, who would not look at the stand-in any more.
            for positions in elsewhere.values():
                for position in positions:
                    results[position] = Outcome(False, results[position].node, "the stand-in was too slow")
        return [position for position in failed if write.may_wait[position]]

    async def _declare_missing(self, write: _Write, which: Sequence[int]) -> None:
        """Let all clients know which of the nodes concerned are out, before anything is written elsewhere."""
        out = {write.places[at].owner for at in which if not self._nodes[write.places[at].owner].up}
        waits = set()
        for owner in out:
            if owner not in self._fences.returning and not self._fences.declared(owner):
                task = self._fences.declare(owner)
                if any(write.may_wait[at] and write.places[at].owner == owner for at in which):
                    waits.add(task)
        if waits:
            await asyncio.wait(waits)

    async def _also_at_returning(
        self, write: _Write, elsewhere: dict[int, list[int]], results: list[Outcome]
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
            requests = [write.encode(position, False) for position in positions]
            if await _confirmed(connection, requests, self._timeout_s):
                continue
            refused = set(positions)
            for stand_in, kept in elsewhere.items():
                elsewhere[stand_in] = [at for at in kept if at not in refused]
            for position in positions:
                results[position] = Outcome(False, self._nodes[owner].name, "its node is on its way back")

    async def _confirm(
        self,
        index: int,
        positions: list[int],
        requests: list[bytes],
        reasons: dict[bytes, tuple[bool, str]],
        results: list[Outcome],
    ) -> list[int]:
        """Send ``requests`` to one node and note their outcomes; returns the positions it did not answer."""
        node = self._nodes[index]
        shared = {line: Outcome(ok, node.name, why) for line, (ok, why) in reasons.items()}
        order = iter(positions)
        unanswered: list[int] = []
        for answers, error in await exchange(node, requests, Stored, self._timeout_s):
            for answer, position in zip(answers.out, order, strict=False):
                results[position] = shared.get(answer) or Outcome(False, node.name, _words(answer))
            if error is not None:
                failed = Outcome(False, node.name, str(error))
                for position in islice(order, answers.want - len(answers.out)):
                    results[position] = failed
                    if not isinstance(error, ProtocolViolation):
                        unanswered.append(position)
        return unanswered

    # Node facts ------------------------------------------------------------------------------

    async def stats(self, *arguments: str) -> dict[str, dict[str, str]]:
        """Raw ``stats`` (with ``arguments`` such as ``slabs``) of every node that answers."""
        request = " ".join(("stats", *arguments)).encode("ascii") + b"\r\n"
        if b"\n" in request[:-1] or b"\r" in request[:-2]:
            raise ValueError("an argument of stats holds a line end")
        found: dict[str, dict[str, str]] = {}

        async def ask(index: int) -> None:
            node = self._nodes[index]
            answers = Stats()
            try:
                await submit(node, request, answers, self._timeout_s)
            except NodeError:
                return
            if isinstance(answers.out, dict):
                found[node.name] = answers.out

        await together(ask, [index for index, node in enumerate(self._nodes) if node.up])
        return {name: found[name] for name in self.node_names if name in found}

    async def node_stats(self) -> dict[str, NodeStats | None]:
        """General statistics of every node, typed; ``None`` for one that does not answer."""
        raw = await self.stats()
        return {name: node_stats(raw[name]) if name in raw else None for name in self.node_names}

    async def slab_stats(self) -> dict[str, tuple[SlabClass, ...]]:
        """Slab classes (memory and LRU) of every node that answers."""
        slabs, items = await asyncio.gather(self.stats("slabs"), self.stats("items"))
        return {name: slab_classes(slabs[name], items[name]) for name in slabs if name in items}

    async def node_limits(self) -> dict[str, NodeLimits]:
        """What every node that answers was started with."""
        return {name: node_limits(raw) for name, raw in (await self.stats("settings")).items()}

    # What nodes ask and tell -----------------------------------------------------------------

    def changed(self, node: Node, before: NodeState) -> None:
        """A node is in another state now: route anew, and tell whoever listens."""
        self._stand_ins.clear()
        self._all_up = all(each.up for each in self._nodes)
        if node.up:
            self._fences.came_up(self._nodes.index(node))
        else:
            wrote_lately = time.monotonic() < self._wrote_at + self._failover_ttl_s
            self._fences.went_out(self._nodes.index(node), declare=wrote_lately and before is NodeState.UP)
        if self._on_event is not None and node.state is not NodeState.PROBING:
            self._tell(node, before)

    def _tell(self, node: Node, before: NodeState) -> None:
        if node.state is NodeState.DOWN:
            if before is NodeState.PROBING:
                return  # still down: no news
            event = ("node_down", Severity.ERROR, f"is out: {node.reason}")
        elif before is NodeState.STARTING:
            event = ("node_up", Severity.INFO, "is up")
        else:
            event = (
                "node_up",
                Severity.INFO,
                "is up again" + (", restarted and empty" if node.restarted else ""),
            )
        kind, severity, text = event
        assert self._on_event is not None
        self._on_event(Event(self._clock.now(), kind, severity, node.name, f"{node.name} {text}"))

    async def before_up(self, node: Node, connection: Connection, *, returning: bool) -> None:
        """Called by a node that answers, before it is shown up."""
        await self._fences.before_up(self._nodes.index(node), connection, returning=returning)


_UNASKED = Got(False, failure=MissReason.NODE_DOWN)
_UNPROBED = Probe(False, "", failure=MissReason.NODE_DOWN)
_UNTOLD = Outcome(False, "", "not sent")
_SET_REASONS = {
    b"HD": (True, ""),
    b"NS": (False, "the key is there already"),
    b"EX": (False, "the value was changed meanwhile"),
    b"NF": (False, "the key is not there"),
}
_DELETE_REASONS = {b"HD": (True, ""), b"NF": (True, "it was not there")}
_TOUCH_REASONS = {
    b"HD": (True, ""),
    b"EN": (False, "the key is not there"),
    b"NF": (False, "the key is not there"),
}


def _failure(error: NodeError | None) -> MissReason:
    if isinstance(error, AnswerTimeout):
        return MissReason.TIMEOUT
    if isinstance(error, ProtocolViolation):
        return MissReason.CORRUPT
    return MissReason.NODE_DOWN


def _words(answer: object) -> str:
    return answer.text if isinstance(answer, Refusal) else f"unexpected answer {answer!r}"


def _probe(name: str, facts: ItemFacts | Refusal | None, floor: int) -> Probe:
    if isinstance(facts, Refusal):
        return Probe(False, name, failure=MissReason.NODE_DOWN)
    if facts is None or facts.cas <= floor:
        return Probe(False, name)
    return Probe(True, name, facts.ttl_s, facts.age_s, facts.size, facts.fetched)


def _discard(node: Node, stale: list[tuple[bytes, int]]) -> None:
    """Delete items that do not count any more, so that what is added in their place is taken."""
    connection = node.connection
    if connection is not None:
        requests = [protocol.delete_request(key, cas) for key, cas in stale]
        done = connection.submit(b"".join([*requests, BARRIER]), Stored(len(stale)), _DISCARD_TIMEOUT_S)
        done.add_done_callback(lambda future: future.exception())


async def _confirmed(connection: Connection, requests: list[bytes], timeout_s: float) -> bool:
    """Send ``requests`` over one connection; whether the node carried out all of them."""
    for window in windows(requests):
        answers = Stored(len(window))
        try:
            await connection.submit(b"".join([*window, BARRIER]), answers, timeout_s)
        except NodeError:
            return False
        if any(isinstance(answer, Refusal) for answer in answers.out):
            return False
    return True
