"""The bundled node answers as a real memcached does, byte for byte but for what differs by nature.

CAS uniques are numbered by each server, times left may differ by the second in which they were asked, and
memcached before 1.6.24 prints ``me``'s ``exp`` with the wrong sign. Counting is kept apart from what shows
whether the item was stored anew, which memcached does or leaves by the chance of who has it in hand; and when
it does, ``ma`` with ``T`` loses the new time, where ours keeps it, as the protocol says.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cachenode.conftest import BARRIER, NodeProcess, read_to
from tests.cachenode.scripts import SCRIPTS, WITH_CAS

pytestmark = pytest.mark.real("memcached")

_CAS = re.compile(rb"(^VALUE \S+ \d+ \d+ | c|cas=)(\d+)", re.MULTILINE)
_TIME = re.compile(rb"( t| l|exp=|la=)(-?\d+)")


class Both:
    """The same conversation with two servers."""

    def __init__(self, ports: tuple[int, int]) -> None:
        self._ends = [socket.create_connection(("127.0.0.1", port), timeout=5) for port in ports]
        self._cas = [b"0", b"0"]

    def ask(self, data: bytes) -> tuple[bytes, bytes]:
        """Both answers; ``<cas>`` in the data is the last CAS unique that server showed."""
        answers = []
        for number, end in enumerate(self._ends):
            end.sendall(data.replace(b"<cas>", self._cas[number]) + BARRIER)
            answers.append(read_to(end, b"MN\r\n"))
            for _, cas in _CAS.findall(answers[-1]):
                self._cas[number] = cas
        return answers[0], answers[1]

    def agree(self, turns: list[bytes]) -> None:
        """Fail when the answers differ in anything that matters."""
        ours, theirs = (b"".join(answers) for answers in zip(*map(self.ask, turns), strict=True))
        assert _comparable(ours) == _comparable(theirs), (ours, theirs)
        assert all(abs(a - b) <= 1 for a, b in zip(_times(ours), _times(theirs), strict=True)), (ours, theirs)

    def close(self) -> None:
        for end in self._ends:
            end.close()


def _comparable(answer: bytes) -> bytes:
    return _TIME.sub(rb"\1#", _CAS.sub(rb"\1#", answer))


def _times(answer: bytes) -> list[int]:
    return [abs(int(seconds)) for _, seconds in _TIME.findall(answer)]


@pytest.fixture
def both(node_process: NodeProcess, memcached: Any) -> Iterator[Both]:
    """A bundled node and a real one, both empty."""
    found = Both((node_process.port, memcached.port))
    found.ask(b"flush_all\r\n")
    yield found
    found.close()


@pytest.fixture
def cas_primed(both: Both) -> Both:
    """Both servers have shown the CAS unique of ``a``."""
    both.agree(SCRIPTS["cas"])
    return both


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in WITH_CAS])
def test_answers_are_memcacheds(both: Both, name: str) -> None:
    both.agree(SCRIPTS[name])


@pytest.mark.parametrize("name", WITH_CAS)
def test_answers_with_a_cas_unique_are_memcacheds(cas_primed: Both, name: str) -> None:
    cas_primed.agree(SCRIPTS[name])


def test_every_size_class_is_memcacheds(both: Both) -> None:
    sizes = sorted({int(30 * 1.13**step) for step in range(84)})
    for size in sizes:
        both.ask(b"set size%07d 0 0 %d\r\n%b\r\n" % (size, size, b"x" * size))
    both.agree([b"me size%07d\r\n" % size for size in sizes])


def test_metadump_lines_have_memcacheds_fields(both: Both) -> None:
    both.ask(b"ms d 10 T90\r\n0123456789\r\nms %41%0a 1\r\nx\r\n")
    ends = []
    for end in both._ends:
        end.sendall(b"lru_crawler metadump all\r\n")
        ends.append(read_to(end, b"END\r\n"))
    ours, theirs = (dict(field.split(b"=") for field in end.splitlines()[-2].split()) for end in ends)
    assert set(theirs) <= set(ours)
    assert ours[b"size"] == theirs[b"size"]
    assert sorted(line.split()[0] for line in ends[0].splitlines()) == sorted(
        line.split()[0] for line in ends[1].splitlines()
    )


_KEYS = st.sampled_from([b"a", b"b", b"c"])
_FLAGS = st.lists(
    st.sampled_from([b"v", b"t", b"k", b"s", b"f", b"h", b"Ox", b"q", b"c", b"T50", b"T0", b"N30", b"u"]),
    unique=True,
    max_size=5,
).map(b" ".join)
_SET_FLAGS = st.lists(
    st.sampled_from([b"T50", b"F3", b"k", b"Oy", b"q", b"I", b"c"]), unique=True, max_size=4
).map(b" ".join)
_MODES = st.sampled_from([b"", b" ME", b" MR", b" MS", b" C1", b" MA", b" MP"])
_VALUES = st.sampled_from([b"", b"7", b"42", b"text", b"99999999999"])
_STORING = st.one_of(
    st.builds(lambda k, f: b"mg %b %b\r\n" % (k, f), _KEYS, _FLAGS),
    st.builds(
        lambda k, v, f, m: b"ms %b %d %b%b\r\n%b\r\n" % (k, len(v), f, m, v),
        _KEYS,
        _VALUES,
        _SET_FLAGS,
        _MODES,
    ),
    st.builds(
        lambda n, k, v: b"%b %b 4 60 %d\r\n%b\r\n" % (n, k, len(v), v),
        st.sampled_from([b"set", b"add", b"replace", b"append", b"prepend"]),
        _KEYS,
        _VALUES,
    ),
    st.builds(
        lambda k, f: b"md %b %b\r\n" % (k, f),
        _KEYS,
        st.sampled_from([b"", b"q", b"I T30", b"I", b"k Oz", b"C1", b"q I"]),
    ),
    st.builds(
        lambda n, k: n % k,
        st.sampled_from(
            [b"touch %b 70\r\n", b"gat 80 %b\r\n", b"me %b\r\n", b"get a b %b\r\n", b"delete %b\r\n"]
        ),
        _KEYS,
    ),
)
# Numbers that keep their length: at most 20 steps of at most 9 from 500.
_COUNTING = st.builds(
    lambda n, k: n % k,
    st.sampled_from(
        [
            b"incr %b 9\r\n",
            b"decr %b 3\r\n",
            b"ma %b\r\n",
            b"ma %b v t\r\n",
            b"ma %b N60 J500 v\r\n",
            b"ma %b N60 J500 q k Ox\r\n",
            b"ma %b MD D3 v t k\r\n",
            b"ma %b q M+ D9\r\n",
            b"ma %b Oq\r\n",
            b"mg %b v t s f\r\n",
            b"set %b 3 90 3\r\n500\r\n",
            b"delete %b\r\n",
        ]
    ),
    _KEYS,
)
_hypothesis = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(commands=st.lists(_STORING, min_size=1, max_size=25))
@_hypothesis
def test_any_conversation_goes_as_with_memcached(both: Both, commands: list[bytes]) -> None:
    both.ask(b"delete a\r\ndelete b\r\ndelete c\r\n")
    both.agree(commands)


@given(commands=st.lists(_COUNTING, min_size=1, max_size=20))
@_hypothesis
def test_any_counting_goes_as_with_memcached(both: Both, commands: list[bytes]) -> None:
    both.ask(b"delete a\r\ndelete b\r\ndelete c\r\n")
    both.agree(commands)
