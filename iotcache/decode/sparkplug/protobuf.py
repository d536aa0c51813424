"""The wire format of Protocol Buffers, as far as Sparkplug B needs it.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator


class NotSparkplug(ValueError):
    """A message that cannot be read; the text says why."""


def fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers of wire type 0, and the bytes of all others. Raises `NotSparkplug`."""
    at, end = 0, len(raw)
    while at < end:
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == 0:
            content, at = _varint(raw, at)
            yield key >> 3, content
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise NotSparkplug(f"protobuf wire type {wire} is not known")
        if at + size > end:
            raise NotSparkplug("the protobuf message ends too early")
        yield key >> 3, raw[at : at + size]
        at += size


def text(raw: bytes) -> str:
    """A string field. Raises `NotSparkplug`."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NotSparkplug(f"a text is not valid UTF-8: {error.reason}") from None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise NotSparkplug("the protobuf message ends too early")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise NotSparkplug("a protobuf number of more than ten bytes")
