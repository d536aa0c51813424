"""The judgement itself, over what is on record: no socket, no clock."""

from __future__ import annotations

import pytest

from iotcache.cache.budget import Budget
from iotcache.clock import ManualClock
from iotcache.misses import Expected, NodeFacts, NodeHistory, Record, Records, miss_reason
from iotcache.model import MissReason

NOW = 1_000_000.0


def history(*polls: NodeFacts) -> NodeHistory:
    made = NodeHistory()
    for poll in polls:
        made.add(poll)
    return made


def facts(
    at_s: float, *, began: float = 0.0, pid: int = 1, evictions: int = 0, bare: bool = False
) -> NodeFacts:
    return NodeFacts(at_s, began, pid, evictions, untouched=bare)


CALM = history(facts(NOW - 100), facts(NOW))
SEEN = Record(NOW - 5, NOW + 9, "a")
WRITTEN = Expected(NOW - 5, NOW + 9)


def judge(
    record: Record | None, expected: Expected | None, seen: NodeHistory | None = CALM, node: str = "a"
) -> MissReason:
    return miss_reason(record, expected, node=node, owner="a", history=seen, now_s=NOW)


@pytest.mark.parametrize(
    ("record", "expected", "seen", "reason"),
    [
        (None, None, CALM, "never_set"),
        (None, Expected(NOW - 50, NOW - 10), CALM, "expired"),
        (Record(NOW - 50, NOW - 10, "a"), None, CALM, "expired"),
        (Record(NOW - 5, NOW + 1.2, "a"), None, CALM, "expired"),  # whole seconds: it may go a little early
        (Record(NOW - 5, NOW + 10, "a"), None, CALM, "invalidated"),
        (Record(NOW - 5, float("inf"), "a"), None, CALM, "invalidated"),
        # A writer elsewhere set it anew after we last saw it:
        (Record(NOW - 50, NOW - 40, "a"), Expected(NOW - 5, NOW + 30), CALM, "invalidated"),
        # We put it back after the writer's entry had ended:
        (Record(NOW - 5, NOW + 30, "a"), Expected(NOW - 50, NOW - 20), CALM, "invalidated"),
        (Record(NOW - 5, NOW + 10, "a"), None, None, "invalidated"),
        # Another process id, or the same one begun anew (as in a container):
        (SEEN, None, history(facts(NOW - 9), facts(NOW, pid=2, began=NOW - 1)), "restarted"),
        (SEEN, None, history(facts(NOW - 9), facts(NOW, began=NOW - 1)), "restarted"),
        # Seen on the new process already:
        (SEEN, None, history(facts(NOW - 60), facts(NOW, pid=2, began=NOW - 9)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 1)), "restarted"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 60)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 5.5)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, began=NOW - 5.5, bare=True)), "restarted"),
        # Ended before the restart: that would have been its end anyway.
        (None, Expected(NOW - 50, NOW - 9), history(facts(NOW, began=NOW - 1)), "expired"),
        (SEEN, None, history(facts(NOW - 9, evictions=3), facts(NOW, evictions=4)), "evicted"),
        (SEEN, None, history(facts(NOW - 9, evictions=3), facts(NOW, evictions=3)), "invalidated"),
        (None, WRITTEN, history(facts(NOW, evictions=7)), "evicted"),
        (Record(NOW - 5, NOW - 5, "", deleted=True), Expected(NOW - 9, NOW + 9), CALM, "invalidated"),
        (Record(NOW - 9, NOW - 9, "", deleted=True), Expected(NOW - 5, NOW - 3), CALM, "expired"),
    ],
)  # fmt: skip
def test_reason(
    record: Record | None, expected: Expected | None, seen: NodeHistory | None, reason: str
) -> None:
    assert judge(record, expected, seen) == reason


def test_a_stand_in_that_never_had_it_means_that_the_owner_is_out() -> None:
    assert judge(None, Expected(NOW - 5, NOW + 9), node="b") is MissReason.NODE_DOWN
    assert judge(Record(NOW - 5, NOW + 9, "a"), None, node="b") is MissReason.NODE_DOWN
    assert judge(Record(NOW - 50, NOW - 9, "b"), None, node="b") is MissReason.EXPIRED


def test_an_owner_back_from_an_outage_misses_what_lived_on_the_stand_in() -> None:
    assert judge(Record(NOW - 5, NOW + 9, "b"), None) is MissReason.NODE_DOWN


def test_many_polls_in_a_second_do_not_push_out_the_older_ones() -> None:
    seen = NodeHistory(bound=4)
    seen.add(facts(NOW - 60, evictions=5))
    for n in range(1_000):
        seen.add(facts(NOW - 1 + n / 1_000, evictions=5))
    assert not seen.evicted_since(NOW - 50)
    seen.add(facts(NOW, evictions=6))
    assert seen.evicted_since(NOW - 50)


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
