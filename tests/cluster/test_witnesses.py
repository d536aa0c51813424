"""Which nodes vouch for which: few, the same everywhere, and never the node itself."""

from __future__ import annotations

import pytest

from iotcache.cluster.outage import witnesses


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 50])
def test_every_node_has_a_few_witnesses_and_all_watch_equally_many(count: int) -> None:
    names = [f"10.0.0.{number}:11211" for number in range(count)]
    found = witnesses(names, range(len(names)), range(len(names)))
    assert all(index not in others for index, others in enumerate(found))
    assert {len(others) for others in found} == {min(3, count - 1)}
    watched = [sum(index in others for others in found) for index in range(count)]
    assert set(watched) == {min(3, count - 1)}


def test_the_order_in_the_settings_does_not_matter() -> None:
    names = [f"cache-{number}:11211" for number in range(9)]
    backwards = names[::-1]
    one = {
        names[index]: {names[other] for other in others}
        for index, others in enumerate(witnesses(names, range(len(names)), range(len(names))))
    }
    two = {
        backwards[index]: {backwards[other] for other in others}
        for index, others in enumerate(witnesses(backwards, range(len(names)), range(len(names))))
    }
    assert one == two
