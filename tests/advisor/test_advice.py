"""What is advised: the right thing first where something is wrong, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from iotcache.advisor.advice import Subject
from iotcache.advisor.evidence import Evidence, NodeEvidence
from iotcache.advisor.rules import advise
from tests.advisor.histories import (
    HEALTHY,
    WRONG,
    one_hot_key,
    sound,
    too_little_memory,
    too_much_memory,
    ttl_too_short,
)
from tests.advisor.other_histories import HEALTHY_TOO, OTHERS


@pytest.mark.parametrize(
    ("history", "subject"),
    [*WRONG, *OTHERS, *((history, None) for history in (*HEALTHY, *HEALTHY_TOO))],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_the_first_advice_is_the_right_one(history: Callable[[], Evidence], subject: Subject | None) -> None:
    advice = advise(history())
    assert (advice[0].subject if advice else None) is subject, [one.text for one in advice]
    for one in advice:
        assert one.do and one.undo and one.reason
        assert one.store_reads_per_s > 0 or one.saved_bytes > 0


def test_one_node_less_is_advised_only_where_the_others_hold_and_bear_it() -> None:
    (node,) = sound().nodes
    assert node.curve is not None
    three = [replace(node, name=f"{name}:1", evictions_per_s=0.0, share=1 / 3) for name in "abc"]
    small = replace(node.curve, working_set_bytes=0.4 * node.memory_bytes)
    flat = replace(small, ratios=(node.curve.now,) * len(node.curve.sizes))
    spare = [replace(one, curve=flat, gets_per_s=1_000.0, misses_per_s=50.0) for one in three]

    def less(*nodes: NodeEvidence, seconds: float = 600.0) -> list[str]:
        evidence = replace(sound(), nodes=nodes, seconds=seconds)
        return [one.text for one in advise(evidence) if one.text.startswith("one node less")]

    assert len(less(*spare)) == 1
    assert not less(*spare[:2])
    assert not less(*spare, seconds=60.0)
    assert not less(*(replace(one, gets_per_s=400_000.0) for one in spare))
    assert not less(*(replace(one, evictions_per_s=500.0, sets_per_s=1_000.0) for one in spare))
    full = replace(flat, working_set_bytes=0.9 * node.memory_bytes)
    assert not less(*(replace(one, curve=full) for one in spare))


def test_memory_and_ttl_advice_name_the_figure_that_is_to_come() -> None:
    memory, ttl = advise(too_little_memory())[0], advise(ttl_too_short())[0]
    assert memory.predicted is not None and memory.now is not None
    assert memory.predicted > memory.now + 0.1
    assert memory.do.startswith("cache_memlimit ")
    assert ttl.predicted is not None and ttl.now is not None
    assert ttl.predicted > ttl.now
    assert "15 s →" in ttl.text and "store reads/s" in ttl.text and "p99" in ttl.text


def test_less_memory_is_advised_with_the_reason_that_decided_it() -> None:
    (node,) = too_much_memory().nodes
    megabyte = 1 << 20
    node = replace(node, memory_bytes=1_024 * megabyte, used_bytes=400 * megabyte, evictions_per_s=0.0)

    def reason(seconds: float, working_set_mb: int = 200) -> str:
        assert node.curve is not None
        curve = replace(node.curve, working_set_bytes=float(working_set_mb * megabyte))
        evidence = replace(too_much_memory(), nodes=(replace(node, curve=curve),), seconds=seconds)
        return next(one.reason for one in advise(evidence) if one.subject is Subject.MEMORY)

    assert reason(60.0).startswith("all its entries take 400 MB;")
    assert reason(600.0).startswith("entries in use take 200 MB;")
    assert " MB would hit as often;" in reason(600.0, working_set_mb=0)


def test_of_a_hot_key_it_says_what_copies_and_another_weight_would_do() -> None:
    (node,) = one_hot_key().nodes
    other = replace(node, top_gets=(), gets_per_s=node.gets_per_s)

    def reason(*nodes: NodeEvidence) -> str:
        return next(
            one.reason
            for one in advise(replace(one_hot_key(), nodes=nodes))
            if one.subject is Subject.HOT_KEY
        )

    assert "on the same one" in reason(node)
    assert "2 copies" in reason(node, other)
    idle = replace(other, gets_per_s=0.05 * node.gets_per_s)
    assert "3 copies" in reason(node, idle, idle) and "as this key alone is more" in reason(node, idle, idle)
    busy = replace(node, gets_per_s=2 * node.gets_per_s)
    assert "weight 10 → " in reason(busy, other, other)
