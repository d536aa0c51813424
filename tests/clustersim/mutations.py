"""Faults planted in the cluster client, each a function that plants it; the simulation has to find them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.cluster import declaration, fence, outcomes, writing
from iotcache.cluster.declaration import Declarations
from iotcache.cluster.fence import Fences
from iotcache.cluster.node import Node
from iotcache.cluster.recovery import Recovery
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.router import Router, Targets
from iotcache.cluster.types import WriteResult
from iotcache.cluster.wire import connection, protocol
from iotcache.cluster.wire.answers import ReplyBatch

Patch = pytest.MonkeyPatch


async def _nothing(*args: Any, **options: Any) -> None:
    return None


def skip_the_fence(patch: Patch) -> None:
    """A node returns without a fence."""
    patch.setattr(Recovery, "_fence", _nothing)


def skip_the_lease_wait(patch: Patch) -> None:
    """The first write past a node does not wait until everybody knows."""
    patch.setattr(declaration, "LEASE_S", 0.0)


def ignore_the_barrier(patch: Patch) -> None:
    """A batch is complete when it has as many answers as questions; what follows is passed over."""

    def close(self: ReplyBatch, data: bytes, start: int) -> int:
        self.complete = True
        return len(data)

    patch.setattr(ReplyBatch, "close", close)


def do_not_settle(patch: Patch) -> None:
    """A node that is back is written to alone, at once."""
    patch.setattr(Fences, "settling", lambda self, index: False)


def let_readers_vote(patch: Patch) -> None:
    """Whoever loses a node marks it."""
    patch.setattr(Fences, "votes", property(lambda self: True))


def forget_the_floor_of_failover_nodes(patch: Patch) -> None:
    """What lies on a failover node from an earlier outage counts."""
    real = Fences.failover_floor
    patch.setattr(
        Fences,
        "failover_floor",
        lambda self, index, skipped, ring: (
            None if real(self, index, skipped, ring) is None else self.floors[index]
        ),
    )


def write_past_a_returning_node(patch: Patch) -> None:
    """What is written while a node is on its way back does not go to it."""
    real = Router.targets

    def targets(self: Router, key: str, ring: PlacedRing | None = None) -> Targets:
        nodes, skipped = real(self, key, ring)
        return Targets(tuple(index for index in nodes if self.nodes[index].up), skipped)

    patch.setattr(Router, "targets", targets)


def overlook_claims(patch: Patch) -> None:
    """A node is fenced though another writer cannot reach it."""

    async def alive(self: Declarations, owner: int) -> bool:
        return False

    patch.setattr(Declarations, "alive", alive)


def never_lose_a_lease(patch: Patch) -> None:
    """A node is used however long ago markers were looked for."""
    patch.setattr(Fences, "usable", lambda self, index: self.nodes[index].up)
    patch.setattr(Fences, "_valid_until", lambda self, index: float("inf"))
    patch.setattr(RingView, "fresh_until", property(lambda self: float("inf")))


def forget_old_connections(patch: Patch) -> None:
    """A node is used though commands of before lie unread in its sockets."""

    async def work_off(self: Node, connection: object) -> None:
        self._old = None

    patch.setattr(Node, "_work_off", work_off)


def set_instead_of_swap(patch: Patch) -> None:
    """A reader puts what it loaded over whatever is there."""
    real = protocol.set_request
    patch.setattr(
        protocol,
        "set_request",
        lambda key, value, flags, ttl, extra=b"": real(key, value, flags, ttl),
    )


def let_fences_be_evicted(patch: Patch) -> None:
    """A fence that is missed is not put back."""

    async def put_back(ask: object) -> int:
        return 0

    patch.setattr(fence, "put_fence_back", put_back)


def look_at_the_owner_alone(patch: Patch) -> None:
    """Of several nodes that are out, only the owner counts."""
    real = Fences.failover_floor
    patch.setattr(
        Fences,
        "failover_floor",
        lambda self, index, skipped, ring: real(self, index, list(skipped)[:1], ring),
    )
    real_targets = Router.targets

    def targets(self: Router, key: str, ring: PlacedRing | None = None) -> Targets:
        nodes, skipped = real_targets(self, key, ring)
        owner = (ring or self.rings.read).owner(key)
        return Targets(nodes, tuple(index for index in skipped if index == owner))

    patch.setattr(Router, "targets", targets)


def let_the_kernel_send_on(patch: Patch) -> None:
    """What a closed connection has not got through is sent all the same, some time."""
    patch.setattr(connection, "_DROP_UNSENT", struct.pack("ii", 0, 0))


def confirm_what_timed_out(patch: Patch) -> None:
    """A write that was not answered counts as done."""
    real = outcomes.note_results

    def note(  # noqa: PLR0917
        node: Any, order: Any, answers: Any, error: Any, shared: Any, results: Any
    ) -> list[int]:
        seen: dict[int, WriteResult] = {}
        positions = real(node, order, answers, error, shared, seen)
        for position, outcome in seen.items():
            results[position] = WriteResult(True, node.name) if error is not None else outcome
        return [] if error is not None else positions

    for module in (outcomes, writing):
        patch.setattr(module, "note_results", note)


def use_marked_nodes(patch: Patch) -> None:
    """A node that another client has marked as out is used all the same."""
    patch.setattr(Fences, "_review", lambda self: None)


def trust_returning_nodes(patch: Patch) -> None:
    """A node that answers again is used at once."""

    async def before_up(self: Recovery, index: int, connection: Any) -> None:
        await self._fences.look(index, connection)

    patch.setattr(Recovery, "before_up", before_up)


MUTATIONS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        skip_the_fence,
        skip_the_lease_wait,
        ignore_the_barrier,
        do_not_settle,
        let_readers_vote,
        forget_the_floor_of_failover_nodes,
        write_past_a_returning_node,
        overlook_claims,
        never_lose_a_lease,
        forget_old_connections,
        set_instead_of_swap,
        let_fences_be_evicted,
        look_at_the_owner_alone,
        let_the_kernel_send_on,
        confirm_what_timed_out,
        use_marked_nodes,
        trust_returning_nodes,
    )
}
