"""The judgement itself, over what is on record: no socket, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import pytest

from iotcache.cache.budget import Budget
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.clock import ManualClock
from iotcache.misses import Expected, NodeFacts, NodeHistory, Record, Records, miss_reason
from iotcache.model import MissReason, NodeHealth

if TYPE_CHECKING:
    from iotcache.cluster import Cluster

NOW = 1_000_000.0


def history(*polls: NodeFacts) -> NodeHistory:
    node_history = NodeHistory()
    for poll in polls:
        node_history.add(poll)
    return node_history


def facts(
    at_s: float,
    *,
    began: float = 0.0,
    pid: int = 1,
    evictions: int = 0,
    bare: bool = False,
    deletions: int | None = 0,
) -> NodeFacts:
    return NodeFacts(at_s, began, pid, evictions, bare, deletions)


CALM = history(facts(NOW - 100), facts(NOW))
DELETED = history(facts(NOW - 100), facts(NOW, deletions=1))
SEEN = Record(NOW - 5, NOW + 9, "a")
WRITTEN = Expected(NOW - 5, NOW + 9)


def judge(
    record: Record | None, expected: Expected | None, seen: NodeHistory | None = CALM, node: str = "a"
) -> MissReason:
    return miss_reason(record, expected, node=node, owner="a", history=seen, now_s=NOW)


@pytest.mark.parametrize(
    ("record", "expected", "seen", "reason"),
    [
        (None, None, CALM, "unknown"),
        (None, None, None, "unknown"),
        (None, None, history(facts(NOW, bare=True)), "never_set"),
        (None, Expected(NOW - 50, NOW - 10), CALM, "expired"),
        (Record(NOW - 50, NOW - 10, "a"), None, CALM, "expired"),
        (Record(NOW - 5, NOW + 1.2, "a"), None, CALM, "expired"),  # whole seconds: it may go a little early
        # Deleted by someone, and nothing evicted since:
        (SEEN, None, DELETED, "invalidated"),
        (Record(NOW - 5, float("inf"), "a"), None, DELETED, "invalidated"),
        (None, WRITTEN, DELETED, "invalidated"),
        # Nothing happened that could explain it, or the node does not count what could:
        (SEEN, None, CALM, "unknown"),
        (SEEN, None, None, "unknown"),
        (SEEN, None, history(facts(NOW - 9, deletions=None), facts(NOW, deletions=None)), "unknown"),
        # A writer elsewhere set it anew after we last saw it:
        (Record(NOW - 50, NOW - 40, "a"), Expected(NOW - 5, NOW + 30), DELETED, "invalidated"),
        # We put it back after the writer's entry had ended:
        (Record(NOW - 5, NOW + 30, "a"), Expected(NOW - 50, NOW - 20), DELETED, "invalidated"),
        # Another process id, or the same one begun anew (as in a container):
        (SEEN, None, history(facts(NOW - 9), facts(NOW, pid=2, began=NOW - 1)), "restarted"),
        (SEEN, None, history(facts(NOW - 9), facts(NOW, began=NOW - 1)), "restarted"),
        # Seen on the new process already, which has deleted something since:
        (SEEN, None, history(facts(NOW - 60), facts(NOW, pid=2, began=NOW - 9, deletions=1)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 1)), "restarted"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 60, deletions=3)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 60)), "unknown"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 5.5)), "unknown"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 5.5, bare=True)), "restarted"),
        # Ended before the restart: that would have been its end anyway.
        (None, Expected(NOW - 50, NOW - 9), history(facts(NOW, began=NOW - 1)), "expired"),
        (SEEN, None, history(facts(NOW - 9, evictions=3), facts(NOW, evictions=4)), "evicted"),
        (SEEN, None, history(facts(NOW - 9, evictions=3), facts(NOW, evictions=3)), "unknown"),
        (SEEN, None, history(facts(NOW - 9), facts(NOW, evictions=9, deletions=1)), "unknown"),
        (None, WRITTEN, history(facts(NOW, evictions=7)), "evicted"),
        # Set on another node, and still to be there, or not:
        (None, Expected(NOW - 5, NOW + 9, elsewhere=True), DELETED, "moved"),
        (None, Expected(NOW - 50, NOW - 9, elsewhere=True), DELETED, "unknown"),
        (SEEN, Expected(NOW - 2, NOW + 9, elsewhere=True), DELETED, "invalidated"),
        (Record(NOW - 5, NOW - 5, "", deleted=True), Expected(NOW - 9, NOW + 9), CALM, "invalidated"),
        (Record(NOW - 9, NOW - 9, "", deleted=True), Expected(NOW - 5, NOW - 3), CALM, "expired"),
    ],
)  # fmt: skip
def test_reason(
    record: Record | None, expected: Expected | None, seen: NodeHistory | None, reason: str
) -> None:
    assert judge(record, expected, seen) == reason


def test_a_failover_node_that_never_had_it_means_that_the_owner_is_out() -> None:
    assert judge(None, Expected(NOW - 5, NOW + 9), node="b") is MissReason.NODE_DOWN
    assert judge(Record(NOW - 5, NOW + 9, "a"), None, node="b") is MissReason.NODE_DOWN
    assert judge(Record(NOW - 50, NOW - 9, "b"), None, node="b") is MissReason.EXPIRED


def test_an_owner_back_from_an_outage_misses_what_its_failover_node_had() -> None:
    assert judge(Record(NOW - 5, NOW + 9, "b"), None) is MissReason.NODE_DOWN


def out(seen: NodeHistory, *moments_s: float) -> NodeHistory:
    for moment_s in moments_s:
        seen.note_out(moment_s)
    return seen


def test_what_was_written_while_its_node_was_out_was_lost_to_the_outage() -> None:
    seen = out(history(facts(NOW - 20)), NOW - 8, NOW - 3)
    seen.add(facts(NOW))
    assert judge(None, Expected(NOW - 5, NOW + 9), seen) is MissReason.NODE_DOWN
    assert judge(Record(NOW - 15, NOW + 9, "a"), None, seen) is MissReason.NODE_DOWN
    seen.add(facts(NOW + 2, deletions=1))
    assert judge(Record(NOW - 15, NOW + 9, "a"), None, seen) is MissReason.UNKNOWN
    assert judge(Record(NOW - 2, NOW + 9, "a"), None, seen) is MissReason.INVALIDATED, "seen since"


def test_a_node_that_comes_back_from_an_outage_as_another_process_has_restarted() -> None:
    seen = out(history(facts(NOW - 20)), NOW - 8, NOW - 3)
    seen.add(facts(NOW, pid=2, began=NOW - 7))
    assert judge(None, Expected(NOW - 5, NOW + 9), seen) is MissReason.RESTARTED
    assert judge(Record(NOW - 5, NOW + 9, "b"), None, seen) is MissReason.RESTARTED
    out(seen, NOW + 10)  # the next outage is another one
    seen.add(facts(NOW + 20, pid=2, began=NOW - 7))
    assert judge(Record(NOW + 9, NOW + 30, "b"), None, seen) is MissReason.NODE_DOWN


def test_an_entry_that_is_set_again_and_again_has_not_surely_expired() -> None:
    def judged(seen: NodeHistory) -> MissReason:
        record = Record(NOW - 50, NOW - 10, "a")
        return miss_reason(record, None, node="a", owner="a", history=seen, now_s=NOW, rewritten=True)

    assert judged(CALM) is MissReason.EXPIRED
    assert judged(DELETED) is MissReason.UNKNOWN


def test_many_polls_in_a_second_do_not_push_out_the_older_ones() -> None:
    seen = NodeHistory(bound=4)
    seen.add(facts(NOW - 60, evictions=5))
    for n in range(1_000):
        seen.add(facts(NOW - 1 + n / 1_000, evictions=5))
    assert not seen.removals_since(NOW - 50).evicted
    seen.add(facts(NOW, evictions=6))
    assert seen.removals_since(NOW - 50).evicted


def test_records_are_bounded_and_the_oldest_go_first() -> None:
    records = Records(bound=10)
    for n in range(11):
        records.note(str(n), Record(n, n, "a"))
    assert len(records) == 6
    assert records.get("4") is None
    assert records.get("10") is not None


def test_a_budget_grants_a_seconds_worth_and_refills() -> None:
    clock = ManualClock()
    budget = Budget(10, clock)
    assert [budget.take(4), budget.take(4), budget.take(4), budget.take(1)] == [4, 4, 2, 0]
    clock.advance(0.25)
    assert budget.take(9) == 2
    clock.advance(60)
    assert budget.take(99) == 10


class AskedNodes:
    """As much of a cluster as is asked for statistics, counting how often."""

    def __init__(self) -> None:
        self.times = 0

    def health(self) -> tuple[NodeHealth, ...]:
        return ()

    async def stats(self) -> Mapping[str, Mapping[str, str]]:
        self.times += 1
        return {}


@pytest.mark.parametrize(("looks_only", "most"), [(True, 3), (False, 20)])
async def test_nodes_are_asked_seldom_by_who_misses_at_every_look(looks_only: bool, most: int) -> None:
    clock, nodes, seconds = ManualClock(), AskedNodes(), 20
    facts_cache = NodeFactsCache(cast("Cluster", nodes), clock, looks_only=looks_only)
    for _ in range(seconds * 50):
        clock.advance(0.02)
        await facts_cache.refresh(clock.monotonic())
    assert seconds < nodes.times <= seconds * most + most
    await facts_cache.close()
