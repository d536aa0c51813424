r"""What comes in: answers taken out of a byte stream by order and by length; no socket, no clock.

Values are taken by their announced length, so ``\r\nMN\r\n``, ``END`` or ``VA 3`` inside one is only data.
Source: memcached's doc/protocol.txt ("Meta Commands") and what 1.6.18 was seen to answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from iotcache.cluster.types import FOREVER_S, Got
from iotcache.errors import NodeError
from iotcache.model import MissReason
from iotcache.text import printable_bytes

CRLF: Final = b"\r\n"
_CR: Final = 13
MAX_LINE_BYTES: Final = 8_192
"""No answer line of the commands used here comes near it."""
MAX_VALUE_BYTES: Final = 1 << 30
"""memcached's own upper bound for ``-I``; an announced length past it is not an answer but noise."""
_ERRORS: Final = (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR")


class ProtocolViolation(NodeError):
    """Bytes that cannot be an answer to what was asked: the connection is of no more use."""


class Refusal(NamedTuple):
    """A node's error line for one command."""

    text: str
    """Safe to show."""


class Answers(Protocol):
    """Takes the answers to one batch out of a byte stream."""

    def take(self, data: bytes, start: int) -> int:
        """Consume whole answers from ``start`` on; return where it stopped."""
        ...

    @property
    def complete(self) -> bool:
        """Everything has come that will."""
        ...

    @property
    def lacking(self) -> int:
        """At least this many bytes after the place where `take` stopped are needed to go on."""
        ...


def _line_end(data: bytes, start: int) -> int:
    """Index of the CRLF that ends the line at ``start``; -1 when it has not come yet."""
    end = data.find(CRLF, start)
    if end - start > MAX_LINE_BYTES or (end < 0 and len(data) - start > MAX_LINE_BYTES):
        raise ProtocolViolation(f"an answer line is longer than {MAX_LINE_BYTES} bytes")
    return end


def _unfit(line: bytes) -> ProtocolViolation:
    return ProtocolViolation(f"answered {printable_bytes(line, 80)!r}, which fits no question asked")


def _refusal(line: bytes) -> Refusal:
    """The error line as a `Refusal`. Raises `ProtocolViolation` when it is none or leaves debris behind."""
    if not line.startswith(_ERRORS):
        raise _unfit(line)
    if line.startswith(b"CLIENT_ERROR bad data chunk"):
        # The lengths did not match, so the node goes on to read our value's tail as commands.
        raise ProtocolViolation("the node lost its place in our data")
    return Refusal(printable_bytes(line, 120))


Header = tuple[int, float, int]
_headers: dict[bytes, Header] = {}
_HEADERS_MAX = 16_384


def _header(line: bytes) -> Header:
    """Size, TTL in seconds and flags from ``VA 93 t57 f16``."""
    parts = line.split(b" ")
    try:
        if len(parts) != 4 or parts[2][:1] != b"t" or parts[3][:1] != b"f":
            raise _unfit(line)
        size, ttl, flags = int(parts[1]), int(parts[2][1:]), int(parts[3][1:])
    except ValueError as error:
        raise _unfit(line) from error
    if not 0 <= size <= MAX_VALUE_BYTES:
        raise _unfit(line)
    header = (size, FOREVER_S if ttl == -1 else float(max(ttl, 0)), flags)
    # The same few thousand lines come again and again (sizes times seconds left), and looking one up
    # costs a fifth of reading it.
    if len(_headers) >= _HEADERS_MAX:
        _headers.clear()
    _headers[line] = header
    return header


class _Batch:
    """What all batches share: a count of answers, then ``MN``."""

    __slots__ = ("complete", "lacking", "out", "want")

    def __init__(self, want: int) -> None:
        self.want = want
        self.out: list[Any] = []
        self.complete = False
        self.lacking = 1

    def _close(self, data: bytes, start: int) -> int:
        """Take the barrier when it is there."""
        self.lacking = 4 - (len(data) - start)
        if self.lacking > 0:
            return start
        if not data.startswith(b"MN\r\n", start):
            raise _unfit(data[start : start + 80])
        self.complete = True
        return start + 4


class Gets(_Batch):
    """Answers to `get_request` (with ``floor``: to `get_cas_request`), as `Got` in the order asked.

    With a ``floor``, an item whose CAS unique is not above it counts as not there and is noted in ``stale``
    as ``(position in the batch, its CAS unique)``.
    """

    __slots__ = ("_asked_at", "_clock", "_floor", "_node", "stale")

    def __init__(
        self, want: int, node: str, clock: Callable[[], float] = perf_counter, *, floor: int | None = None
    ) -> None:
        super().__init__(want)
        self._node = node
        self._clock = clock
        self._asked_at = clock()
        self._floor = floor
        self.stale: list[tuple[int, int]] = []

    def take(self, data: bytes, start: int) -> int:
        latency_ms = (self._clock() - self._asked_at) * 1000.0
        if self._floor is None:
            return self._take_plain(data, start, latency_ms)
        return self._take_checked(data, start, latency_ms, self._floor)

    def _take_plain(self, data: bytes, start: int, latency_ms: float) -> int:
        # The hot loop of the whole client: one find, one slice, one look-up and one slice a hit.
        out = self.out
        append = out.append
        find = data.find
        known = _headers.get
        node = self._node
        miss = Got(False, b"", 0, FOREVER_S, node, None, latency_ms)
        left = self.want - len(out)
        available = len(data)
        while left:
            end = find(b"\r\n", start)
            if end < 0:
                _line_end(data, start)
                self.lacking = 1
                return start
            line = data[start:end]
            header = known(line)
            if header is None:
                _line_end(data, start)
                if line == b"EN":
                    append(miss)
                    start = end + 2
                    left -= 1
                    continue
                if not line.startswith(b"VA "):
                    append(_refused(line, node, latency_ms))
                    start = end + 2
                    left -= 1
                    continue
                header = _header(line)
            size, ttl_s, flags = header
            begin = end + 2
            stop = begin + size
            if stop + 2 > available:
                self.lacking = stop + 2 - available
                return start
            if data[stop] != _CR:
                raise ProtocolViolation("a value is longer than the node announced")
            append(Got(True, data[begin:stop], flags, ttl_s, node, None, latency_ms))
            start = stop + 2
            left -= 1
        return self._close(data, start)

    def _take_checked(self, data: bytes, start: int, latency_ms: float, floor: int) -> int:
        out = self.out
        node = self._node
        miss = Got(False, b"", 0, FOREVER_S, node, None, latency_ms)
        while len(out) < self.want:
            end = _line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            if not line.startswith(b"VA "):
                out.append(miss if line == b"EN" else _refused(line, node, latency_ms))
                start = end + 2
                continue
            head, mark, cas = line.rpartition(b" c")
            if not mark or not cas.isdigit():
                raise _unfit(line)
            size, ttl_s, flags = _headers.get(head) or _header(head)
            begin = end + 2
            stop = begin + size
            if stop + 2 > len(data):
                self.lacking = stop + 2 - len(data)
                return start
            if data[stop] != _CR:
                raise ProtocolViolation("a value is longer than the node announced")
            if int(cas) > floor:
                out.append(Got(True, data[begin:stop], flags, ttl_s, node, None, latency_ms, int(cas)))
            else:
                self.stale.append((len(out), int(cas)))
                out.append(miss)
            start = stop + 2
        return self._close(data, start)


def _refused(line: bytes, node: str, latency_ms: float) -> Got:
    _refusal(line)
    return Got(False, b"", 0, FOREVER_S, node, MissReason.NODE_DOWN, latency_ms)


class Lines(_Batch):
    """One-line answers (``ms``, ``md``, ``mg`` without ``v``, ``me``), each read by ``meaning``.

    ``meaning`` gets the whole line; lines that are memcached errors become a `Refusal` before it sees them.
    """

    __slots__ = ("_meaning",)

    def __init__(self, want: int, meaning: Callable[[bytes], Any]) -> None:
        super().__init__(want)
        self._meaning = meaning

    def take(self, data: bytes, start: int) -> int:
        out = self.out
        meaning = self._meaning
        # Whole lines only: what comes after the last CRLF waits for the rest of it.
        while len(out) < self.want:
            end = _line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            out.append(_refusal(line) if line.startswith(_ERRORS) else meaning(line))
            start = end + 2
        return self._close(data, start)


class Stored(_Batch):
    """Answers to sets, deletes and touches: ``HD``, ``NS`` and so on as bytes, or a `Refusal`.

    A confirmed batch is thousands of ``HD`` in a row, so runs of them are taken at once.
    """

    __slots__ = ()

    def take(self, data: bytes, start: int) -> int:
        out = self.out
        while (left := self.want - len(out)) > 0:
            run = _run_of_hd(data, start, left)
            if run:
                out.extend([b"HD"] * run)
                start += 4 * run
                continue
            end = _line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            out.append(line if line in _STORE_ANSWERS else _refusal(line))
            start = end + 2
        return self._close(data, start)


_STORE_ANSWERS = frozenset({b"HD", b"NS", b"EX", b"NF", b"EN"})
_RUN = 256
_HD_RUN = b"HD\r\n" * _RUN


def _run_of_hd(data: bytes, start: int, left: int) -> int:
    """How many whole ``HD`` answers in a row (at most ``left``) begin at ``start``."""
    run = 0
    while left - run >= _RUN and data.startswith(_HD_RUN, start + 4 * run):
        run += _RUN
    while run < left and data.startswith(b"HD\r\n", start + 4 * run):
        run += 1
    return run


class Stats:
    """The answer to ``stats …``: ``STAT name value`` lines up to ``END``; unknown lines are passed over.

    A classic command, so it has no ``mn``; ``RESET``, ``OK`` and errors end it as well.
    """

    __slots__ = ("complete", "lacking", "out")

    def __init__(self) -> None:
        self.out: dict[str, str] | Refusal = {}
        self.complete = False
        self.lacking = 1

    def take(self, data: bytes, start: int) -> int:
        found: dict[str, str] = self.out if isinstance(self.out, dict) else {}
        while True:
            end = _line_end(data, start)
            if end < 0:
                return start
            line = data[start:end]
            start = end + 2
            if line.startswith(b"STAT "):
                _, name, *value = line.split(b" ", 2)
                found[printable_bytes(name)] = printable_bytes(value[0], 400) if value else ""
            elif line in (b"END", b"RESET", b"OK"):
                self.complete = True
                return start
            elif line.startswith(_ERRORS):
                self.out = _refusal(line)
                self.complete = True
                return start


class OneLine:
    """A single line as it came: ``version``, the login's ``STORED``; errors become a `Refusal`."""

    __slots__ = ("complete", "lacking", "out")

    def __init__(self) -> None:
        self.out: bytes | Refusal = b""
        self.complete = False
        self.lacking = 1

    def take(self, data: bytes, start: int) -> int:
        end = _line_end(data, start)
        if end < 0:
            return start
        line = data[start:end]
        self.out = _refusal(line) if line.startswith(_ERRORS) else line
        self.complete = True
        return end + 2


class ItemFacts(NamedTuple):
    """What ``me`` says of an item. Times in seconds."""

    ttl_s: float
    age_s: float
    size: int
    fetched: bool
    cas: int


def facts_reader(negated_exp: bool) -> Callable[[bytes], ItemFacts | None]:
    """A reader of ``me`` lines; ``negated_exp`` is for servers before 1.6.24.

    They print ``exp=-99`` for 99 s left, so there ``exp=-1`` is both "1 s left" and "never expires"; it is
    taken for the former, since nothing this program writes lives for ever.
    """

    def read(line: bytes) -> ItemFacts | None:
        if line == b"EN":
            return None
        parts = line.split(b" ")
        if parts[0] != b"ME" or len(parts) < 2:
            raise _unfit(line)
        fields = dict(part.partition(b"=")[::2] for part in parts[2:])
        try:
            exp = int(fields.get(b"exp", b"-1"))
            if negated_exp:
                ttl_s = float(-exp) if exp <= 0 else float(exp)
            else:
                ttl_s = FOREVER_S if exp < 0 else float(exp)
            return ItemFacts(
                ttl_s,
                float(fields.get(b"la", b"0")),
                int(fields.get(b"size", b"0")),
                fields.get(b"fetch") == b"yes",
                int(fields.get(b"cas", b"0")),
            )
        except ValueError as error:
            raise _unfit(line) from error

    return read


FACTS: Final = facts_reader(False)


class AnswerStream:
    """Bytes in, completed batches out, first asked first answered.

    Bounded: holds at most one incomplete answer beyond what arrived last.
    """

    def __init__(self) -> None:
        self.waiting: deque[Answers] = deque()
        self._pieces: list[bytes] = []
        self._held = 0
        self._needed = 1

    def expect(self, answers: Answers) -> None:
        self.waiting.append(answers)

    def feed(self, data: bytes) -> Sequence[Answers]:
        """Batches that are complete now. Raises `ProtocolViolation`: then the stream is lost."""
        if self._held:
            # Collected, not concatenated, until the value is whole: a 1 MB value in many pieces stays linear.
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return ()
            data = b"".join(self._pieces)
            self._pieces = []
            self._held = 0
        start = 0
        done: list[Answers] = []
        waiting = self.waiting
        while start < len(data):
            if not waiting:
                raise _unfit(data[start : start + 80])
            answers = waiting[0]
            start = answers.take(data, start)
            if not answers.complete:
                rest = data[start:] if start else data
                if rest:
                    self._pieces = [rest]
                    self._held = len(rest)
                    # Of a value the missing bytes are known; of a line, at least one more.
                    self._needed = len(rest) + max(answers.lacking, 1)
                break
            done.append(waiting.popleft())
        return done
