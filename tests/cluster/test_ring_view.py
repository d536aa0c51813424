"""What a client may conclude from a look at one node: whether the ring record it goes by is the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.cluster.outage import LEASE_S, Claim
from iotcache.cluster.rings.looks import RingLooks
from iotcache.cluster.rings.record import (
    PastRing,
    RingRecord,
    RingTransition,
    addresses,
    encode_record,
    step,
    texts,
)
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.wire.answers import ItemReply
from iotcache.config.urls import parse_node

OLD, NEW = (texts([parse_node(f"10.0.0.{last}:11211")]) for last in (1, 2))
STAYS, JOINS = 0, 1
GRACE_S = 2.0


def record(phase: RingPhase, *, undo: bool = False) -> RingRecord:
    """A change from one node to another."""
    change = RingTransition(7, 1, NEW, phase, Claim(1, "host", 1, "nodes"), undo)
    return RingRecord(5, 1, "ketama", (PastRing(0, OLD),), 1, change)


def view_of(known: RingRecord | None, now_s: float = 100.0) -> RingView:
    """A client that goes by ``known``, and has not looked since."""
    view = RingView(addresses(OLD + NEW), "ketama", follow=True, monotonic=lambda: now_s, grace_s=GRACE_S)
    if known is not None:
        view.newest = known
        view.switch(known)
    return view


@pytest.mark.parametrize(
    ("phase", "tell"),
    [
        (RingPhase.INVITED, {STAYS}),
        (RingPhase.ANNOUNCED, {STAYS}),
        (RingPhase.HANDING_OVER, {STAYS, JOINS}),
        (RingPhase.CLOSING, {JOINS}),
    ],
)
def test_only_nodes_that_the_next_record_is_put_on_tell_that_there_is_none(
    phase: RingPhase, tell: set[int]
) -> None:
    """A node that leaves keeps the record of then: it would tell for ever that nothing has changed."""
    for index in (STAYS, JOINS):
        known = record(phase)
        view = view_of(known)
        view.looked(index, 100.0, known, (STAYS, JOINS))
        assert (view.fresh_until == 100.0 + LEASE_S) is (index in tell)


def test_a_record_found_on_a_node_that_has_left_is_not_gone_by_before_another_tells_the_same() -> None:
    view = view_of(replace(record(RingPhase.INVITED), seq=1))
    left = record(RingPhase.CLOSING)
    assert view.looked(STAYS, 100.0, left, (STAYS,))
    view.switch(left)
    assert view.fresh_until < 100.0
    view.looked(JOINS, 100.1, left, (STAYS, JOINS))
    assert view.fresh_until == 100.1 + LEASE_S


@pytest.mark.parametrize(
    ("looks_s", "fresh"),
    [
        ([100.2, 100.6, 101.0], True),
        ([100.2, 100.9], False),
        ([100.9, 101.3, 100.9 + GRACE_S], True),
        ([100.9, 101.3, 100.8 + GRACE_S], False),
    ],
    ids=["without a break", "after a break", "after a break and a while", "not long enough"],
)
def test_nodes_that_have_lost_the_record_tell_only_those_who_saw_it_just_before(
    looks_s: Sequence[float], fresh: bool
) -> None:
    """Whoever was away for longer may have missed the next record as well as its loss."""
    known = step(record(RingPhase.CLOSING), 2)
    view = view_of(known)
    view.looked(JOINS, 100.0, known, (JOINS,))
    for at_s in looks_s:
        view.looked(JOINS, at_s, None, (JOINS,))
    assert (view.fresh_until == looks_s[-1] + LEASE_S) is fresh


def test_where_no_ring_was_ever_announced_nobody_waits() -> None:
    view = view_of(None)
    view.looked(STAYS, 100.0, None, (STAYS,))
    assert view.fresh_until == 100.0 + LEASE_S


class OneNode:
    """Answers with one record, always under the same CAS unique."""

    observe, votes = True, False

    def __init__(self) -> None:
        self.there = b""

    def reach(self) -> list[int]:
        return [STAYS]

    async def ask(self, connection: object, requests: list[bytes]) -> list[ItemReply]:
        return [ItemReply(b"VA c3", self.there) for _ in requests]


async def test_a_process_that_took_anothers_place_is_asked_anew_though_its_numbers_are_the_same() -> None:
    """CAS uniques begin at 1 in each process: the record may well get that of the one before it."""
    view, node = view_of(None), OneNode()
    looks = RingLooks(view, node, members=None)  # type: ignore[arg-type]
    learnt: list[Any] = []
    looks._take_part = lambda: learnt.append(view.newest)  # type: ignore[method-assign]
    first = record(RingPhase.INVITED)
    for connection, there in (("one process", first), ("the next", replace(first, seq=9))):
        node.there = encode_record(there)
        reply = ItemReply(b"HD c3", b"")
        await looks.take(STAYS, connection, 100.0, (), [reply])  # type: ignore[arg-type]
    assert view.newest is not None and view.newest.seq == 9
