"""memcached's log of requests, as it comes and in pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.traffic.watch_lines import WatchLines, What

LOG = (
    b"ts=1796034134.651074 gid=2 type=item_get key=a status=not_found clsid=0 cfd=24 size=0\n"
    b"ts=1796034134.651082 gid=3 type=item_store key=a status=stored cmd=set ttl=60 clsid=1 cfd=24 size=3\n"
    b"ts=1796034135.3723 gid=4 type=item_get key=a status=found clsid=1 cfd=24 size=3\n"
    b"ts=1796034135.752191 gid=5 type=item_get key=b%20c status=not_found clsid=0 cfd=2 size=0\n"
    b"ts=1796034135.852777 gid=6 type=item_get key=b%20c status=not_found clsid=0 cfd=2 size=0\n"
    b"ts=1796034135.852778 gid=7 type=item_store key=b%20c status=stored cmd=set ttl=0 clsid=1 cfd=2 size=5\n"
    b"skipped=12\n"
    b"ts=1796034136.257113 gid=8 type=item_get key=a status=found clsid=1 cfd=5 size=3\n"
    b"ts=1796034136.257114 gid=9 type=item_store key=a status=not_stored cmd=add ttl=9 clsid=1 cfd=5 size=3\n"
    b"ts=1796034136.300000 gid=10 type=eviction key=zz fetch=no ttl=12 la=3 clsid=1 size=4\n"
    b"ts=1796034137.666188 gid=11 type=item_get key=e status=expired clsid=0 cfd=24 size=0\n"
    b"ts=1796034138.1 gid=12 type=item_get key=a status=found clsid=1 cfd=24 size=3\n"
    b"ts=1796034138.2 gid=13 type=deleted key=a cmd=md clsid=1 cfd=24 size=3\n"
)
MEANT = [
    (b"a", What.SET, 60.0),
    (b"a", What.HIT, 0.0),
    (b"b c", What.MISS, 0.0),
    (b"b c", What.SET, 0.0),
    (b"e", What.EXPIRED, 0.0),
    (b"a", What.DELETE, 0.0),
]


@given(st.lists(st.integers(0, len(LOG)), max_size=12))
@settings(deadline=None)
def test_a_log_means_the_same_however_it_is_cut_and_gets_of_sets_are_none(cuts: list[int]) -> None:
    lines, events = WatchLines(), []
    places = [0, *sorted(cuts), len(LOG)]
    for start, end in pairwise(places):
        events += lines.feed(LOG[start:end]) if end > start else []
    events += lines.rest()
    assert [(one.key, one.what, one.ttl_s) for one in events] == MEANT
    assert (lines.skipped, lines.evictions, lines.unread_lines) == (12, 1, 0)


def test_microseconds_have_no_leading_zeros() -> None:
    lines = WatchLines()
    events = lines.feed(LOG) + lines.rest()
    assert events[1].time_s == 1796034135.003723


@given(st.lists(st.binary(max_size=200), max_size=6))
@settings(deadline=None)
def test_bytes_of_any_kind_are_borne(pieces: list[bytes]) -> None:
    lines = WatchLines()
    for piece in pieces:
        lines.feed(b"ts=1.1 gid=1 type=item_get key=" + piece)
        lines.feed(piece + b"\n")
    lines.rest()


def test_a_line_without_end_takes_no_memory() -> None:
    lines = WatchLines()
    for _ in range(100):
        lines.feed(b"x" * 10_000)
    assert len(lines._rest) <= 10_000
    assert lines.unread_lines > 0
