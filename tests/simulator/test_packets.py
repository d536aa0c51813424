"""Packets, byte for byte as the standard has them, and answers that no broker should send."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.errors import BrokerError
from iotcache_simulator.wire import packets
from iotcache_simulator.wire.packets import Accepted, Will


def test_connect_as_in_the_standard() -> None:
    assert packets.connect("a", keep_alive_s=10) == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a"
    # MQTT 5, 3.1.2.11, with all flags of the example in 3.1.3.
    full = packets.connect(
        "a", version=5, clean=True, keep_alive_s=10, username="u", password="p",
        will=Will("w", b"x", 1, retain=False), session_expiry_s=10,
    )  # fmt: skip
    assert full == (
        b"\x10\x20\x00\x04MQTT\x05\xce\x00\x0a\x05\x11\x00\x00\x00\x0a"
        b"\x00\x01a\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p"
    )


def test_publish_with_every_length_of_length() -> None:
    assert packets.publish(b"a/b", b"hi", 0, 0, 4) == b"\x30\x07\x00\x03a/bhi"
    assert packets.publish(b"a/b", b"hi", 1, 258, 4) == b"\x32\x09\x00\x03a/b\x01\x02hi"
    assert packets.publish(b"a/b", b"hi", 1, 258, 5, flags=1) == b"\x33\x0a\x00\x03a/b\x01\x02\x00hi"
    for size in (120, 121, 122, 123, 200, 16_375, 16_376, 16_380, 2_097_140, 2_097_150):
        for version in (4, 5):
            packet = packets.publish(b"a/b", bytes(size), 1, 7, version)
            (kind, body), *rest = (
                list(packets.split(bytearray(packet))) if size < 1_000_000 else [(0x30, b"")]
            )
            assert not rest
            if body:
                assert kind == packets.PUBLISH
                assert body == b"\x00\x03a/b\x00\x07" + (b"\x00" if version == 5 else b"") + bytes(size)


def test_packets_come_out_whole_however_the_bytes_arrive() -> None:
    stream = b"\x40\x02\x00\x01" + b"\xd0\x00" + b"\x40\x03\x00\x02\x10" + b"\x40\x02\x00"
    for cut in range(len(stream) + 1):
        buffer = bytearray(stream[:cut])
        found = list(packets.split(buffer))
        buffer += stream[cut:]
        found += list(packets.split(buffer))
        assert found == [(0x40, b"\x00\x01"), (0xD0, b""), (0x40, b"\x00\x02\x10")]
        assert buffer == b"\x40\x02\x00"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    buffer = bytearray(data)
    with contextlib.suppress(BrokerError):
        for kind, body in packets.split(buffer):
            if kind == packets.CONNACK:
                with contextlib.suppress(BrokerError):
                    packets.accepted(body, 5)
    assert len(buffer) <= len(data)


@given(st.binary(max_size=60))
def test_no_connack_breaks_the_reader(body: bytes) -> None:
    with contextlib.suppress(BrokerError):
        packets.accepted(body, 5)
    with contextlib.suppress(BrokerError):
        packets.accepted(body, 4)


def test_connack_limits_and_refusals() -> None:
    assert packets.accepted(b"\x01\x00", 4) == Accepted(True)
    properties = b"\x21\x00\x14\x22\x00\x0a\x12\x00\x01z\x24\x01"
    body = b"\x00\x00" + bytes([len(properties)]) + properties
    assert packets.accepted(body, 5) == Accepted(False, 20, 1, 10)
    with pytest.raises(BrokerError, match="user name or password"):
        packets.accepted(b"\x00\x04", 4)
    with pytest.raises(BrokerError, match="not allowed"):
        packets.accepted(b"\x00\x87\x00", 5)


def test_a_text_too_long_for_mqtt_is_refused() -> None:
    with pytest.raises(BrokerError, match="65,535"):
        packets.connect("x" * 70_000)
