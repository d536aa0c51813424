"""PUBLISH packets out of a byte stream, however it was cut on its way."""

from __future__ import annotations

import contextlib
from collections.abc import Container

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.model.messages import KEPT_BYTES, Message
from iotcache.mqtt.codec import MalformedPacket, encode_publish
from iotcache.mqtt.codec.primitives import encode_binary
from iotcache.mqtt.reader import MalformedPublish, PacketReader
from tests.examples import examples

PINGRESP = b"\xd0\x00"
CONNACK = b"\x20\x02\x00\x00"


def publish(
    topic: str, payload: bytes, qos: int = 0, mid: int = 0, *, retain: bool = False, version5: bool = False,
    properties: bytes = b"",
) -> bytes:  # fmt: skip
    return encode_publish(
        topic.encode(), payload, qos, mid, 5 if version5 else 4, flags=int(retain), properties=properties
    )


class Receiver:
    def __init__(
        self,
        *,
        version5: bool = False,
        payload_limit_bytes: int = 1024 * 1024,
        tolerated: Container[str] = (),
    ) -> None:
        self.messages: list[Message] = []
        self.reader = PacketReader(
            version5=version5, epoch=4, deliver=self.messages.append, tolerated=tolerated,
            payload_limit_bytes=payload_limit_bytes,
        )  # fmt: skip

    def feed(self, data: bytes, piece: int = 1 << 30) -> list[bytes]:
        """The packets that are no messages; ``data`` comes in pieces of that size."""
        return [
            packet
            for at in range(0, len(data), piece)
            for packet in self.reader.feed(data[at : at + piece], 9)
        ]


def test_one_piece_of_bytes_many_messages() -> None:
    receiver = Receiver()
    rest = receiver.feed(
        CONNACK + publish("a/b", b"one", 1, 7) + PINGRESP + publish("c", b"", retain=True) + PINGRESP
    )
    assert rest == [CONNACK, PINGRESP, PINGRESP]
    assert receiver.messages == [
        Message("a/b", b"one", 1, False, 7, 4, 9, 3),
        Message("c", b"", 0, True, 0, 4, 10, 0),
    ]


def test_properties_of_mqtt_5_are_passed_over() -> None:
    receiver = Receiver(version5=True)
    receiver.feed(publish("t", b"x", 1, 300, version5=True, properties=b"\x01\x01" * 90))
    assert [(one.topic, one.payload, one.mid) for one in receiver.messages] == [("t", b"x", 300)]


def test_a_message_of_qos_2_is_delivered_as_any_other() -> None:
    receiver = Receiver()
    assert receiver.feed(publish("t", b"x", 2, 5)) == []
    assert [(one.topic, one.payload, one.qos, one.mid) for one in receiver.messages] == [("t", b"x", 2, 5)]


def test_a_topic_that_is_no_utf_8_is_kept_readable() -> None:
    receiver = Receiver()
    receiver.feed(b"\x30\x05\x00\x02\xff\xfe1")
    assert receiver.messages[0].topic == "\\xff\\xfe"


def test_an_oversize_payload_is_passed_over_and_its_message_still_told() -> None:
    receiver = Receiver(payload_limit_bytes=1000)
    size = 700_000
    stream = publish("t", b"x" * size, 1, 5) + publish("u", b"after", 1, 6)
    assert receiver.feed(stream, 65_536) == []
    assert [(one.topic, len(one.payload), one.size, one.mid) for one in receiver.messages] == [
        ("t", KEPT_BYTES, size, 5),
        ("u", 5, 5, 6),
    ]


def test_an_oversize_message_is_told_only_when_all_of_it_came() -> None:
    receiver = Receiver(payload_limit_bytes=1000)
    stream = publish("t", b"x" * 700_000, 1, 5)
    receiver.feed(stream[:-1], 65_536)
    assert receiver.messages == []
    receiver.feed(stream[-1:])
    assert [one.mid for one in receiver.messages] == [5]


