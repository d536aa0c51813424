"""Bytes from a broker, cut into PUBLISH messages and the packets that are left to the client library.

Sans-io. The library takes one packet per wake-up of the loop, byte by byte, with three system calls; a worker
that lives on PUBLISH packets reads them itself, as many as one receive brought. Sources: MQTT 3.1.1 (OASIS
2014) sections 2.2 and 3.3, MQTT 5.0 (OASIS 2019) section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from iotcache.model.messages import KEPT_BYTES, PAYLOAD_LIMIT_BYTES, Message
from iotcache.mqtt.codec.primitives import MalformedPacket, decode_varint
from iotcache.text import printable_bytes

MAXIMUM_PACKET_BYTES: Final = 16 * 1024 * 1024
"""What we state in CONNECT of MQTT 5: a broker does not send more. Far above the largest payload, as what is
over that limit becomes a dead letter here, while what is over this one vanishes at the broker, unseen."""
_HEAD_ROOM_BYTES: Final = 2 * 65_536
"""Room for a topic, a packet identifier and properties before the payload."""
_PUBLISH: Final = 0x30
_QOS: Final = 0x06
_TOPIC_CACHE_ENTRIES: Final = 200_000
_TOPIC_SHOWN_BYTES: Final = 200


class MalformedPublish(MalformedPacket):
    """A PUBLISH that cannot be read, in a packet whose end is known."""


class PacketReader:
    """The receiving side of one connection."""

    def __init__(
        self, *, version5: bool, epoch: int, deliver: Callable[[Message], None],
        payload_limit_bytes: int = PAYLOAD_LIMIT_BYTES, tolerated: Container[str] = (),
    ) -> None:  # fmt: skip
        """``tolerated``: texts of `MalformedPublish` that end no connection: the message is delivered
        with its ``fault``."""
        self._version5 = version5
        self._epoch = epoch
        self._deliver = deliver
        self._payload_limit_bytes = payload_limit_bytes
        self._packet_limit_bytes = payload_limit_bytes + _HEAD_ROOM_BYTES
        self._tolerated = tolerated
        self._rest = b""
        self._skipping = 0
        self._oversize: Message | None = None
        self._topics: dict[bytes, str] = {}
        self._last_us = 0

    def feed(self, data: bytes, received_us: int) -> list[bytes]:
        """Deliver every message that ``data`` completes; returns the packets of other kinds, each whole.

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
                        length, body = decode_varint(buffer, at + 1)
                except IndexError:
                    break
            stop = body + length
            head = buffer[at]
            publish = head & 0xF0 == _PUBLISH
            if stop > end:
                if length > self._packet_limit_bytes:
                    if not publish:
                        raise MalformedPacket(f"a packet of type {head >> 4} and {length} bytes")
                    if end - body >= KEPT_BYTES + _HEAD_ROOM_BYTES:
                        self._oversize = self._oversize_message(
                            buffer, body, end, head=head, received_us=received_us, stop=stop
                        )
                        self._skipping = stop - end
                        at = end
                break
            if publish:
                self._deliver(self._message(buffer, body, stop, head, received_us))
            else:
                others.append(buffer[at:stop])
            at = stop
        self._rest = buffer[at:]
        return others

    def _message(self, buffer: bytes, body: int, stop: int, head: int, received_us: int) -> Message:
        """The PUBLISH whose variable header begins at ``body``; it ends at ``stop``."""
        topic_end = body + 2 + (buffer[body] << 8 | buffer[body + 1]) if stop - body >= 2 else stop + 1
        mid, at = 0, topic_end
        qos = (head & _QOS) >> 1
        if qos:
            at += 2
        if at > stop or qos == 3:
            why = "has QoS 3" if qos == 3 else "ends before its payload"
            return self._fault(why, buffer, body, stop, head=head, received_us=received_us)
        if qos:
            mid = buffer[topic_end] << 8 | buffer[topic_end + 1]
        if self._version5:
            try:
                properties, at = decode_varint(buffer, at)
            except (IndexError, MalformedPacket):
                properties = stop
            at += properties
            if at > stop:
                why = "ends in its properties"
                return self._fault(why, buffer, body, stop, head=head, received_us=received_us)
        raw = buffer[body + 2 : topic_end]
        topic = self._topics.get(raw) or self._new_topic(raw)
        if received_us <= self._last_us:
            received_us = self._last_us + 1
        self._last_us = received_us
        size = stop - at
        kept = stop if size <= self._payload_limit_bytes else at + KEPT_BYTES
        return Message(topic, buffer[at:kept], qos, bool(head & 1), mid, self._epoch, received_us, size)

    def _oversize_message(
        self, buffer: bytes, body: int, end: int, *, head: int, received_us: int, stop: int
    ) -> Message:
        """The PUBLISH of which only the bytes up to ``end`` are kept: all of its head, if properties fit."""
        topic_end = body + 2 + (buffer[body] << 8 | buffer[body + 1])
        mid, at = 0, topic_end
        qos = (head & _QOS) >> 1
        if qos == 3:
            raise MalformedPublish("a PUBLISH that has QoS 3")
        if qos:
            mid, at = buffer[at] << 8 | buffer[at + 1], at + 2
        fault, size = "", stop - at
        if self._version5:
            properties, at = decode_varint(buffer, at)
            at += properties
            if at > stop:
                raise MalformedPublish("a PUBLISH that ends in its properties")
            if stop - at > self._payload_limit_bytes:
                size = stop - at
            else:
                fault = (
                    f"the broker sent a PUBLISH with {properties:,} bytes of properties, "
                    f"which with its payload of {stop - at:,} are too many (the payload is not kept here)"
                )
        payload = b"" if fault else buffer[at : min(at + KEPT_BYTES, end)]
        return Message(
            self._new_topic(buffer[body + 2 : topic_end]), payload, qos, bool(head & 1), mid, self._epoch,
            self._next_time(received_us), size, fault,
        )  # fmt: skip

    def _fault(
        self, why: str, buffer: bytes, body: int, stop: int, *, head: int, received_us: int
    ) -> Message:
        """A message that cannot be read, with its topic and packet identifier if they are there.

        Raises `MalformedPublish` unless this fault is tolerated.
        """
        topic_end = body + 2 + (buffer[body] << 8 | buffer[body + 1]) if stop - body >= 2 else stop + 1
        raw = buffer[body + 2 : topic_end] if topic_end <= stop else b""
        on = f" on {printable_bytes(raw[:_TOPIC_SHOWN_BYTES])}" if raw else ""
        fault = f"a PUBLISH{on} that {why}"
        if fault not in self._tolerated:
            raise MalformedPublish(fault)
        qos = (head & _QOS) >> 1
        known = 0 < qos < 3 and topic_end + 2 <= stop
        mid = buffer[topic_end] << 8 | buffer[topic_end + 1] if known else 0
        return Message(
            self._new_topic(raw), buffer[body : min(stop, body + KEPT_BYTES)], qos if known else 0,
            bool(head & 1), mid, self._epoch, self._next_time(received_us), -1, f"the broker sent {fault}",
        )  # fmt: skip

    def _new_topic(self, raw: bytes) -> str:
        if len(self._topics) >= _TOPIC_CACHE_ENTRIES:
            self._topics.clear()
        topic = self._topics[raw] = raw.decode("utf-8", "backslashreplace")
        return topic

    def _next_time(self, received_us: int) -> int:
        """A time of receipt that no other message of the connection has."""
        self._last_us = max(received_us, self._last_us + 1)
        return self._last_us
