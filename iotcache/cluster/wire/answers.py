r"""What comes in: answers taken out of a byte stream by order and by length; no socket, no clock.

Values are taken by their announced length, so ``\r\nMN\r\n``, ``END`` or ``VA 3`` inside one is only data.
Source: memcached's doc/protocol.txt ("Meta Commands") and what 1.6.18 was seen to answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from iotcache.errors import NodeError
from iotcache.text import printable_bytes

CRLF: Final = b"\r\n"
MAX_LINE_BYTES: Final = 8_192
"""No answer line of the commands used here comes near it."""
ERRORS: Final = (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR")


class ProtocolViolation(NodeError):
    """Bytes that cannot be an answer to what was asked: the connection is of no more use."""


class ErrorReply(NamedTuple):
    """A node's error line for one command."""

    text: str
    """Safe to show."""


class Answers(Protocol):
    """Takes the answers to one batch out of a byte stream."""

    def feed(self, data: bytes, start: int) -> int:
        """Consume whole answers from ``start`` on; return where it stopped."""
        ...

    @property
    def complete(self) -> bool:
        """Everything has come that will."""
        ...

    @property
    def lacking(self) -> int:
        """At least this many bytes after the place where `feed` stopped are needed to go on."""
        ...


def line_end(data: bytes, start: int) -> int:
    """Index of the CRLF that ends the line at ``start``; -1 when it has not come yet."""
    end = data.find(CRLF, start)
    if end - start > MAX_LINE_BYTES or (end < 0 and len(data) - start > MAX_LINE_BYTES):
        raise ProtocolViolation(f"an answer line is longer than {MAX_LINE_BYTES} bytes")
    return end


def unexpected(line: bytes) -> ProtocolViolation:
    """The error for a line that cannot be an answer."""
    return ProtocolViolation(f"answered {printable_bytes(line, 80)!r}, which fits no question asked")


def refusal(line: bytes) -> ErrorReply:
    """The error line as a `ErrorReply`. Raises `ProtocolViolation` when it is none or leaves debris
    behind."""
    if not line.startswith(ERRORS):
        raise unexpected(line)
    if line.startswith(b"CLIENT_ERROR bad data chunk"):
        # The lengths did not match, so the node goes on to read our value's tail as commands.
        raise ProtocolViolation("the node lost its place in our data")
    return ErrorReply(printable_bytes(line, 120))


class ReplyBatch:
    """What all batches share: a count of answers, then ``MN``."""

    __slots__ = ("complete", "lacking", "out", "want")

    def __init__(self, want: int) -> None:
        self.want = want
        self.out: list[Any] = []
        self.complete = False
        self.lacking = 1

    def feed(self, data: bytes, start: int) -> int:
        """See `Answers`."""
        raise NotImplementedError

    def close(self, data: bytes, start: int) -> int:
        """Take the barrier when it is there."""
        self.lacking = 4 - (len(data) - start)
        if self.lacking > 0:
            return start
        if not data.startswith(b"MN\r\n", start):
            raise unexpected(data[start : start + 80])
        self.complete = True
        return start + 4


class LineReplies(ReplyBatch):
    """One-line answers (``ms``, ``md``, ``mg`` without ``v``, ``me``), each read by ``meaning``.

    ``meaning`` gets the whole line; lines that are memcached errors become a `ErrorReply` before it sees
    them.
    """

    __slots__ = ("_meaning",)

    def __init__(self, want: int, meaning: Callable[[bytes], Any]) -> None:
        super().__init__(want)
        self._meaning = meaning

    def feed(self, data: bytes, start: int) -> int:
        out = self.out
        meaning = self._meaning
        # Whole lines only: what comes after the last CRLF waits for the rest of it.
        while len(out) < self.want:
            end = line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            out.append(refusal(line) if line.startswith(ERRORS) else meaning(line))
            start = end + 2
        return self.close(data, start)


class ItemReply(NamedTuple):
    """A command's answer line, and the value that came with it."""

    line: bytes
    value: bytes = b""


class ItemReplies(ReplyBatch):
    """Answers to any meta commands, each as an `ItemReply` or an `ErrorReply`; not made for speed."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        while len(self.out) < self.want:
            end = line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            if not line.startswith(b"VA "):
                if not line.startswith((*ERRORS, *_META_ANSWERS)):
                    raise unexpected(line)
                self.out.append(refusal(line) if line.startswith(ERRORS) else ItemReply(line))
                start = end + 2
                continue
            size = line.split(b" ", 2)[1]
            stop = end + 2 + int(size) if size.isdigit() and len(size) < 9 else -1
            if stop < 0:
                raise unexpected(line)
            if stop + 2 > len(data):
                self.lacking = stop + 2 - len(data)
                return start
            if data[stop : stop + 2] != CRLF:
                raise ProtocolViolation("a value is longer than the node announced")
            self.out.append(ItemReply(line, data[end + 2 : stop]))
            start = stop + 2
        return self.close(data, start)


_META_ANSWERS: Final = (b"HD", b"EN", b"ME ", b"NS", b"NF", b"EX")


class StoreReplies(ReplyBatch):
    """Answers to sets, deletes and touches: ``HD``, ``NS`` and so on as bytes, or a `ErrorReply`.

    A confirmed batch is thousands of ``HD`` in a row, so runs of them are taken at once.
    """

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        out = self.out
        while (left := self.want - len(out)) > 0:
            run = _run_of_hd(data, start, left)
            if run:
                out.extend([b"HD"] * run)
                start += 4 * run
                continue
            end = line_end(data, start)
            if end < 0:
                self.lacking = 1
                return start
            line = data[start:end]
            out.append(line if line in _STORE_ANSWERS else refusal(line))
            start = end + 2
        return self.close(data, start)


_STORE_ANSWERS = frozenset({b"HD", b"NS", b"EX", b"NF", b"EN"})
_RUNS: Final = tuple((size, b"HD\r\n" * size) for size in (256, 64, 16, 4, 1))


def _run_of_hd(data: bytes, start: int, left: int) -> int:
    """How many whole ``HD`` answers in a row (at most ``left``) begin at ``start``."""
    run = 0
    for size, lines in _RUNS:
        while left - run >= size and data.startswith(lines, start + 4 * run):
            run += size
    return run


class StatsReplies:
    """The answer to ``stats …``: ``STAT name value`` lines up to ``END``; unknown lines are passed over.

    A classic command, so it has no ``mn``; ``RESET``, ``OK`` and errors end it as well.
    """

    __slots__ = ("complete", "lacking", "out")

    def __init__(self) -> None:
        self.out: dict[str, str] | ErrorReply = {}
        self.complete = False
        self.lacking = 1

    def feed(self, data: bytes, start: int) -> int:
        found: dict[str, str] = self.out if isinstance(self.out, dict) else {}
        while True:
            end = line_end(data, start)
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
            elif line.startswith(ERRORS):
                self.out = refusal(line)
                self.complete = True
                return start


class LineReply:
    """A single line as it came: ``version``, the login's ``STORED``; errors become a `ErrorReply`."""

    __slots__ = ("complete", "lacking", "out")

    def __init__(self) -> None:
        self.out: bytes | ErrorReply = b""
        self.complete = False
        self.lacking = 1

    def feed(self, data: bytes, start: int) -> int:
        end = line_end(data, start)
        if end < 0:
            return start
        line = data[start:end]
        self.out = refusal(line) if line.startswith(ERRORS) else line
        self.complete = True
        return end + 2


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
                raise unexpected(data[start : start + 80])
            answers = waiting[0]
            start = answers.feed(data, start)
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
