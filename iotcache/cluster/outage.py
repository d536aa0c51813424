"""Outage markers: what clients tell each other of a node that is out, as items on the other nodes; no socket.

An outage marker says "node A is out, and what it holds may be old": it stands until A has been fenced. It
lists *claims*: the writers that cannot reach A at present, with host, pid and role, so that a person can see
who keeps a node out. A claim counts while its client's heartbeat, an item of a few seconds' life, is there.
"""

from __future__ import annotations

import os
import socket
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

LEASE_S: Final = 0.5
"""How long a client may go on without having looked for markers."""
MARKER_TTL_S: Final = 2_592_000
"""30 days, the longest relative TTL. A marker is removed by whoever fences the node, never by time."""
HEARTBEAT_TTL_S: Final = 3
"""memcached counts whole seconds, so a heartbeat lives 2 to 3 s after its last set."""
MARKER_MOST_BYTES: Final = 65_536
WITNESSES: Final = 3


class Claim(Struct, frozen=True):
    """A client that writes, and cannot reach the node."""

    id: int
    host: str
    pid: int
    role: str

    def __str__(self) -> str:
        return f"{self.role} {self.pid} on {self.host}"


class Marker(Struct, frozen=True):
    """The value of an outage marker."""

    floor: int = 0
    """CAS unique with which the last claim was put: what a failover node holds for the marked node at or
    below it is left from before. 0 for its own."""
    claims: tuple[Claim, ...] = ()


class SeenMarker(Struct, frozen=True):
    """An outage marker as it was found on a node."""

    cas: int
    floor: int
    claims: tuple[Claim, ...]


class OutageMarker(Struct, frozen=True):
    """An outage marker, for people: see `Cluster.outage_markers`."""

    node: str
    """The node that is marked as out."""
    seen_on: tuple[str, ...]
    """The nodes on which the marker was found."""
    claims: tuple[Claim, ...]
    """The writers that keep it out; none: it waits to be fenced."""


def marker_key(name: str) -> bytes:
    """The key of the marker that says "node ``name`` is out"."""
    return b"iotcache:outage:" + blake2b(name.encode(), digest_size=8).hexdigest().encode()


def heartbeat_key(number: int) -> bytes:
    """The key of a client's heartbeat."""
    return b"iotcache:alive:%d" % number


def own_claim(number: int, role: str) -> Claim:
    """This process's claim."""
    return Claim(number, socket.gethostname(), os.getpid(), role or "client")


def encode_marker(marker: Marker) -> bytes:
    """As it is stored; JSON, so that anybody can read it."""
    return msgspec.json.encode(marker)


def decode_marker(value: bytes, cas: int) -> SeenMarker:
    """What was found. A value that is no marker counts as one without claims: something is out."""
    try:
        marker = msgspec.json.decode(value, type=Marker)
    except msgspec.MsgspecError:
        marker = Marker()
    return SeenMarker(cas, marker.floor or cas, marker.claims)


def with_claim(seen: SeenMarker, claim: Claim) -> bytes:
    """The marker's value with one claim more, and a floor anew: it may be left from an outage before."""
    return encode_marker(Marker(0, (*without(seen, claim.id), claim)))


def without_claim(seen: SeenMarker, number: int) -> bytes:
    """The marker's value with one claim less."""
    return encode_marker(Marker(seen.floor, without(seen, number)))


def without(seen: SeenMarker, number: int) -> tuple[Claim, ...]:
    """The claims of others."""
    return tuple(claim for claim in seen.claims if claim.id != number)


def witnesses(names: Sequence[str], active: Iterable[int], pool: Collection[int]) -> list[frozenset[int]]:
    """For each node that is ``active`` others that markers about it are looked for on.

    They are a few, out of ``pool``, and the same for all clients. A look at all of them would cost every
    client the square of the number of nodes.
    """
    found: list[frozenset[int]] = [frozenset()] * len(names)
    order = sorted(pool, key=names.__getitem__)
    ordered = [names[index] for index in order]
    for index in active:
        place = bisect_right(ordered, names[index])
        others = [order[(place + step) % len(order)] for step in range(len(order))]
        found[index] = frozenset(islice((other for other in others if other != index), WITNESSES))
    return found
