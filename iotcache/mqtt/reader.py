"""Bytes from a broker, cut into PUBLISH messages and the packets that are left to paho.

Sans-io. paho takes one packet per wake-up of the loop, byte by byte, with three system calls; a worker that
lives on PUBLISH packets reads them itself, as many as one ``recv`` brought. Sources: MQTT 3.1.1 (OASIS
2014) sections 2.2 and 3.3, MQTT 5.0 (OASIS 2019) section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iotcache.model.messages import KEPT_BYTES, PAYLOAD_LIMIT_BYTES, Message

_HEAD_ROOM_BYTES: Final = 2 * 65_536
"""Room for a topic, a packet identifier and properties before the payload."""
_PUBLISH: Final = 0x30
_TOPICS_KEPT: Final = 200_000


class MalformedPacket(Exception):
    """What came is no MQTT: the connection has to end (section 4.8 and 4.13 of the standards)."""


class PacketReader:
    """The receiving side of one connection."""

    def __init__(
        self, *, version5: bool, epoch: int, deliver: Callable[[Message], None],
        payload_limit_bytes: int = PAYLOAD_LIMIT_BYTES,
    ) -> None:  # fmt: skip
        self._version5 = version5
        self._epoch = epoch
        self._deliver = deliver
        self._payload_limit_bytes = payload_limit_bytes
        self._packet_limit_bytes = payload_limit_bytes + _HEAD_ROOM_BYTES
        self._rest = b""
        self._skipping = 0
        self._oversize: Message | None = None
        self._topics: dict[bytes, str] = {}
        self._last_us = 0

    def feed(self, data: bytes, received_us: int) -> bytes:
        """Deliver every message that ``data`` completes; returns the whole packets of other kinds.

        Raises `MalformedPacket`.
        """
        if self._skipping:
            skipped = min(self._skipping, len(data))
            self._skipping -= skipped
            data = data[skipped:]
            if not self._skipping and self._oversize is not None:
                self._deliver(self._oversize)
                self._oversize = None
        buffer = self._rest + data if self._rest else data
        others: list[bytes] = []
        at, end = 0, len(buffer)
        while end - at >= 2:
            length = buffer[at + 1]
            body = at + 2
            if length > 127:
                try:
                    if (more := buffer[body]) < 128:  # a reading's packet nearly always has two bytes of it
                        length, body = length & 127 | more << 7, body + 1
                    else:
                        length, body = _variable(buffer, at + 1)
                except IndexError:
                    break
            stop = body + length
            head = buffer[at]
            publish = head & 0xF6 in (_PUBLISH, _PUBLISH | 2)
            if stop > end:
                if length > self._packet_limit_bytes:
                    if not publish:
                        raise MalformedPacket(f"a packet of type {head >> 4} and {length} bytes")
                    if end - body >= KEPT_BYTES + _HEAD_ROOM_BYTES:
                        self._oversize = self._message(
                            buffer, body, end, head=head, received_us=received_us, stop=stop
                        )
                        self._skipping = stop - end
                        at = end
                break
            if publish:
                self._deliver(
                    self._message(buffer, body, stop, head=head, received_us=received_us, stop=stop)
                )
            else:
                others.append(buffer[at:stop])
            at = stop
        self._rest = buffer[at:]
        return b"".join(others)

    def _message(
        self, buffer: bytes, body: int, end: int, *, head: int, received_us: int, stop: int
    ) -> Message:
        """The PUBLISH whose variable header begins at ``body``; it is there up to ``end`` of ``stop``."""
        topic_end = body + 2 + (buffer[body] << 8 | buffer[body + 1]) if end - body >= 2 else end + 1
        mid, at = 0, topic_end
        qos = head >> 1 & 1
        if qos:
            at += 2
        if at > end:
            raise MalformedPacket("a PUBLISH that ends before its payload")
        if qos:
            mid = buffer[topic_end] << 8 | buffer[topic_end + 1]
        if self._version5:
            try:
                properties, at = _variable(buffer, at)
            except IndexError:
                raise MalformedPacket("a PUBLISH that ends in its properties") from None
            at += properties
            if at > end:
                raise MalformedPacket("a PUBLISH that ends in its properties")
        raw = buffer[body + 2 : topic_end]
        topic = self._topics.get(raw)
        if topic is None:
            if len(self._topics) >= _TOPICS_KEPT:
                self._topics.clear()
            topic = self._topics[raw] = raw.decode("utf-8", "backslashreplace")
        if received_us <= self._last_us:
            received_us = self._last_us + 1
        self._last_us = received_us
        size = stop - at
        kept = end if size <= self._payload_limit_bytes else at + KEPT_BYTES
        return Message(
            topic, buffer[at:kept], qos, bool(head & 1), mid, self._epoch, received_us, size
        )  # fmt: skip


def _variable(buffer: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends. Raises `IndexError` when it is not all there."""
    value = shift = 0
    for place in range(at, at + 4):
        byte = buffer[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise MalformedPacket("a length of more than four bytes")
