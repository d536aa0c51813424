"""Leases, early recaching and stale values: one client wins, the others are told."""

from __future__ import annotations

from tests.cachenode.conftest import Bench


def test_the_first_to_miss_wins_and_later_ones_wait(bench: Bench) -> None:
    assert bench.say(b"mg k N30 v t\r\n") == b"VA 0 t30 W\r\n\r\n"
    assert bench.say(b"mg k N30 v t\r\n") == b"VA 0 t30 Z\r\n\r\n"
    assert bench.say(b"mg k N30 v t k O1\r\n") == b"VA 0 t30 kk O1 Z\r\n\r\n"


def test_the_winner_sees_its_own_time(bench: Bench) -> None:
    # The flags are worked on in the order they came: t before N still shows the stub without its time.
    assert bench.say(b"mg a N30 t\r\nmg b t N30\r\n") == b"HD t30 W\r\nHD t-1 W\r\n"


def test_a_set_ends_the_lease(bench: Bench) -> None:
    bench.say(b"mg k N30\r\n")
    bench.put(b"k", b"fresh", b"T60")
    assert bench.say(b"mg k N30 v t\r\n") == b"VA 5 t60\r\nfresh\r\n"


def test_a_dead_winner_is_replaced_when_the_stub_expires(bench: Bench) -> None:
    assert bench.say(b"mg k N3\r\n") == b"HD W\r\n"
    bench.clock.advance(2)
    assert bench.say(b"mg k N3\r\n") == b"HD Z\r\n"
    bench.clock.advance(1)
    assert bench.say(b"mg k N3\r\n") == b"HD W\r\n"


def test_lease_answers_count_as_hits_as_in_memcached(bench: Bench) -> None:
    bench.say(b"mg k N30\r\nmg k N30\r\nget k\r\n")
    assert (bench.count("get_hits"), bench.count("get_misses")) == (3, 0)


def test_one_reader_is_told_to_recache_early(bench: Bench) -> None:
    bench.put(b"k", flags=b"T20")
    assert bench.say(b"mg k R10 v\r\n") == b"VA 1\r\nv\r\n"
    assert bench.say(b"mg k R30 v\r\n") == b"VA 1 W\r\nv\r\n"
    assert bench.say(b"mg k R30 v\r\n") == b"VA 1 Z\r\nv\r\n"
    bench.put(b"for-ever")
    assert bench.say(b"mg for-ever R30\r\n") == b"HD\r\n"


def test_a_stale_value_is_served_while_one_client_recaches(bench: Bench) -> None:
    bench.put(b"k", b"old", b"T90")
    assert bench.say(b"md k I T30\r\n") == b"HD\r\n"
    assert bench.say(b"mg k v t\r\n") == b"VA 3 t30 X W\r\nold\r\n"
    assert bench.say(b"mg k v\r\n") == b"VA 3 Z X\r\nold\r\n"
    assert bench.say(b"get k\r\n") == b"VALUE k 0 3\r\nold\r\nEND\r\n"
    bench.put(b"k", b"new")
    assert bench.say(b"mg k v\r\n") == b"VA 3\r\nnew\r\n"


def _cas(bench: Bench, key: bytes) -> int:
    return int(bench.say(b"mg %b c\r\n" % key).split()[1].removeprefix(b"c"))


def test_an_older_cas_with_i_stores_and_marks_stale(bench: Bench) -> None:
    bench.put(b"k", b"one", b"T50")
    older = _cas(bench, b"k")
    bench.say(b"md k I T30\r\n")
    assert bench.say(b"ms k 3 C%d\r\ntwo\r\n" % older) == b"EX\r\n"
    assert bench.say(b"ms k 3 C%d I T99\r\ntwo\r\n" % older) == b"HD\r\n"
    assert bench.say(b"mg k v t\r\n") == b"VA 3 t30 X W\r\ntwo\r\n"
    assert bench.say(b"ms k 3 C%d I\r\nsix\r\n" % (_cas(bench, b"k") + 1)) == b"EX\r\n"
    assert bench.say(b"ms gone 3 C1 I\r\nsix\r\n") == b"NF\r\n"


def test_e_sets_the_cas_unique(bench: Bench) -> None:
    assert bench.say(b"ms k 1 E1234 c\r\nv\r\n") == b"HD c1234\r\n"
    assert bench.say(b"ms k 1 C1234 E1300 c\r\nw\r\n") == b"HD c1300\r\n"
    assert bench.say(b"md k I E1400\r\nmg k c\r\n") == b"HD\r\nHD c1400 X W\r\n"
    assert bench.say(b"mg fresh N9 E77 c\r\n") == b"HD c77 W\r\n"
    assert bench.say(b"ma n N9 E5 c\r\nma n C5 E6 c v\r\n") == b"HD c5\r\nVA 1 c6\r\n1\r\n"


def test_md_x_keeps_the_key_without_its_value(bench: Bench) -> None:
    bench.put(b"k", b"gone", b"F9")
    assert bench.say(b"md k x T30\r\nmg k v t f\r\n") == b"HD\r\nVA 0 t30 f0\r\n\r\n"
    bench.put(b"k", b"gone")
    assert bench.say(b"md k x I T30\r\nmg k v\r\n") == b"HD\r\nVA 0 X W\r\n\r\n"


def test_hit_before_and_last_access_are_those_before_this_read(bench: Bench) -> None:
    bench.put(b"k")
    bench.clock.advance(7)
    assert bench.say(b"mg k h l u\r\nmg k h l\r\nmg k h l\r\n") == b"HD h0 l7\r\nHD h0 l7\r\nHD h1 l0\r\n"


def test_me_touches_nothing(bench: Bench) -> None:
    bench.put(b"k", b"v", b"T99")
    bench.clock.advance(9)
    before = bench.stats()
    assert bench.say(b"me k\r\nme k\r\nme none\r\n") == (
        b"ME k exp=90 la=9 cas=1 fetch=no cls=1 size=61\r\n" * 2 + b"EN\r\n"
    )
    after = bench.stats()
    changed = {name for name in before if before[name] != after[name]} - {"rusage_user", "rusage_system"}
    assert changed == {"cmd_meta"}


def test_base64_keys_are_the_bytes_they_stand_for(bench: Bench) -> None:
    assert bench.say(b"ms AAEgCg0= 2 b k\r\nhi\r\n") == b"HD kAAEgCg0= b\r\n"
    assert bench.say(b"mg AAEgCg0= b v k\r\n") == b"VA 2 kAAEgCg0= b\r\nhi\r\n"
    assert bench.say(b"me AAEgCg0= b\r\n").startswith(b"ME AAEgCg0= exp=-1 ")
    assert bench.say(b"lru_crawler metadump all\r\n").startswith(b"key=%00%01%20%0A%0D exp=-1 ")
    assert bench.say(b"md AAEgCg0= b\r\nmg AAEgCg0= b\r\n") == b"HD\r\nEN\r\n"
