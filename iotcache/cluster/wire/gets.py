"""Answers to gets, the hot path: values taken by length, straight into `GetResult`."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from iotcache.cluster.types import FOREVER_S, GetResult, Lease
from iotcache.cluster.wire.answers import ProtocolViolation, ReplyBatch, line_end, refusal, unexpected
from iotcache.model import MissReason

_CR: Final = 13
MAX_VALUE_BYTES: Final = 1 << 30
"""memcached's own upper bound for ``-I``; an announced length past it is not an answer but noise."""

Header = tuple[int, float, int]
"""Bytes of the value, seconds left, client flags."""
_headers: dict[bytes, Header] = {}
_HEADERS_MAX: Final = 16_384


def _header(line: bytes) -> Header:
    """Read ``VA 93 t57 f16``."""
    parts = line.split(b" ")
    try:
        if len(parts) != 4 or parts[0] != b"VA" or parts[2][:1] != b"t" or parts[3][:1] != b"f":
            raise unexpected(line)
        size, ttl, flags = int(parts[1]), int(parts[2][1:]), int(parts[3][1:])
    except ValueError as error:
        raise unexpected(line) from error
    if not 0 <= size <= MAX_VALUE_BYTES:
        raise unexpected(line)
    header = (size, FOREVER_S if ttl == -1 else float(max(ttl, 0)), flags)
    # The same few thousand lines come again and again (sizes times seconds left), and looking one up
    # costs a fifth of reading it.
    if len(_headers) >= _HEADERS_MAX:
        _headers.clear()
    _headers[line] = header
    return header


def _without_marks(line: bytes) -> tuple[bytes, bytes]:
    """The line without its trailing ``W``, ``Z`` and ``X``, and these.

    A node adds them to whatever get finds an item that is being loaded (``W`` to the one who is to load
    it, ``Z`` to the others) or that was marked stale (``X``).
    """
    marks = b""
    while line[-2:] in (b" W", b" Z", b" X"):
        marks += line[-1:]
        line = line[:-2]
    return line, marks


class GetBatch(ReplyBatch):
    """What both kinds of gets have in common; ``clock`` in seconds, for the latency."""

    __slots__ = ("asked_at", "clock", "node", "stale")

    def __init__(self, want: int, node: str, clock: Callable[[], float] = perf_counter) -> None:
        super().__init__(want)
        self.node = node
        self.clock = clock
        self.asked_at = clock()
        self.stale: list[tuple[int, int]] = []
        """Items that do not count: position in the batch and CAS unique."""


class GetReplies(GetBatch):
    """Answers to `get_request`, as `GetResult` in the order asked."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        # The hot loop of the whole client: one find, one slice, one look-up and one slice a hit.
        latency_ms = (self.clock() - self.asked_at) * 1000.0
        out = self.out
        append = out.append
        find = data.find
        known = _headers.get
        node = self.node
        miss = GetResult(False, b"", 0, FOREVER_S, node, None, latency_ms)
        left = self.want - len(out)
        available = len(data)
        while left:
            end = find(b"\r\n", start)
            if end < 0:
                line_end(data, start)
                self.lacking = 1
                return start
            line = data[start:end]
            header = known(line)
            marks = b""
            if header is None:
                line_end(data, start)
                if not line.startswith(b"VA "):
                    append(miss if line == b"EN" else refused(line, node, latency_ms))
                    start = end + 2
                    left -= 1
                    continue
                line, marks = _without_marks(line)
                header = known(line) or _header(line)
            size, ttl_s, flags = header
            begin = end + 2
            stop = begin + size
            if stop + 2 > available:
                self.lacking = stop + 2 - available
                return start
            if data[stop] != _CR:
                raise ProtocolViolation("a value is longer than the node announced")
            if marks and (not size or b"X" in marks):
                append(miss)  # only a place held for one who is loading it, or marked stale
            else:
                append(GetResult(True, data[begin:stop], flags, ttl_s, node, None, latency_ms))
            start = stop + 2
            left -= 1
        return self.close(data, start)


class CheckedGetReplies(GetBatch):
    """Answers to `get_cas_request` and `lease_request`, as `GetResult` in the order asked.

    An item whose CAS unique is not above ``floor`` counts as not there and is noted in ``stale``.
    """

    __slots__ = ("_floor",)

    def __init__(self, want: int, node: str, floor: int, clock: Callable[[], float] = perf_counter) -> None:
        super().__init__(want, node, clock)
        self._floor = floor

    def feed(self, data: bytes, start: int) -> int:
        latency_ms = (self.clock() - self.asked_at) * 1000.0
        out = self.out
        node = self.node
        miss = GetResult(False, b"", 0, FOREVER_S, node, None, latency_ms)
        while len(out) < self.want:
            end = line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            if not line.startswith(b"VA "):
                out.append(miss if line == b"EN" else refused(line, node, latency_ms))
                start = end + 2
                continue
            line, marks = _without_marks(line)
            head, mark, number = line.rpartition(b" c")
            if not mark or not number.isdigit():
                raise unexpected(line)
            size, ttl_s, flags = _headers.get(head) or _header(head)
            begin = end + 2
            stop = begin + size
            if stop + 2 > len(data):
                self.lacking = stop + 2 - len(data)
                return start
            if data[stop] != _CR:
                raise ProtocolViolation("a value is longer than the node announced")
            cas = int(number)
            if cas <= self._floor:
                self.stale.append((len(out), cas))
                out.append(miss)
            else:
                lease = Lease.WON if b"W" in marks else Lease.HELD if b"Z" in marks else None
                there = not marks or (size > 0 and b"X" not in marks)
                value = data[begin:stop] if there else b""
                out.append(GetResult(there, value, flags, ttl_s, node, None, latency_ms, cas, lease))
            start = stop + 2
        return self.close(data, start)


def refused(line: bytes, node: str, latency_ms: float) -> GetResult:
    """The answer for a key whose get the node refused."""
    refusal(line)
    return GetResult(False, b"", 0, FOREVER_S, node, MissReason.NODE_DOWN, latency_ms)