@pytest.mark.parametrize(
    "stream",
    [
        b"\x30\x01\x00",
        b"\x30\x03\x00\x05a",
        b"\x32\x04\x00\x02ab",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x36\x06\x00\x01a\x00\x01x",
        b"\x40\xff\xff\xff\x7f" + b"x" * 300_000,
    ],
)
def test_what_is_no_mqtt_ends_the_connection(stream: bytes) -> None:
    with pytest.raises(MalformedPacket):
        Receiver().feed(stream, 65_536)


def test_properties_that_do_not_fit_end_the_connection() -> None:
    with pytest.raises(MalformedPacket):
        Receiver(version5=True).feed(b"\x30\x04\x00\x01a\x05")
    with pytest.raises(MalformedPacket):
        Receiver(version5=True).feed(b"\x30\x03\x00\x01a")


def test_properties_too_large_to_be_kept_leave_topic_and_identifier() -> None:
    receiver = Receiver(version5=True)
    pair = b"\x26" + encode_binary(b"k" * 60_000) + encode_binary(b"v" * 60_000)
    stream = publish("t", b"10 bytes..", 1, 5, version5=True, properties=pair * 11)
    assert receiver.feed(stream + publish("u", b"1", 1, 6, version5=True), 65_536) == []
    big, after = receiver.messages
    assert (big.topic, big.qos, big.mid, big.payload) == ("t", 1, 5, b"")
    assert big.size > 1_300_000
    assert "1,320,055 bytes of properties" in big.fault
    assert (after.mid, after.fault) == (6, "")


def test_a_payload_cut_off_by_large_properties_is_not_taken_for_whole() -> None:
    receiver = Receiver(version5=True)
    pair = b"\x26" + encode_binary(b"k" * 60_000) + encode_binary(b"v" * 60_000)
    receiver.feed(publish("t", b"5" + b" " * 1_048_575, 1, 5, version5=True, properties=pair * 2), 65_536)
    (message,) = receiver.messages
    assert (message.payload, message.mid) == (b"", 5)
    assert message.fault


@pytest.mark.parametrize(
    ("stream", "fault", "qos", "mid"),
    [
        (b"\x32\x08\x00\x01a\x00\x07\x09xx", "a PUBLISH on a that ends in its properties", 1, 7),
        (b"\x36\x07\x00\x01a\x00\x07\x00x", "a PUBLISH on a that has QoS 3", 0, 0),
        (b"\x30\x04\x00\x09ab", "a PUBLISH that ends before its payload", 0, 0),
        (b"\x30\x00", "a PUBLISH that ends before its payload", 0, 0),
    ],
)
def test_a_malformed_message_that_is_tolerated_is_delivered_with_its_fault(
    stream: bytes, fault: str, qos: int, mid: int
) -> None:
    with pytest.raises(MalformedPublish) as caught:
        Receiver(version5=True).feed(stream)
    assert str(caught.value) == fault
    receiver = Receiver(version5=True, tolerated={fault})
    receiver.feed(stream + publish("u", b"1", 1, 8, version5=True))
    bad, good = receiver.messages
    assert (bad.qos, bad.mid, bad.fault) == (qos, mid, f"the broker sent {fault}")
    assert bad.size != len(bad.payload)  # so that nobody takes it for a payload
    assert (good.topic, good.payload, good.fault) == ("u", b"1", "")


_PACKETS = st.lists(
    st.sampled_from([PINGRESP, CONNACK])
    | st.builds(
        publish,
        st.text("abc/", min_size=1, max_size=8),
        st.binary(max_size=300),
        st.sampled_from([0, 1, 2]),
        st.integers(1, 65_535),
        retain=st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=examples(60), deadline=None)
@given(_PACKETS, st.integers(1, 50))
def test_the_cuts_between_receives_do_not_matter(packets: list[bytes], piece: int) -> None:
    whole, cut = Receiver(), Receiver()
    stream = b"".join(packets)
    assert whole.feed(stream) == cut.feed(stream, piece)
    assert whole.messages == cut.messages
    assert len(whole.messages) == sum(packet[0] & 0xF0 == 0x30 for packet in packets)


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_taken_or_refused(stream: bytes, version5: bool) -> None:
    receiver = Receiver(version5=version5)
    with contextlib.suppress(MalformedPacket):
        receiver.feed(stream)
