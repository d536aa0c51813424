"""MQTT packets: byte for byte as the standards have them, back to what they were, and never an exception."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.errors import BrokerError
from iotcache.mqtt.codec import (
    Acknowledgement,
    Auth,
    Connack,
    Connect,
    Disconnect,
    MalformedPacket,
    Packet,
    PacketSplitter,
    PacketType,
    Ping,
    Properties,
    PropertyId,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
    decode_packet,
    encode_publish,
)
from iotcache.mqtt.codec.primitives import VARINT_MAX, decode_varint, encode_varint
from iotcache.mqtt.codec.properties import TYPES, PropertyType, PropertyValue
from iotcache.mqtt.codec.reasons import connect_refusal, refusal
from tests.examples import examples

_TEXT = st.text(max_size=8)
_BYTES = st.binary(max_size=8)
_IDS = st.integers(1, 65_535)
_VALUES: dict[PropertyType, st.SearchStrategy[PropertyValue]] = {
    PropertyType.BYTE: st.integers(0, 255),
    PropertyType.TWO_BYTES: st.integers(0, 65_535),
    PropertyType.FOUR_BYTES: st.integers(0, 2**32 - 1),
    PropertyType.VARINT: st.integers(0, VARINT_MAX),
    PropertyType.TEXT: _TEXT,
    PropertyType.BINARY: st.binary(max_size=20),
    PropertyType.PAIR: st.tuples(_TEXT, _TEXT),
}


_PROPERTIES: st.SearchStrategy[Properties] = st.lists(
    st.sampled_from(PropertyId).flatmap(lambda name: st.tuples(st.just(name), _VALUES[TYPES[name]])),
    max_size=3,
).map(tuple)
_NO_PROPERTIES: st.SearchStrategy[Properties] = st.just(())
_FILTERS = st.lists(st.tuples(_TEXT, st.integers(0, 255)), max_size=3).map(tuple)
_KINDS = st.sampled_from([PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP])


def _packets(version: Version) -> st.SearchStrategy[Packet]:
    properties = _PROPERTIES if version == 5 else _NO_PROPERTIES
    codes = st.integers(0, 255) if version == 5 else st.just(0)
    answers = st.binary(max_size=4).map(tuple)
    wills = st.builds(Will, _TEXT, _BYTES, st.integers(0, 2), st.booleans(), properties)
    return st.one_of(
        st.builds(
            Connect, _TEXT, st.just(version), st.booleans(), st.integers(0, 65_535), st.none() | _TEXT,
            st.none() | _BYTES, st.none() | wills, properties,
        ),
        st.builds(Connack, st.booleans(), st.integers(0, 255), properties),
        st.builds(
            Publish, _TEXT, st.binary(max_size=300), st.integers(1, 2), _IDS, st.booleans(), st.booleans(),
            properties,
        ),
        st.builds(Publish, _TEXT, _BYTES, retain=st.booleans(), properties=properties),
        st.builds(Acknowledgement, _KINDS, _IDS, codes, properties),
        st.builds(Subscribe, _IDS, _FILTERS, properties),
        st.builds(Unsubscribe, _IDS, st.lists(_TEXT, max_size=3).map(tuple), properties),
        st.builds(Suback, _IDS, answers, properties),
        st.builds(Unsuback, _IDS, answers, properties),
        st.builds(Ping, st.sampled_from([PacketType.PINGREQ, PacketType.PINGRESP])),
        st.builds(Disconnect, codes, properties),
        *([st.builds(Auth, codes, properties)] if version == 5 else []),
    )  # fmt: skip


_VERSIONS: list[Version] = [4, 5]
_ALL: dict[Version, st.SearchStrategy[list[Packet]]] = {
    version: st.lists(_packets(version), max_size=3) for version in _VERSIONS
}
_SENT = st.one_of([st.tuples(st.just(version), packets) for version, packets in _ALL.items()])


@settings(max_examples=examples(40), deadline=None)
@given(_SENT)
def test_what_is_encoded_is_decoded_as_it_was(sent: tuple[Version, list[Packet]]) -> None:
    version, packets = sent
    assert [decode_packet(packet.encode(version), version) for packet in packets] == packets


@settings(max_examples=examples(40), deadline=None)
@given(_SENT, st.lists(st.integers(1, 9), min_size=1))
def test_packets_come_out_whole_however_the_bytes_arrive(
    sent: tuple[Version, list[Packet]], sizes: list[int]
) -> None:
    version, packets = sent
    encoded = [packet.encode(version) for packet in packets]
    found: list[bytes] = []
    stream, splitter, n = b"".join(encoded), PacketSplitter(), 0
    while stream:
        size = sizes[n % len(sizes)]
        found += splitter.feed(stream[:size])
        stream, n = stream[size:], n + 1
    assert found == encoded
    assert splitter.empty


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.lists(st.integers(1, 90), min_size=1))
def test_packets_over_the_limit_are_passed_over_and_the_others_come_out(
    lengths: list[int], sizes: list[int]
) -> None:
    encoded = [b"\x30" + encode_varint(length) + b"x" * length for length in lengths]
    stream, splitter, n, found = b"".join(encoded), PacketSplitter(20, passes_over=True), 0, list[bytes]()
    while stream:
        size = sizes[n % len(sizes)]
        found += splitter.feed(stream[:size])
        stream, n = stream[size:], n + 1
    assert found == [packet for packet, length in zip(encoded, lengths, strict=True) if length <= 20]
    assert splitter.passed_over == sum(length > 20 for length in lengths)
    assert splitter.empty


@settings(max_examples=examples(40), deadline=None)
@given(st.binary(max_size=200), st.sampled_from(_VERSIONS))
def test_any_bytes_are_a_packet_or_malformed(data: bytes, version: Version) -> None:
    with contextlib.suppress(MalformedPacket):
        decode_packet(data, version)
    with contextlib.suppress(MalformedPacket):
        for packet in PacketSplitter().feed(data):
            with contextlib.suppress(MalformedPacket):
                decode_packet(packet, version)


@settings(max_examples=examples(40), deadline=None)
@given(_SENT, st.data())
def test_a_packet_with_a_changed_byte_is_a_packet_or_malformed(
    sent: tuple[Version, list[Packet]], data: st.DataObject
) -> None:
    version, packets = sent
    for packet in packets:
        changed = bytearray(packet.encode(version))
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(MalformedPacket):
            decode_packet(bytes(changed), version)


@given(st.integers(0, VARINT_MAX), st.binary(max_size=3))
def test_a_variable_byte_integer_comes_back(value: int, after: bytes) -> None:
    encoded = encode_varint(value)
    assert len(encoded) <= 4
    assert decode_varint(encoded + after, 0) == (value, len(encoded))
    for cut in range(len(encoded)):
        with pytest.raises(IndexError):
            decode_varint(encoded[:cut], 0)


def test_the_bounds_of_a_variable_byte_integer() -> None:
    # The table of section 1.5.5.
    for value, encoded in (
        (127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xff\xff\x7f"), (2_097_152, b"\x80\x80\x80\x01"), (VARINT_MAX, b"\xff\xff\xff\x7f"),
    ):  # fmt: skip
        assert encode_varint(value) == encoded
    with pytest.raises(MalformedPacket, match="more than four bytes"):
        decode_varint(b"\xff\xff\xff\xff\x01", 0)
    with pytest.raises(BrokerError):
        encode_varint(VARINT_MAX + 1)


def test_connect_as_in_the_standard() -> None:
    assert Connect("a", keep_alive_s=10).encode() == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a"
    # MQTT 5, 3.1.2.11, with all flags of the example in 3.1.3.
    full = Connect(
        "a", 5, keep_alive_s=10, username="u", password=b"p", will=Will("w", b"x", 1),
        properties=((PropertyId.SESSION_EXPIRY_INTERVAL, 10),),
    )  # fmt: skip
    assert full.encode() == (
        b"\x10\x20\x00\x04MQTT\x05\xce\x00\x0a\x05\x11\x00\x00\x00\x0a"
        b"\x00\x01a\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p"
    )


def test_publish_with_every_length_of_length() -> None:
    assert encode_publish(b"a/b", b"hi", 0, 0, 4) == b"\x30\x07\x00\x03a/bhi"
    assert encode_publish(b"a/b", b"hi", 1, 258, 4) == b"\x32\x09\x00\x03a/b\x01\x02hi"
    assert encode_publish(b"a/b", b"hi", 1, 258, 5, flags=1) == b"\x33\x0a\x00\x03a/b\x01\x02\x00hi"
    for size in (120, 121, 122, 123, 200, 16_375, 16_376, 16_380, 2_097_140, 2_097_150):
        for version in _VERSIONS:
            packet = encode_publish(b"a/b", bytes(size), 1, 7, version)
            assert decode_packet(packet, version) == Publish("a/b", bytes(size), 1, 7)


def test_what_the_broker_states_in_its_connack() -> None:
    assert decode_packet(b"\x20\x02\x01\x00", 4) == Connack(session_present=True)
    properties = b"\x21\x00\x14\x22\x00\x0a\x12\x00\x01z\x24\x01"
    body = b"\x00\x00" + bytes([len(properties)]) + properties
    answer = decode_packet(bytes([0x20, len(body)]) + body, 5)
    assert isinstance(answer, Connack)
    assert (answer.receive_maximum, answer.maximum_qos, answer.topic_alias_maximum) == (20, 1, 10)
    plain = Connack()
    assert (plain.receive_maximum, plain.maximum_qos, plain.topic_alias_maximum) == (65_535, 2, 0)


def test_why_a_connection_is_refused() -> None:
    assert "user name or password" in connect_refusal(4, 4)
    assert "not allowed" in connect_refusal(0x87, 5)
    # A broker of MQTT 3.1.1 answers a CONNECT of MQTT 5 in its own form and with its own code.
    old = decode_packet(b"\x20\x02\x00\x01", 5)
    assert old == Connack(code=1)
    assert connect_refusal(1, 5) == 'it does not speak MQTT 5: set broker.protocol = "3.1.1"'
    assert connect_refusal(0x84, 5) == connect_refusal(1, 5)
    assert connect_refusal(1, 4) == 'it does not speak MQTT 3.1.1: set broker.protocol = "5"'
    assert refusal(0x97, ((PropertyId.REASON_STRING, "too\x1bmany"),)) == (
        "its quota is exceeded (too\\x1bmany)"
    )
    assert refusal(0xEE) == "reason code 238"


def test_a_text_too_long_for_mqtt_is_refused() -> None:
    with pytest.raises(BrokerError, match="65,535"):
        Connect("x" * 70_000).encode()
    with pytest.raises(BrokerError, match="surrogate"):
        Connect("\ud800").encode()


def test_a_packet_over_the_limit_is_refused_before_it_is_all_there() -> None:
    with pytest.raises(MalformedPacket, match="2000 bytes"):
        list(PacketSplitter(1_000).feed(b"\x20" + encode_varint(2_000)))


def test_paho_reads_what_we_encode_as_we_do() -> None:
    """An oracle for properties: the library's own reader."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties as PahoProperties

    packet = Publish("t", b"x", 1, 7, properties=(
        (PropertyId.MESSAGE_EXPIRY_INTERVAL, 9), (PropertyId.CONTENT_TYPE, "j"),
        (PropertyId.CORRELATION_DATA, b"\x00\x01"), (PropertyId.USER_PROPERTY, ("a", "b")),
        (PropertyId.SUBSCRIPTION_IDENTIFIER, 300),
    )).encode(5)  # fmt: skip
    properties: Any = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.unpack(packet[2 + 3 + 2 : -1])
    assert properties.MessageExpiryInterval == 9
    assert properties.ContentType == "j"
    assert properties.CorrelationData == b"\x00\x01"
    assert properties.UserProperty == [("a", "b")]
    assert properties.SubscriptionIdentifier == [300]
