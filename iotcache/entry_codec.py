"""Values as they lie in the cache: JSON that anyone can read, zlib above a threshold.

The flag bits are those of `pymemcache.serde.CompressedSerde` over its default serde: 16 is a str
(UTF-8), 8 is zlib-compressed; 1 is pickle, which is never written and never read.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

from iotcache.errors import CorruptValue
from iotcache.model import Document, Reading, Value

FLAG_TEXT: Final = 16
FLAG_COMPRESSED: Final = 8
FLAG_PICKLE: Final = 1
COMPRESS_MIN_BYTES: Final = 400
INFLATED_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""A value that inflates past this is a bomb, not a reading."""


class CachedReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A ``latest`` value: the reading without the names that its key already says."""

    value: Value
    ts: int
    """Microseconds since the epoch."""
    unit: str = ""
    site: str = ""
    seq: int | None = None
    boot: str = ""
    interval_s: float = 0.0
    received: int = 0
    """Microseconds since the epoch."""
    stale: bool = False
    """Its edge node, or device, said since that it is gone."""


_encode_json = msgspec.json.Encoder().encode
_decode_reading = msgspec.json.Decoder(CachedReading).decode
_decode_any = msgspec.json.Decoder().decode


def pack(raw: bytes, min_bytes: int = COMPRESS_MIN_BYTES) -> tuple[bytes, int]:
    """JSON text as ``(value, flags)``; compressed when longer than ``min_bytes`` and smaller for it."""
    if min_bytes > 0 and len(raw) > min_bytes:
        packed = zlib.compress(raw)
        if len(packed) < len(raw):
            return packed, FLAG_TEXT | FLAG_COMPRESSED
    return raw, FLAG_TEXT


def unpack(value: bytes, flags: int) -> bytes:
    """The JSON text behind ``value``. Raises `CorruptValue` for pickle, a bomb or a broken stream."""
    if flags & FLAG_PICKLE:
        raise CorruptValue("the value is a pickle, which is never read")
    if not flags & FLAG_COMPRESSED:
        return value
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(value, INFLATED_LIMIT_BYTES)
    except zlib.error as error:
        raise CorruptValue(f"the compressed value is broken: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise CorruptValue("the compressed value is cut short or inflates past the limit")
    return raw


def encode_reading(reading: Reading, min_bytes: int = COMPRESS_MIN_BYTES) -> tuple[bytes, int]:
    """A reading as the value and flags of its ``latest`` key."""
    return pack(
        _encode_json(
            CachedReading(
                reading.value, reading.ts_us, reading.unit, reading.site, reading.seq, reading.boot,
                reading.interval_s, reading.received_us, reading.stale,
            )
        ),
        min_bytes,
    )  # fmt: skip


def decode_cached(value: bytes, flags: int) -> CachedReading:
    """The content of a ``latest`` value as it lies in the cache. Raises `CorruptValue` for anything else."""
    try:
        return _decode_reading(unpack(value, flags) if flags & (FLAG_COMPRESSED | FLAG_PICKLE) else value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptValue(f"the value is not a reading: {error}") from error


def decode_reading(device: str, sensor: str, value: bytes, flags: int) -> Reading:
    """The reading that `encode_reading` packed. Raises `CorruptValue` for anything else."""
    got = decode_cached(value, flags)
    return Reading(
        device, sensor, got.value, got.ts, got.unit, got.site, got.seq, got.boot, got.received,
        got.interval_s, stale=got.stale,
    )  # fmt: skip


class CachedDocument(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A ``meta`` or ``cfg`` value: the document and its version."""

    version: int
    content: msgspec.Raw
    at: int = 0
    """Microseconds since the epoch."""
    site: str = ""


_decode_document = msgspec.json.Decoder(CachedDocument).decode


def encode_document(document: Document, min_bytes: int = COMPRESS_MIN_BYTES) -> tuple[bytes, int]:
    """A document as the value and flags of its key."""
    content = msgspec.Raw(document.content.encode("utf-8", "replace"))
    return pack(
        _encode_json(CachedDocument(document.version, content, document.at_us, document.site)), min_bytes
    )


def decode_document(value: bytes, flags: int) -> CachedDocument:
    """What `encode_document` packed. Raises `CorruptValue` for anything else."""
    try:
        return _decode_document(unpack(value, flags))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptValue(f"the value is no document: {error}") from error


def document_content(document: CachedDocument | Document) -> Any:
    """The content as Python values. Raises `CorruptValue` for JSON that is nested too deeply."""
    try:
        return _decode_any(document.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptValue(f"the content is not JSON: {error}") from error


def encode_json(content: Any, min_bytes: int = COMPRESS_MIN_BYTES) -> tuple[bytes, int]:
    """Any JSON content (metadata, configuration, an aggregate) as value and flags."""
    return pack(_encode_json(content), min_bytes)


def decode_json(value: bytes, flags: int) -> Any:
    """The content that `encode_json` packed. Raises `CorruptValue`."""
    try:
        return _decode_any(unpack(value, flags))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptValue(f"the value is not JSON: {error}") from error
