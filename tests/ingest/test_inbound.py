"""PUBLISH packets out of a byte stream, however it was cut on its way."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.model.messages import KEPT_BYTES, Message
from iotcache.mqtt.reader import MalformedPacket, PacketReader

PINGRESP = b"\xd0\x00"
CONNACK = b"\x20\x02\x00\x00"


def length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, byte = divmod(size, 128)
        out.append(byte | (0x80 if size else 0))
        if not size:
            return bytes(out)


def publish(
    topic: str, payload: bytes, qos: int = 0, mid: int = 0, *, retain: bool = False, version5: bool = False,
    properties: bytes = b"",
) -> bytes:  # fmt: skip
    raw = topic.encode()
    body = len(raw).to_bytes(2, "big") + raw
    if qos:
        body += mid.to_bytes(2, "big")
    if version5:
        body += length(len(properties)) + properties
    body += payload
    return bytes([0x30 | qos << 1 | retain]) + length(len(body)) + body


class Ear:
    def __init__(self, *, version5: bool = False, payload_limit_bytes: int = 1024 * 1024) -> None:
        self.heard: list[Message] = []
        self.inbound = PacketReader(
            version5=version5, epoch=4, deliver=self.heard.append, payload_limit_bytes=payload_limit_bytes
        )

    def feed(self, data: bytes, piece: int = 1 << 30) -> bytes:
        return b"".join(
            self.inbound.feed(data[at : at + piece], 9) for at in range(0, len(data), piece)
        )  # fmt: skip


def test_one_piece_of_bytes_many_messages() -> None:
    ear = Ear()
    rest = ear.feed(
        CONNACK + publish("a/b", b"one", 1, 7) + PINGRESP + publish("c", b"", retain=True) + PINGRESP
    )
    assert rest == CONNACK + PINGRESP + PINGRESP
    assert ear.heard == [
        Message("a/b", b"one", 1, False, 7, 4, 9, 3),
        Message("c", b"", 0, True, 0, 4, 10, 0),
    ]


def test_properties_of_mqtt_5_are_passed_over() -> None:
    ear = Ear(version5=True)
    ear.feed(publish("t", b"x", 1, 300, version5=True, properties=b"\x01\x01" * 90))
    assert [(one.topic, one.payload, one.mid) for one in ear.heard] == [("t", b"x", 300)]


def test_qos_2_is_left_to_paho() -> None:
    ear = Ear()
    packet = publish("t", b"x", 2, 5)
    assert ear.feed(packet) == packet
    assert ear.heard == []


def test_a_topic_that_is_no_utf_8_is_kept_readable() -> None:
    ear = Ear()
    ear.feed(b"\x30\x05\x00\x02\xff\xfe1")
    assert ear.heard[0].topic == "\\xff\\xfe"


def test_an_oversize_payload_is_passed_over_and_its_message_still_told() -> None:
    ear = Ear(payload_limit_bytes=1000)
    size = 700_000
    stream = publish("t", b"x" * size, 1, 5) + publish("u", b"after", 1, 6)
    assert ear.feed(stream, 65_536) == b""
    assert [(one.topic, len(one.payload), one.size, one.mid) for one in ear.heard] == [
        ("t", KEPT_BYTES, size, 5),
        ("u", 5, 5, 6),
    ]


def test_an_oversize_message_is_told_only_when_all_of_it_came() -> None:
    ear = Ear(payload_limit_bytes=1000)
    stream = publish("t", b"x" * 700_000, 1, 5)
    ear.feed(stream[:-1], 65_536)
    assert ear.heard == []
    ear.feed(stream[-1:])
    assert [one.mid for one in ear.heard] == [5]


@pytest.mark.parametrize(
    "stream",
    [
        b"\x30\x01\x00",
        b"\x30\x03\x00\x05a",
        b"\x32\x04\x00\x02ab",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x40\xff\xff\xff\x7f" + b"x" * 300_000,
    ],
)
def test_what_is_no_mqtt_ends_the_connection(stream: bytes) -> None:
    with pytest.raises(MalformedPacket):
        Ear().feed(stream, 65_536)


def test_properties_that_do_not_fit_end_the_connection() -> None:
    with pytest.raises(MalformedPacket):
        Ear(version5=True).feed(b"\x30\x04\x00\x01a\x05")
    with pytest.raises(MalformedPacket):
        Ear(version5=True).feed(b"\x30\x03\x00\x01a")


_PACKETS = st.lists(
    st.sampled_from([PINGRESP, CONNACK])
    | st.builds(
        publish,
        st.text("abc/", min_size=1, max_size=8),
        st.binary(max_size=300),
        st.sampled_from([0, 1]),
        st.integers(1, 65_535),
        retain=st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(_PACKETS, st.integers(1, 50))
def test_the_cuts_between_receives_do_not_matter(packets: list[bytes], piece: int) -> None:
    whole, cut = Ear(), Ear()
    stream = b"".join(packets)
    assert whole.feed(stream) == cut.feed(stream, piece)
    assert whole.heard == cut.heard
    assert len(whole.heard) == sum(packet[0] & 0xF0 == 0x30 for packet in packets)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_taken_or_refused(stream: bytes, version5: bool) -> None:
    ear = Ear(version5=version5)
    with contextlib.suppress(MalformedPacket):
        ear.feed(stream)
