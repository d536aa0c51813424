"""The protocol without a socket: byte for byte, in any pieces, with hostile values and broken answers."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.cluster.types import Lease
from iotcache.cluster.wire import protocol
from iotcache.cluster.wire.answers import (
    AnswerStream,
    ErrorReply,
    LineReplies,
    LineReply,
    ProtocolViolation,
    StatsReplies,
    StoreReplies,
)
from iotcache.cluster.wire.facts import facts_reader
from iotcache.cluster.wire.gets import CheckedGetReplies, GetReplies
from iotcache.errors import KeyFormatError
from iotcache.model import MissReason
from tests.examples import examples

HOSTILE = [
    b"\r\nMN\r\n",
    b"END\r\n",
    b"VA 3 t1 f0\r\nabc\r\n",
    b"EN\r\n",
    b"\x00" * 9,
    b"",
    b"\r\n",
    b"MN\r\n",
    b"\r",
]


def fed(stream: AnswerStream, data: bytes, cuts: list[int]) -> list[object]:
    done: list[object] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        done.extend(stream.feed(data[start:stop]))
    return done


def wire(values: list[bytes | None], ttl: int = 60, cas: bool = False) -> bytes:
    out = b""
    for number, value in enumerate(values):
        tail = b" c%d" % (number + 1) if cas else b""
        out += b"EN\r\n" if value is None else b"VA %d t%d f16%b\r\n%b\r\n" % (len(value), ttl, tail, value)
    return out + b"MN\r\n"


def test_requests_byte_for_byte() -> None:
    assert protocol.get_request(b"k") == b"mg k v t f\r\n"
    assert protocol.set_request(b"k", b"v\r\n", 16, 60) == b"ms k 3 T60 F16\r\nv\r\n\r\n"
    assert protocol.set_request(b"k", b"", 0, 1, b" ME") == b"ms k 0 T1 F0 ME\r\n\r\n"
    assert protocol.delete_request(b"k") == b"md k\r\n"
    assert protocol.expire_request(b"k", 7) == b"ms k 0 T-1 C7\r\n\r\n"
    assert protocol.touch_request(b"k", 5) == b"mg k T5\r\n"
    assert protocol.login_request("u", "p") == b"set auth 0 -1 3\r\nu p\r\n"


@pytest.mark.parametrize("key", ["", " ", "a b", "a\r\nflush_all", "a\n", "ключ", "x" * 251, "a\x00", "\x7f"])
def test_a_key_that_could_be_a_command_is_refused(key: str) -> None:
    with pytest.raises(KeyFormatError):
        protocol.checked_key(key)


def test_the_longest_key_passes() -> None:
    assert protocol.checked_key("x" * 250) == b"x" * 250


def test_a_login_never_shows_in_its_error() -> None:
    with pytest.raises(Exception, match="no spaces") as caught:
        protocol.login_request("user", "hunter2 x")
    assert "hunter2" not in str(caught.value)


values = st.lists(
    st.one_of(st.none(), st.binary(max_size=40), st.sampled_from(HOSTILE)), min_size=1, max_size=30
)
cuts = st.lists(st.integers(0, 4_000), max_size=12)


@settings(max_examples=examples(60))
@given(values, cuts, st.booleans())
def test_no_value_and_no_splitting_fools_the_parser(
    values: list[bytes | None], cuts: list[int], checked: bool
) -> None:
    stream = AnswerStream()
    first = CheckedGetReplies(len(values), "n", 0) if checked else GetReplies(len(values), "n")
    second = LineReply()
    stream.expect(first)
    stream.expect(second)
    done = fed(stream, wire(values, cas=checked) + b"VERSION 1.6.18\r\n", cuts)
    assert done == [first, second]
    assert [got.value if got.hit else None for got in first.out] == values
    assert second.out == b"VERSION 1.6.18"


@settings(max_examples=examples(100))
@given(st.binary(max_size=200), cuts)
def test_noise_is_an_answer_or_a_violation_and_nothing_else(noise: bytes, cuts: list[int]) -> None:
    for answers in (
        GetReplies(3, "n"),
        CheckedGetReplies(3, "n", 1),
        StoreReplies(3),
        LineReplies(3, facts_reader(True)),
        StatsReplies(),
    ):
        stream = AnswerStream()
        stream.expect(answers)
        try:
            fed(stream, noise, cuts)
        except ProtocolViolation as error:
            assert str(error).isprintable()


@settings(max_examples=examples(60))
@given(values, st.integers(0, 5_000), st.binary(min_size=1, max_size=6))
def test_a_damaged_stream_never_invents_a_value(values: list[bytes | None], at: int, noise: bytes) -> None:
    good = wire(values)
    at %= len(good)
    stream = AnswerStream()
    answers = GetReplies(len(values), "n")
    stream.expect(answers)
    with contextlib.suppress(ProtocolViolation):
        stream.feed(good[:at] + noise + good[at:])
    assert len(answers.out) <= len(values)


def test_header_fields_are_read() -> None:
    answers = GetReplies(3, "node")
    answers.feed(b"VA 2 t-1 f0\r\nab\r\nVA 0 t7 f24\r\n\r\nEN\r\nMN\r\n", 0)
    forever, seven, miss = answers.out
    assert (forever.ttl_s, forever.flags, forever.value) == (float("inf"), 0, b"ab")
    assert (seven.ttl_s, seven.flags, seven.value) == (7.0, 24, b"")
    assert not miss.hit and miss.failure is None and miss.node == "node"


def test_a_known_header_cut_before_its_line_end_waits_for_it() -> None:
    whole = b"VA 3 t60 f16\r\nabc\r\nMN\r\n"
    for cut in range(1, len(whole)):
        stream, answers = AnswerStream(), GetReplies(1, "n")
        stream.expect(answers)
        assert not stream.feed(whole[:cut])
        assert stream.feed(whole[cut:]) == [answers]
        assert answers.out[0].value == b"abc"


def test_an_error_fails_its_own_key_only() -> None:
    answers = GetReplies(3, "n")
    answers.feed(b"VA 1 t1 f0\r\nx\r\nSERVER_ERROR out of memory\r\nEN\r\nMN\r\n", 0)
    assert [got.failure for got in answers.out] == [None, MissReason.NODE_DOWN, None]
    stored = StoreReplies(3)
    stored.feed(b"HD\r\nSERVER_ERROR object too large for cache\r\nHD\r\nMN\r\n", 0)
    assert stored.out == [b"HD", ErrorReply("SERVER_ERROR object too large for cache"), b"HD"]


def test_long_runs_of_confirmations_are_counted_exactly() -> None:
    for count in (1, 255, 256, 257, 1_000):
        stream, stored = AnswerStream(), StoreReplies(count)
        stream.expect(stored)
        data = b"HD\r\n" * (count - 1) + b"NS\r\nMN\r\n"
        assert fed(stream, data, [1, 3, 1_022, 1_024]) == [stored]
        assert stored.out.count(b"HD") == count - 1
        assert stored.out[-1] == b"NS"


@pytest.mark.parametrize(
    "data",
    [
        b"VA 5 t1 f0\r\nabcdefgh\r\nMN\r\n",  # longer than announced
        b"VA -1 t1 f0\r\n\r\nMN\r\n",
        b"VA 99999999999 t1 f0\r\n",
        b"VA 1 f0 t1\r\nx\r\nMN\r\n",
        b"HD\r\nMN\r\n",
        b"EN\r\nEN\r\n",  # an answer more than asked
        b"x" * 9_000,
        b"CLIENT_ERROR bad data chunk\r\n",
        b"VALUE k 0 1\r\nx\r\nEND\r\n",
    ],
)
def test_answers_that_fit_no_question_end_the_stream(data: bytes) -> None:
    stream = AnswerStream()
    stream.expect(GetReplies(1, "n"))
    with pytest.raises(ProtocolViolation):
        stream.feed(data)


def test_an_answer_nobody_asked_for_ends_the_stream() -> None:
    with pytest.raises(ProtocolViolation):
        AnswerStream().feed(b"EN\r\n")


def test_marks_of_leases_and_staleness_are_understood_by_every_kind_of_get() -> None:
    lines = [
        b"VA 0 t30 f0 c1 W",
        b"VA 0 t30 f0 c1 Z",
        b"VA 1 t30 f0 c1 X W",
        b"VA 1 t30 f0 c1 Z X",
        b"VA 1 t9 f0 c1 W",
    ]
    checked = CheckedGetReplies(5, "n", 0)
    checked.feed(b"".join(line + b"\r\n" + b"x" * int(line[3:4]) + b"\r\n" for line in lines) + b"MN\r\n", 0)
    assert [got.lease for got in checked.out] == [Lease.WON, Lease.HELD, Lease.WON, Lease.HELD, Lease.WON]
    assert [got.hit for got in checked.out] == [False, False, False, False, True]
    plain = GetReplies(5, "n")
    bare = [line.replace(b" c1", b"") for line in lines]
    plain.feed(b"".join(line + b"\r\n" + b"x" * int(line[3:4]) + b"\r\n" for line in bare) + b"MN\r\n", 0)
    assert [got.hit for got in plain.out] == [False, False, False, False, True]


def test_items_at_or_below_the_floor_are_not_there() -> None:
    answers = CheckedGetReplies(3, "n", 10)
    answers.feed(b"VA 1 t1 f0 c10\r\na\r\nVA 1 t1 f0 c11\r\nb\r\nVA 1 t1 f0 c9\r\nc\r\nMN\r\n", 0)
    assert [got.hit for got in answers.out] == [False, True, False]
    assert answers.stale == [(0, 10), (2, 9)]


@pytest.mark.parametrize(
    ("line", "negated", "ttl"),
    [
        (b"ME k exp=-99 la=3 cas=5 fetch=no cls=1 size=64", True, 99.0),
        (b"ME k exp=-1 la=3 cas=5 fetch=no cls=1 size=64", True, 1.0),
        (b"ME k exp=99 la=3 cas=5 fetch=no cls=1 size=64", False, 99.0),
        (b"ME k exp=-1 la=3 cas=5 fetch=no cls=1 size=64 new=field", False, float("inf")),
    ],
)
def test_seconds_left_of_either_sign(line: bytes, negated: bool, ttl: float) -> None:
    facts = facts_reader(negated)(line)
    assert facts is not None
    assert (facts.ttl_s, facts.age_s, facts.size, facts.fetched, facts.cas) == (ttl, 3.0, 64, False, 5)


def test_stats_pass_over_what_they_do_not_know() -> None:
    stats = StatsReplies()
    stats.feed(b"STAT pid 5\r\nSTAT empty \r\nOKAY what\r\nSTAT version 1.6\x1b[31m\r\nEND\r\n", 0)
    assert stats.out == {"pid": "5", "empty": "", "version": "1.6\\x1b[31m"}


def test_a_large_value_in_many_pieces_is_collected_once() -> None:
    value = bytes(range(256)) * 8_192  # 2 MiB
    data = wire([value, b"x"])
    stream, answers = AnswerStream(), GetReplies(2, "n")
    stream.expect(answers)
    done: list[object] = []
    for start in range(0, len(data), 1_000):
        done += stream.feed(data[start : start + 1_000])
    assert done == [answers]
    assert answers.out[0].value == value
