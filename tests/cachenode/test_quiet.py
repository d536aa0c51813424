"""Quiet mode hides what is expected and nothing else; ``mn`` ends the pipeline."""

from __future__ import annotations

import pytest

from tests.cachenode.conftest import BARRIER, Bench


def test_hits_come_and_misses_do_not(bench: Bench) -> None:
    bench.put(b"b", b"two")
    pipeline = b"mg a v q O1\r\nmg b v q O2\r\nmg c v q O3\r\n"
    assert bench.say(pipeline + BARRIER) == b"VA 3 O2\r\ntwo\r\nMN\r\n"
    assert bench.say(b"mg a v k O1\r\n") == b"EN ka O1\r\n"


def test_success_is_hidden_and_failure_is_not(bench: Bench) -> None:
    bench.put(b"there")
    assert bench.say(b"ms k 1 q\r\nv\r\nms there 1 ME q O9\r\nv\r\nmd k q\r\nmd k q O7\r\n" + BARRIER) == (
        b"NS O9\r\nNF O7\r\nMN\r\n"
    )


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"ms k 2 q\r\nabc\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
        (b"ms k 1 q !\r\nv\r\n", b"CLIENT_ERROR invalid flag\r\n"),
        (b"ms k 2000000 q\r\n" + b"v" * 2_000_000 + b"\r\n", b"SERVER_ERROR object too large for cache\r\n"),
        (b"mg k q q\r\n", b"CLIENT_ERROR duplicate flag\r\n"),
        (b"md k q q\r\n", b"CLIENT_ERROR invalid or duplicate flag\r\n"),
        (b"mg " + b"k" * 251 + b" q\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"ma there q\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        (b"ma gone q\r\n", b"NF\r\n"),
    ],
)
def test_errors_are_never_hidden(bench: Bench, command: bytes, answer: bytes) -> None:
    bench.put(b"there", b"words")
    assert bench.say(command + BARRIER) == answer + b"MN\r\n"


def test_noreply_silences_the_classic_commands(bench: Bench) -> None:
    assert (
        bench.say(
            b"set k 0 0 1 noreply\r\n5\r\nadd k 0 0 1 noreply\r\n6\r\nincr k 2 noreply\r\n"
            b"append k 0 0 1 noreply\r\n0\r\ntouch k 0 noreply\r\ndelete none noreply\r\n"
            b"verbosity 1 noreply\r\ncas k 0 0 1 99999 noreply\r\nx\r\nget k\r\nflush_all noreply\r\n"
        )
        == b"VALUE k 0 2\r\n70\r\nEND\r\n"
    )


def test_every_set_of_a_long_pipeline_is_answered_in_order(bench: Bench) -> None:
    good = b"ms k%d 1\r\nv\r\n"
    pipeline = b"".join(
        b"ms k%d 1 C5\r\nv\r\n" % number if number % 3 == 0 else good % number for number in range(3000)
    )
    answers = bench.say(pipeline + BARRIER).split(b"\r\n")
    assert answers == [b"HD" if number % 3 else b"NF" for number in range(3000)] + [b"MN", b""]
