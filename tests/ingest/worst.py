"""The worst messages for each decoder, built by its grammar: everything bad in every slot."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from tests.ingest.test_formats import dumps, field, head

Topic = str
SENML_LABELS: Final = (
    "bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "seq",
)  # fmt: skip
_DIGITS: Final = "9" * 400
NUMBERS: Final = (
    "0", "-0", "-0.0", "1e400", "-1e400", "1e-400", "1E+999999999", "1e-999999999", _DIGITS, f"-{_DIGITS}",
    f"{_DIGITS}.5", f"0.{'0' * 1_000}1", f"1{'0' * 5_000}", str(2**53 + 1), str(2**63), str(-(2**63) - 1),
    str(2**64), "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity", "00", "01", "+1",
    "1.", ".5",
    "0x10", "1_000", "1e", "--1", "946684799", "1e11", "1e14", "1e17", "1e20", "99999999999999999999",
    "-1", "-1e18",
)  # fmt: skip
TEXTS: Final = (
    b"", b"x" * 257, b"x" * 70_000, b"\\u0000", b"\0", b"\\ud800", b"\\udfff\\ud800", b"\\ud83c",
    b"\xff", b"\xc0\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1b[2J", b"\r\n", b"\\q", b"\\", b"\xe2\x80\xae",
    b"[red]", b"../..", b"a/b",
    b"#", b"+", b"$SYS", b"=1+1", b"NaN", b"1e400",
    b"0000-00-00T00:00:00Z", b"0000-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:60Z",
    b"9999-12-31T23:59:59-23:59", b"2024-02-30T00:00:00Z", b"10000-01-01T00:00:00Z", b"2024-01-01",
    b"2024-01-01T00:00",
    b"2024-01-01T00:00:00.9999999999999Z", b"2024-01-01T24:00:00Z", b"2024-01-01T00:00:00+99:99",
)  # fmt: skip
_SHAPES: Final = (
    b"null", b"true", b"[]", b"{}", b"[[[1]]]", b'{"":{"":{}}}', b"[" * 31 + b"]" * 31,
    b"[" * 33 + b"]" * 33,
    b'{"a":' * 33 + b"1" + b"}" * 33, b"[" * 5_000 + b"]" * 5_000, b"[" * 5_000, b"[1,", b"", b",",
)  # fmt: skip
ATOMS: Final = (*(text.encode() for text in NUMBERS), *(b'"' + text + b'"' for text in TEXTS), *_SHAPES)


def _objects(slots: tuple[str, ...], good: bytes) -> Iterator[bytes]:
    """A good object with each atom in each slot, once more or instead."""
    for slot in slots:
        for atom in ATOMS:
            yield b'{"%s":%s,%s}' % (slot.encode(), atom, good)
            yield b'{%s,"%s":%s}' % (good, slot.encode(), atom)


def json_messages() -> Iterator[tuple[Topic, bytes]]:
    slots = ("value", "ts", "device", "sensor", "site", "unit", "seq", "boot", "x")
    for number, one in enumerate(_objects(slots, b'"value":1')):
        yield "iot/s/evil/t", one if number % 3 else b'[{"value":1},%s]' % one
    for atom in ATOMS:
        yield "iot/s/evil/t", atom
        yield "iot/s/evil/t", b" " + atom


def senml_messages() -> Iterator[tuple[Topic, bytes]]:
    for one in _objects((*SENML_LABELS, "x_"), b'"n":"t","v":1'):
        yield "iot/s/evil", b"[%s]" % one
    for one in _objects(("bt", "bv", "t", "v"), b'"bn":"a","bt":1e308,"bv":-1e308,"n":"t","v":1'):
        yield "iot/s/evil", b'[%s,{"n":"u","t":1e308,"v":1e308}]' % one


def document_messages() -> Iterator[tuple[Topic, bytes]]:
    for one in _objects(("version", "ts", "device", "site", "x"), b'"version":1'):
        for kind in ("cfg", "meta", "birth"):
            yield f"iot/s/evil/{kind}", one


_BINARY: Final = (
    b"\xf9\x7e\x00", b"\xf9\x7c\x00", b"\xfa\x7f\xa0\x00\x01", b"\xfb" + struct.pack(">d", float("nan")),
    b"\xfb" + struct.pack(">d", -1e308), b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8,
    b"\xc2\x59\x03\xe8" + b"\xff" * 1_000, b"\xc3\x59\x03\xe8" + b"\xff" * 1_000, b"\xc2\x40", b"\xc2\x01",
    b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01", b"\xc4\x82\x3b" + b"\x7f" * 8 + b"\x01", b"\xc4\x82\x01",
    b"\xc4\x01",
    b"\xc4\x82\x19\xff\xff\xc2\x59\x03\xe8" + b"\xff" * 1_000, b"\xc5\x82\x1b" + b"\xff" * 8 + b"\x01",
    b"\xc0\x60", b"\xc0\x74" + b"9999-12-31T23:59:60Z", b"\xc1\xfb" + struct.pack(">d", 1e308),
    b"\xc1\x1b" + b"\xff" * 8,
    b"\x61\xff", b"\x63\xed\xa0\x80", b"\x60", b"\x61\0", b"\x7f\x61a\xff", b"\x7f\x7f\x61a\xff\xff",
    b"\x7f\x41a\xff",
    b"\x78\xff", b"\x7b" + b"\xff" * 8, b"\x5b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8,
    b"\xbb" + b"\xff" * 8, b"\x9f", b"\xbf",
    b"\xff", b"\x81" * 31 + b"\x01", b"\x81" * 33 + b"\x01", b"\x81" * 5_000,
    b"\xa1\x61a" * 33 + b"\x01", b"\xc6" * 5_000,
    b"\xa1\x80\x01", b"\xa1\xa0\x01", b"\xa2\x61a\x01\x61a\x02", b"\xa1\xf6\x01", b"\xd8\xff\x01",
    b"\xf8\xff", b"\xfc",
    b"\xd9\xd9\xf7\x01", b"\x1c", b"\xf7", b"\xf6", b"\x79\x40\x00" + b"x" * 16_384, b"",
)  # fmt: skip


def cbor_messages() -> Iterator[tuple[Topic, bytes]]:
    for atom in _BINARY:
        for slot in ("value", "ts", "device", "sensor", "site", "unit", "seq", "boot", "x"):
            key = dumps(slot)
            yield "iot/s/evil/t", b"\xa2" + dumps("value") + b"\x01" + key + atom
            yield "iot/s/evil/t", b"\x82\xa1" + dumps("value") + b"\x01\xa1" + key + atom
        for label in range(-7, 9):
            key = head(0, label) if label >= 0 else head(1, -1 - label)
            yield "iot/s/evil", b"\x81\xa3\x00\x61t\x02\x01" + key + atom
        yield "iot/s/evil/t", b"\xa2" + atom + b"\x01" + dumps("value") + b"\x01"
        yield "iot/s/evil/t", b"\xc1" + atom
        yield "iot/s/evil/t", atom


def sparkplug_messages() -> Iterator[tuple[Topic, bytes]]:
    born = field(1, b"t") + field(2, 7) + field(4, 10) + field(13, 1.0)
    values = [
        *(field(number, size) for number in (10, 11, 14) for size in (0, 1, 2**31, 2**32 - 1, 2**63,
        2**64 - 1)),
        *(field(12, size, 5) for size in (float("nan"), float("inf"), 3e38)),
        *(field(13, size) for size in (float("nan"), float("-inf"), 1e308, -0.0)),
        *(field(15, text) for text in TEXTS),
        *(field(number, body) for number in (9, 16, 17, 18, 19) for body in (b"", b"\xff" * 9, field(1,
        2**64 - 1))),
        b"", bytes([12 << 3 | 5]), bytes([13 << 3 | 1]) + b"\0", b"\x78\x01" * 3, b"\x7f" * 5,
    ]  # fmt: skip
    deep = born
    for _ in range(40):
        deep = field(1, b"d") + field(4, 19) + field(18, field(2, deep))
    for kind in ("NBIRTH", "NDATA", "DDATA"):
        topic = f"spBv1.0/s/{kind}/evil" + ("/d" if kind[0] == "D" else "")
        for datatype in range(40):
            for value in values:
                yield (
                    topic,
                    field(1, 10**12) + field(2, field(1, b"t") + field(4, datatype) + value) + field(3, 0),
                )
        for text in TEXTS:
            yield topic, field(2, field(1, text) + field(2, 2**64 - 1) + field(4, 10) + field(13, 1.0))
            yield topic, field(2, field(1, text) + field(4, 12) + field(15, text))
        for size in (0, 2**63, 2**64 - 1):
            yield topic, field(1, size) + field(2, born + field(3, size)) + field(3, size)
        yield topic, field(2, deep)
        for body in (
            b"",
            b"\0" * 9,
            zlib.compress(bytes(3_000_000)),
            gzip.compress(bytes(3_000_000), mtime=0),
        ):
            for twice in (body, zlib.compress(b"\x22\x12SPBV1.0_COMPRESSED" + field(5, body))):
                for name in (b"GZIP", b"DEFLATE", b"\xff", b""):
                    asked = field(2, field(1, b"algorithm") + field(4, 12) + field(15, name))
                    yield topic, asked + field(4, b"SPBV1.0_COMPRESSED") + field(5, twice)
    for group in ("", "g" * 300, "g\x1b", "é"):
        for kind in ("NBIRTH", "NDEATH", "STATE", "NCMD", "NONSENSE", ""):
            yield f"spBv1.0/{group}/{kind}/evil", field(2, born)


MESSAGES: Final = {
    "json": json_messages,
    "senml": senml_messages,
    "cbor": cbor_messages,
    "sparkplug": sparkplug_messages,
    "document": document_messages,
}
