"""From events to curves and frequent keys."""

from __future__ import annotations

from random import Random

import pytest

from iotcache.advisor.item_size import item_bytes
from iotcache.traffic.groups import OTHERS, Groups
from iotcache.traffic.meter import TrafficMeter
from iotcache.traffic.observation import group_evidence
from iotcache.traffic.watch_lines import WatchEvent, What


def test_a_set_after_a_miss_is_a_fill_and_any_other_a_write() -> None:
    meter = TrafficMeter(10**6, Groups())
    events = []
    for second in range(40):
        at_s = 100.0 + second
        events.append(WatchEvent(b"dev1:t:latest", What.SET, at_s, 60.0, 1, 20))
        if second % 10 == 0:
            events.append(WatchEvent(b"dev2:t:latest", What.MISS, at_s, 0.0, 0, 0))
            events.append(WatchEvent(b"dev2:t:latest", What.SET, at_s, 5.0, 1, 20))
        events.append(WatchEvent(b"dev2:t:latest", What.HIT, at_s, 0.0, 1, 20))
    meter.feed(events)
    (group,) = group_evidence([meter], meter.groups, 100.0, 0.1)
    assert group.name == "dev#:t:latest"
    assert group.unread is not None and 0.9 < group.unread < 1.0
    assert meter.sampler.writes_estimated(0) == 40
    assert meter.hit_ratio == 40 / 44


def test_frequent_keys_and_their_prefixes_are_counted_by_kind() -> None:
    meter = TrafficMeter(10**6, Groups(), chunks={1: 96})
    hot = WatchEvent(b"site9/overview", What.HIT, 5.0, 0.0, 1, 1_000)
    meter.feed([hot] * 30 + [WatchEvent(b"dev%d:t" % n, What.MISS, 6.0, 0.0, 0, 0) for n in range(10)])
    assert meter.gets.top(1)[0].key == b"site9/overview"
    assert meter.bytes.top(1)[0].count == 30_000
    assert meter.misses.total == 10
    assert [(one.key, one.count) for one in meter.prefixes(2)] == [(b"site#/", 30.0), (b"dev#:", 10.0)]


@pytest.mark.parametrize("mixed", [(60.0, 300.0), (3_600.0, 7_200.0), (60.0, 300.0, 3_600.0)])
def test_mixed_lives_are_no_changes_of_a_ttl(mixed: tuple[float, ...]) -> None:
    """Whatever was drawn last: only lives that are alike, jitter and all, are the group's."""
    rng, meter = Random(4), TrafficMeter(10**6, Groups())
    seen = set()
    for number in range(600):
        life_s = rng.choice(mixed) if number < 400 else 90.0 * (1 - 0.5 * rng.random())
        meter.feed([WatchEvent(b"dev1:t:latest", What.SET, number * 1.0, life_s, 1, 20)])
        seen.add(meter.set_ttl(0) if 63 <= number < 400 else None)
    assert seen == {None}
    assert meter.set_ttl(0) == pytest.approx(67.5, rel=0.2)


def test_patterns_beyond_the_last_group_share_it() -> None:
    groups = Groups()
    numbers = {groups.number(b"kind" + bytes([97 + n % 26, 97 + n // 26]) + b":7") for n in range(100)}
    assert max(numbers) == 15
    assert groups.name(15) == OTHERS
    assert groups.number(b"kindaa:8") == 0


def test_patterns_that_are_only_written_leave_numbers_for_what_is_read() -> None:
    groups = Groups()
    for n in range(40):
        groups.number(b"written%c:" % (65 + n), read=False)
    assert groups.name(groups.number(b"read:7")) == "read:#"
    assert groups.name(groups.number(b"writtenA:", read=False)) == "writtenA:"


def test_misses_that_come_together_are_seen() -> None:
    meter = TrafficMeter(10**6, Groups())
    for second in range(60):
        meter.feed([WatchEvent(b"a%d:t" % n, What.HIT, 100.0 + second, 0.0, 1, 20) for n in range(20)])
        if second == 30:
            meter.feed([WatchEvent(b"a%d:t" % n, What.EXPIRED, 100.0 + second, 0.0, 0, 0) for n in range(40)])
    assert meter.peak(0) > 20
    assert item_bytes(4, 20) == 83
