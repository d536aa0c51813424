"""One client's conversation with the node, without its socket: bytes in, bytes out.

A :class:`BundledNode` is what all conversations share. A :class:`Session` takes whatever bytes arrive with
:meth:`~Session.receive` and gives answers with :meth:`~Session.answer`, a bounded piece at a time, so that
its owner can stop when the client does not read. However the bytes are cut, the answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol import classic, meta
from iotcache_simulator.cachenode.protocol.replies import ERROR, Refusal, Reply, Upload
from iotcache_simulator.cachenode.protocol.stats import stats
from iotcache_simulator.cachenode.tokens import words

LINE_MAX_BYTES = 2048  # memcached's bound; it closes the connection, as a line that long is not its protocol
GET_LINE_MAX_BYTES = (
    1 << 20
)  # `get` may name many keys; memcached has no bound here, a node in a demo needs one
_LINE_END = b"\r\n"
_GETS = (b"get ", b"gets ")

_COMMANDS: dict[bytes, Callable[[BundledNode, list[bytes]], Reply]] = {
    **classic.COMMANDS,
    **meta.COMMANDS,
    b"stats": stats,
}


class Session:
    """The protocol state of one connection."""

    def __init__(self, node: BundledNode) -> None:
        self.closed = False
        """Set when the connection is to be closed, once what was answered has been sent."""
        self._node = node
        self._inbox = bytearray()
        self._start = 0  # where the first unread byte of the inbox is
        self._searched = 0  # up to where it has been searched for a line end
        self._upload: Upload | None = None
        self._skip_bytes = 0
        self._stream: Iterator[bytes] | None = None

    @property
    def buffered_bytes(self) -> int:
        """Input not yet worked on."""
        return len(self._inbox) - self._start

    def feed(self, data: bytes) -> bytes:
        """Everything that ``data`` makes the node answer."""
        self.receive(data)
        pieces = []
        while piece := self.answer():
            pieces.append(piece)
        return b"".join(pieces)

    def receive(self, data: bytes) -> None:
        """Take input; :meth:`answer` works on it."""
        if not self.closed:
            self._inbox += data

    def answer(self, limit_bytes: int = 1 << 16, limit_commands: int = 1 << 30) -> bytes:
        """Work on the input until there is no whole command left or a limit is reached.

        The last answer may exceed ``limit_bytes`` by one value. Check :attr:`ready` to see whether more could
        be answered now.
        """
        out: list[bytes] = []
        size = commands = 0
        self._node.tick()
        while size < limit_bytes and commands < limit_commands:
            reply = self._next()
            if reply is None:
                break
            commands += 1
            if reply:
                out.append(reply)
                size += len(reply)
        self._forget_read()
        return b"".join(out)

    @property
    def ready(self) -> bool:
        """Whether :meth:`answer` has something to work on without more input."""
        if self._stream is not None:
            return True
        if self.closed:
            return False
        if self._upload is not None:
            return self.buffered_bytes >= self._upload.value_bytes + len(_LINE_END)
        return not self._skip_bytes and self._inbox.find(b"\n", max(self._start, self._searched)) >= 0

    def _next(self) -> bytes | None:
        """The next piece of answer, maybe empty; ``None`` when input is needed for it."""
        if self._stream is not None:
            piece = next(self._stream, None)
            if piece is not None:
                return piece
            self._stream = None
        if self.closed or (self._skip_bytes and not self._skip()):
            return None
        reply = self._command() if self._upload is None else self._block(self._upload)
        if reply is None or type(reply) is bytes:
            return reply
        return self._begin(reply)

    def _begin(self, reply: Reply) -> bytes:
        if isinstance(reply, Upload):
            self._upload = reply
        elif isinstance(reply, Refusal):
            self._skip_bytes = reply.value_bytes + len(_LINE_END)
            return reply.answer
        else:
            assert not isinstance(reply, bytes)
            self._stream = reply
        return b""

    def _command(self) -> Reply | None:
        inbox, start = self._inbox, self._start
        end = inbox.find(b"\n", max(start, self._searched))
        if end < 0:
            self._searched = len(inbox)
            if self._too_long(len(inbox) - start):
                self._close()
            return None
        if end - start > LINE_MAX_BYTES and self._too_long(end - start):
            self._close()
            return None
        self._start = self._searched = end + 1
        if end - start > 1 and inbox[end - 1] == 0x0D:
            end -= 1
        return self._execute(words(bytes(inbox[start:end])))

    def _execute(self, tokens: list[bytes]) -> Reply:
        if not tokens:
            return ERROR
        command = _COMMANDS.get(tokens[0])
        if command is not None:
            return command(self._node, tokens)
        if tokens[0] == b"quit":
            self._close()
            return b""
        if tokens[-1].startswith(b"HTTP/"):
            # A browser or a proxy was tricked into speaking to us: its headers must not be run as commands.
            self._close()
            return b""
        return ERROR

    def _block(self, upload: Upload) -> bytes | None:
        inbox, start = self._inbox, self._start
        end = start + upload.value_bytes
        if len(inbox) < end + len(_LINE_END):
            return None
        self._upload = None
        self._start = self._searched = end + len(_LINE_END)
        if inbox[end] != 0x0D or inbox[end + 1] != 0x0A:
            return upload.bad_chunk
        return upload.store(bytes(memoryview(inbox)[start:end]))

    def _skip(self) -> bool:
        """Pass over a refused data block as it arrives; true once it is behind us."""
        step = min(self._skip_bytes, self.buffered_bytes)
        self._skip_bytes -= step
        self._start += step
        self._searched = self._start
        return self._skip_bytes == 0

    def _too_long(self, length: int) -> bool:
        if length <= LINE_MAX_BYTES:
            return False
        head = bytes(self._inbox[self._start : self._start + 128]).lstrip(b" ")
        return length > GET_LINE_MAX_BYTES or not head.startswith(_GETS)

    def _close(self) -> None:
        self.closed = True
        self._start = len(self._inbox)

    def _forget_read(self) -> None:
        if self._start:
            del self._inbox[: self._start]
            self._searched = max(0, self._searched - self._start)
            self._start = 0
