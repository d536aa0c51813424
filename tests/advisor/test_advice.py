"""What is advised: the right thing first where something is wrong, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iotcache.advisor.advice import Subject
from iotcache.advisor.evidence import Evidence
from iotcache.advisor.rules import advise
from tests.advisor.histories import HEALTHY, WRONG, too_little_memory, ttl_too_short


@pytest.mark.parametrize(
    ("history", "subject"),
    [*WRONG, *((history, None) for history in HEALTHY)],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_the_first_advice_is_the_right_one(history: Callable[[], Evidence], subject: Subject | None) -> None:
    advice = advise(history())
    assert (advice[0].subject if advice else None) is subject, [one.text for one in advice]
    for one in advice:
        assert one.do and one.undo and one.reason
        assert one.store_reads_per_s > 0 or one.saved_bytes > 0


def test_memory_and_ttl_advice_name_the_figure_that_is_to_come() -> None:
    memory, ttl = advise(too_little_memory())[0], advise(ttl_too_short())[0]
    assert memory.predicted is not None and memory.now is not None
    assert memory.predicted > memory.now + 0.1
    assert memory.do.startswith("cache_memlimit ")
    assert ttl.predicted is not None and ttl.now is not None
    assert ttl.predicted > ttl.now
    assert "15 s →" in ttl.text and "store reads/s" in ttl.text and "p99" in ttl.text
