"""Whatever is sent, however it is cut: no exception, no lost answer, no value read as a command."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache_simulator.cachenode.node import MIB
from tests.cachenode.conftest import Bench
from tests.examples import examples

_NAMES = st.sampled_from(
    b"get gets gat gats set add replace append prepend cas touch delete incr decr flush_all version "
    b"verbosity stats cache_memlimit lru_crawler watch shutdown mg ms md ma me mn quit x".split()
)
_WORDS = st.one_of(
    st.sampled_from(
        b"k key noreply 0 1 -1 10 99999999999 18446744073709551615 v t q k b c f h l s u x I T30 T-1 N5 R9 "
        b"O1 C1 E7 F3 ME MA MD D2 J5 M metadump all items slabs settings reset fetchers AAEg \xff \x00".split(
            b" "
        )
    ),
    st.binary(max_size=12),
)
_LINES = st.builds(
    lambda name, words, end: b" ".join([name, *words]) + end,
    _NAMES,
    st.lists(_WORDS, max_size=7),
    st.sampled_from([b"\r\n", b"\n", b"\r\nv\r\n", b"\r\n\r\n"]),
)


@given(st.lists(st.one_of(_LINES, st.binary(max_size=40)), max_size=15).map(b"".join))
@settings(max_examples=examples(100), deadline=None)
def test_no_input_is_an_exception(data: bytes) -> None:
    Bench().say(data)


@given(st.lists(_LINES, max_size=12).map(b"".join), st.lists(st.integers(1, 30), min_size=1, max_size=40))
@settings(max_examples=examples(60), deadline=None)
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Bench(), Bench()
    pieces.node.pid = whole.node.pid
    answers, start = [], 0
    for cut in cuts:
        answers.append(pieces.say(data[start : start + cut]))
        start += cut
    answers.append(pieces.say(data[start:]))
    assert _timeless(b"".join(answers)) == _timeless(whole.say(data))
    assert pieces.session.closed == whole.session.closed


def _timeless(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\n") if not line.startswith(b"STAT rusage")]


_VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"\r\nMN\r\n", b"END\r\n", b"VA 3\r\nabc\r\n", b"mn\r\nget k\r\n", b"\0" * 9, b"\r", b"\n"]
    ),
)


@given(st.lists(_VALUES, max_size=8), st.integers(1, 64))
@settings(max_examples=examples(40), deadline=None)
def test_values_of_any_bytes_come_back_whole(values: list[bytes], cut: int) -> None:
    bench = Bench()
    sent = b"".join(
        b"ms k%d %d\r\n%b\r\nmg k%d v\r\nget k%d\r\n" % (number, len(value), value, number, number)
        for number, value in enumerate(values)
    )
    got = b"".join(bench.say(sent[start : start + cut]) for start in range(0, len(sent), cut))
    assert got == b"".join(
        b"HD\r\nVA %d\r\n%b\r\nVALUE k%d 0 %d\r\n%b\r\nEND\r\n"
        % (len(value), value, number, len(value), value)
        for number, value in enumerate(values)
    )


_ANSWERED = st.sampled_from(
    [
        *b"get k|gets k|gat 5 k|touch k 5|delete k|incr k 1|decr k x|version|stats|nonsense|x|".split(b"|"),
        *b"mg k|mg k v t N9|md k|md k !|ma k|ma k N0 J7|me k|me".split(b"|"),
        b"set k 0 0 2\r\n12",
        b"ms k 2 T9\r\n12",
        b"ms k 2 !\r\n12",
        b"cas k 0 0 2 1\r\n12",
        b"add k 0 0 0\r\n",
    ]
)


@given(st.lists(_ANSWERED, max_size=30))
@settings(max_examples=examples(50), deadline=None)
def test_every_whole_command_is_answered(commands: list[bytes]) -> None:
    bench = Bench()
    answers = bench.say(b"".join(command + b"\r\nmn\r\n" for command in commands)).split(b"MN\r\n")
    assert answers.pop() == b""
    assert len(answers) == len(commands)
    assert all(answer.endswith(b"\r\n") for answer in answers)


def test_a_length_that_cannot_be_read_is_refused(bench: Bench) -> None:
    for length in (b"-1", b"x", b"99999999999", b"9" * 1900, b"1_0", b"0x5"):
        assert bench.say(b"ms k " + length + b"\r\n") == b"CLIENT_ERROR bad command line format\r\n"
        assert bench.say(b"set k 0 0 " + length + b"\r\n") == b"CLIENT_ERROR bad command line format\r\n"


@pytest.mark.parametrize("junk", [b"x" * 2049, b"set " + b"k" * 5000, b" " * 3000, b"getx" * 600])
def test_a_line_without_end_closes_the_connection(bench: Bench, junk: bytes) -> None:
    assert bench.say(b"version\r\n" + junk).startswith(b"VERSION ")
    assert bench.session.closed
    assert bench.say(b"\r\nversion\r\n") == b""
    assert bench.session.buffered_bytes == 0


def test_get_may_name_many_keys_but_not_without_end(bench: Bench) -> None:
    keys = [b"dev%04d:temperature:latest" % number for number in range(5000)]
    bench.put(keys[-1])
    line = b"get " + b" ".join(keys) + b"\r\n"
    for start in range(0, len(line), 1000):
        answer = bench.say(line[start : start + 1000])
    assert answer == b"VALUE %b 0 1\r\nv\r\nEND\r\n" % keys[-1]
    bench.say(b"get " + b"k " * MIB)
    assert bench.session.closed


def test_a_huge_refused_block_is_passed_over_without_being_kept(bench: Bench) -> None:
    answer = bench.say(b"set k 0 0 2000000000\r\n")
    assert answer == b"SERVER_ERROR object too large for cache\r\n"
    for _ in range(100):
        assert bench.say(b"version\r\n" * 10_000) == b""
        assert bench.session.buffered_bytes == 0


def test_answers_wait_until_they_are_asked_for() -> None:
    bench = Bench()
    bench.put(b"k", b"x" * 500_000)
    bench.session.receive(
        b"get k\r\n" * 1000 + b"get " + b"k " * 1000 + b"\r\n" + b"lru_crawler metadump all\r\n"
    )
    total = pieces = 0
    while bench.session.ready:
        piece = bench.session.answer(limit_bytes=65_536)
        assert len(piece) < 65_536 + 500_100
        total += len(piece)
        pieces += 1
    assert pieces >= 2000
    assert total > 2000 * 500_000


def test_a_browser_tricked_into_talking_to_us_is_hung_up_on(bench: Bench) -> None:
    request = b"POST /set HTTP/1.1\r\nHost: x\r\n\r\nset k 0 0 1\r\nv\r\n"
    assert bench.say(request) == b""
    assert bench.session.closed
    assert len(bench.node.items) == 0


def test_a_key_may_have_250_bytes_and_no_more(bench: Bench) -> None:
    bench.put(b"k" * 250)
    for command in (
        b"get %b",
        b"mg %b v",
        b"md %b",
        b"me %b",
        b"touch %b 1",
        b"delete %b",
        b"incr %b 1",
        b"ma %b",
    ):
        assert bench.say(command % (b"k" * 251) + b"\r\n") == b"CLIENT_ERROR bad command line format\r\n"
