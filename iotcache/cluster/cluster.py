"""Many memcached nodes as one: routing, parallel pipelined batches, and an answer for every key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from random import Random
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.cluster import protocol
from iotcache.cluster.answers import (
    Answers,
    Gets,
    Lines,
    ProtocolViolation,
    Refusal,
    Stats,
    Stored,
    facts_reader,
)
from iotcache.cluster.connection import AnswerTimeout, Connection, ConnectionLost
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

_WINDOW_COMMANDS: Final = 1_024
_WINDOW_BYTES: Final = 256 * 1024
"""A batch is sent in windows of at most so much, each with its own barrier and deadline."""
_MEMO_MAX: Final = 500_000
_RETRY_JITTER_S: Final = 0.01


class _Place(NamedTuple):
    """What never changes about a key: looked up once, used for every request."""

    owner: int
    get: bytes
    key: bytes


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
        self._plain = False

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
            tls_context=tls_context(cache),
        )

    async def __aenter__(self) -> Self:
        """Reach for all nodes at once; those that do not answer are down, and tried again later."""
        for node in self._nodes:
            node.start()
        for node in self._nodes:
            await node.settled()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections and background work."""
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

    def _target(self, key: str, owner: int) -> int:
        """The node to ask for ``key`` now: its owner, or the next one on the ring that is up; -1 for none."""
        if self._nodes[owner].up:
            return owner
        found = self._stand_ins.get(key)
        if found is None:
            found = next((index for index in self._placement.order(key) if self._nodes[index].up), -1)
            if len(self._stand_ins) >= _MEMO_MAX:
                self._stand_ins.clear()
            self._stand_ins[key] = found
        return found

    # Reading ---------------------------------------------------------------------------------

    async def get_many(self, keys: Sequence[str]) -> list[Got]:
        """The values of ``keys``, in their order. All nodes are asked at once, each in one pipelined batch.

        A connection that ends under a read is replaced and the read tried once more; a time-out is not.
        """
        places = self._places(keys)
        results: list[Got] = [_UNASKED] * len(places)
        again = await self._get(keys, places, range(len(places)), results)
        if again:
            await asyncio.sleep(self._rng.uniform(0, _RETRY_JITTER_S))
            await self._get(keys, places, again, results)
        return results

    async def _get(
        self, keys: Sequence[str], places: list[_Place], which: Sequence[int], results: list[Got]
    ) -> list[int]:
        """Ask for the keys at the positions ``which``; returns those whose connection was lost."""
        groups: dict[int, tuple[list[int], list[bytes]]] = {}
        if self._plain:
            positions: list[list[int]] = [[] for _ in self._nodes]
            requests: list[list[bytes]] = [[] for _ in self._nodes]
            for position in which:
                owner, request, _ = places[position]
                positions[owner].append(position)
                requests[owner].append(request)
            groups = {
                index: (positions[index], requests[index])
                for index in range(len(positions))
                if positions[index]
            }
        else:
            for position in which:
                owner, request, _ = places[position]
                target = self._target(keys[position], owner)
                if target < 0:
                    results[position] = Got(False, node=self._nodes[owner].name, failure=MissReason.NODE_DOWN)
                    continue
                group = groups.setdefault(target, ([], []))
                group[0].append(position)
                group[1].append(request)
        lost: list[int] = []

        async def ask(index: int) -> None:
            at, wanted = groups[index]
            node = self._nodes[index]
            order = iter(at)
            for answers, error in await self._exchange(node, wanted, lambda want: Gets(want, node.name)):
                for got, position in zip(answers.out, order, strict=False):
                    results[position] = got
                if error is not None:
                    unanswered = list(islice(order, answers.want - len(answers.out)))
                    failed = Got(False, node=node.name, failure=_failure(error))
                    for position in unanswered:
                        results[position] = failed
                    if isinstance(error, ConnectionLost):
                        lost.extend(unanswered)

        await _together(ask, groups)
        if not self._plain:
            self._blame_owners(places, which, results)
        return lost

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
        groups: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            target = self._target(keys[position], place.owner)
            if target < 0:
                name = self._nodes[place.owner].name
                results[position] = Probe(False, name, failure=MissReason.NODE_DOWN)
            else:
                groups.setdefault(target, []).append(position)

        async def ask(index: int) -> None:
            node = self._nodes[index]
            found = node.capabilities
            read = facts_reader(found.negated_exp if found else False)
            wanted = [protocol.probe_request(places[at].key) for at in groups[index]]
            at = iter(groups[index])
            for answers, error in await self._exchange(node, wanted, lambda want: Lines(want, read)):
                for facts in answers.out:
                    if facts is None:
                        probe = Probe(False, node.name)
                    elif isinstance(facts, Refusal):
                        probe = Probe(False, node.name, failure=MissReason.NODE_DOWN)
                    else:
                        probe = Probe(True, node.name, facts.ttl_s, facts.age_s, facts.size, facts.fetched)
                    results[next(at)] = probe
                for _ in range(answers.want - len(answers.out)):
                    results[next(at)] = Probe(False, node.name, failure=_failure(error))

        await _together(ask, groups)
        return results

    # Writing ---------------------------------------------------------------------------------

    async def set_many(self, items: Sequence[Item]) -> list[Outcome]:
        """Store ``items``; every set is confirmed by its node, and the outcomes are in their order.

        Raises ValueError for a life that is not positive.
        """
        now = self._clock.now()
        places = self._places([item.key for item in items])
        results: list[Outcome] = [_UNTOLD] * len(items)
        groups: dict[int, tuple[list[int], list[bytes]]] = {}
        for position, (item, place) in enumerate(zip(items, places, strict=True)):
            ttl = item.ttl_s
            if ttl <= 0:
                raise ValueError(f"the life of {item.key!r} is {ttl} s; it must be positive")
            target = place.owner
            if not self._plain:
                target = self._target(item.key, place.owner)
                if target < 0:
                    results[position] = Outcome(False, self._nodes[place.owner].name, "no cache node is up")
                    continue
                if target != place.owner:
                    ttl = min(ttl, self._failover_ttl_s)
            if ttl > RELATIVE_LIMIT_S:
                ttl = wire_ttl(ttl, now)
            value = item.value
            if item.mode is Mode.SET:
                request = b"ms %b %d T%d F%d\r\n%b\r\n" % (place.key, len(value), ttl, item.flags, value)
            else:
                request = protocol.set_request(place.key, value, item.flags, ttl, b" ME")
            group = groups.get(target)
            if group is None:
                group = groups[target] = ([], [])
            group[0].append(position)
            group[1].append(request)
        await self._confirm(groups, results, _SET_REASONS)
        return results

    async def delete_many(self, keys: Sequence[str]) -> list[Outcome]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        return await self._each(keys, protocol.delete_request, _DELETE_REASONS)

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[Outcome]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them."""
        if ttl_s <= 0:
            raise ValueError(f"a life of {ttl_s} s is not positive")
        ttl = wire_ttl(ttl_s, self._clock.now())
        return await self._each(keys, lambda key: protocol.touch_request(key, ttl), _TOUCH_REASONS)

    async def _each(
        self, keys: Sequence[str], request: Callable[[bytes], bytes], reasons: dict[bytes, tuple[bool, str]]
    ) -> list[Outcome]:
        places = self._places(keys)
        results: list[Outcome] = [_UNTOLD] * len(places)
        groups: dict[int, tuple[list[int], list[bytes]]] = {}
        for position, place in enumerate(places):
            target = self._target(keys[position], place.owner)
            if target < 0:
                results[position] = Outcome(False, self._nodes[place.owner].name, "no cache node is up")
                continue
            group = groups.setdefault(target, ([], []))
            group[0].append(position)
            group[1].append(request(place.key))
        await self._confirm(groups, results, reasons)
        return results

    async def _confirm(
        self,
        groups: dict[int, tuple[list[int], list[bytes]]],
        results: list[Outcome],
        reasons: dict[bytes, tuple[bool, str]],
    ) -> None:
        """Send each node its requests and turn its answers into outcomes."""

        async def ask(index: int) -> None:
            positions, requests = groups[index]
            node = self._nodes[index]
            shared = {line: Outcome(ok, node.name, why) for line, (ok, why) in reasons.items()}
            start = 0
            for answers, error in await self._exchange(node, requests, Stored):
                for position, answer in zip(positions[start:], answers.out, strict=False):
                    results[position] = shared.get(answer) or Outcome(False, node.name, _words(answer))
                for position in positions[start + len(answers.out) : start + answers.want]:
                    results[position] = Outcome(False, node.name, str(error))
                start += answers.want

        await _together(ask, groups)

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

        await _together(ask, [index for index, node in enumerate(self._nodes) if node.up])
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
        self._plain = all(each.up for each in self._nodes)
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

    # Inside ----------------------------------------------------------------------------------

    async def _exchange(
        self, node: Node, requests: list[bytes], make: Callable[[int], Any]
    ) -> list[tuple[Any, NodeError | None]]:
        """Send ``requests`` in windows; for each its answers and the error that cut them short."""
        flights: list[tuple[Any, asyncio.Future[float] | NodeError]] = []
        for window in _windows(requests):
            answers: Answers = make(len(window))
            try:
                connection = await node.ready(self._timeout_s)
            except NodeError as error:
                flights.append((answers, error))
                continue
            window.append(BARRIER)
            flights.append((answers, connection.submit(b"".join(window), answers, self._timeout_s)))
        exchanged: list[tuple[Any, NodeError | None]] = []
        for answers, flight in flights:
            if isinstance(flight, NodeError):
                node.failed(flight)
                exchanged.append((answers, flight))
                continue
            try:
                seconds = await flight
            except NodeError as error:
                node.failed(error)
                exchanged.append((answers, error))
            else:
                node.answered(seconds)
                exchanged.append((answers, None))
        return exchanged


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


def _windows(requests: list[bytes]) -> Iterable[list[bytes]]:
    """``requests`` in runs that stay within the window's bounds; a single larger one goes alone."""
    if len(requests) <= _WINDOW_COMMANDS and sum(map(len, requests)) <= _WINDOW_BYTES:
        yield requests
        return
    window: list[bytes] = []
    held = 0
    for request in requests:
        if window and (len(window) >= _WINDOW_COMMANDS or held + len(request) > _WINDOW_BYTES):
            yield window
            window, held = [], 0
        window.append(request)
        held += len(request)
    yield window


async def _together(ask: Callable[[int], Any], indexes: Iterable[int]) -> None:
    """Run ``ask`` for every index at the same time."""
    wanted = list(indexes)
    if len(wanted) == 1:
        await ask(wanted[0])
    elif wanted:
        await asyncio.gather(*(ask(index) for index in wanted))


def tls_context(cache: CacheSettings) -> SSLContext | None:
    """The TLS context that the settings ask for; ``None`` for plain connections."""
    if not cache.tls:
        return None
    import ssl

    return ssl.create_default_context(cafile=cache.tls_ca_file or None)
