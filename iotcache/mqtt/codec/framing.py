"""A stream of bytes, cut into packets (2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iotcache.mqtt.codec.primitives import VARINT_MAX, MalformedPacket, decode_varint

LARGEST_ANSWER_BYTES: Final = 1 << 20
"""More than any packet that a broker has to send to a client without subscriptions."""


class PacketSplitter:
    """Keeps what is not yet a whole packet."""

    def __init__(self, limit_bytes: int = VARINT_MAX, *, passes_over: bool = False) -> None:
        """A packet with a longer body raises `MalformedPacket` before it is all there, or is passed over."""
        self._limit_bytes = limit_bytes
        self._passes_over = passes_over
        self._left_bytes = 0
        """Of a packet that is passed over."""
        self.passed_over = 0
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """Whether the next byte begins a packet."""
        return not self._buffer and not self._left_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every packet that ``data`` completes, whole. Raises `MalformedPacket`.

        The iterator has to be used up, or what it did not give comes with the next bytes.
        """
        if self._left_bytes:
            passed = min(self._left_bytes, len(data))
            self._left_bytes -= passed
            data = data[passed:]
        buffer = self._buffer
        buffer += data
        at, size = 0, len(buffer)
        try:
            while size - at >= 2:
                try:
                    length, body = decode_varint(buffer, at + 1)
                except IndexError:
                    return
                if length > self._limit_bytes:
                    if not self._passes_over:
                        raise MalformedPacket(f"a packet of {length} bytes")
                    self.passed_over += 1
                    at = body + length
                    if at >= size:
                        self._left_bytes, at = at - size, size
                    continue
                if size - body < length:
                    return
                start, at = at, body + length
                yield bytes(buffer[start:at])
        finally:
            del buffer[:at]
