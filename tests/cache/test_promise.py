"""A writer's promise: for readers with its prefix, of the node that it names, and as exact as needs be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iotcache.cache.promise import Promises
from iotcache.misses import EARLY_S
from iotcache.model import Reading, StoredReading

NOW_US = 1_795_348_800_000_000
NODES = ("10.0.0.1:11211", "10.0.0.2:11211", "/run/cache.sock")


def promised(prefix: str, node: str, until_us: int = NOW_US) -> int:
    promises = Promises(prefix)
    (promise_us,) = promises.write([until_us], [promises.tag(node)])
    return promise_us


def stored(promise_us: int, received_us: int = NOW_US) -> StoredReading:
    return StoredReading(Reading("d", "s", 1.0, NOW_US - 5, received_us=received_us), promise_us)


@given(until_us=st.integers(NOW_US, NOW_US * 2), node=st.sampled_from(NODES))
def test_a_reader_with_the_same_prefix_and_node_reads_the_time(until_us: int, node: str) -> None:
    promise_us = promised("p:", node, until_us)
    expected = Promises("p:").read(stored(promise_us), node)
    assert expected is not None
    assert (expected.written_s, expected.elsewhere) == (NOW_US / 1e6, False)
    assert abs(expected.until_s - until_us / 1e6) < EARLY_S / 4


def test_a_reader_that_looks_on_another_node_learns_that_it_is_elsewhere() -> None:
    for owner in NODES:
        promise_us = promised("", owner)
        for node in NODES:
            expected = Promises("").read(stored(promise_us), node)
            assert expected is not None
            assert expected.elsewhere is (node != owner)


def test_a_promise_says_nothing_to_a_reader_with_another_prefix() -> None:
    promise_us = promised("w:", NODES[0])
    assert Promises("r:").read(stored(promise_us), NODES[0]) is None
    assert Promises("").read(stored(promise_us), NODES[0]) is None
    assert Promises("w:").read(stored(0), NODES[0]) is None, "no promise at all"


def test_a_reading_without_the_time_of_its_receipt_counts_from_its_own() -> None:
    promise_us = promised("", NODES[0])
    expected = Promises("").read(stored(promise_us, received_us=0), NODES[0])
    assert expected is not None
    assert expected.written_s == (NOW_US - 5) / 1e6
