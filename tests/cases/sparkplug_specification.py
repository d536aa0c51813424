"""The payload examples of the Eclipse Sparkplug 3.0.0 specification, chapter 6, with what becomes of each.

A Raspberry Pi with an input/output board, and the arrays of section 6.4.14. Times are of now; numbers in the
sequence follow each other, which in the printed examples they do not. The printed bytes of float and double
arrays are big-endian, against the text: here they are as the text says.
"""

from __future__ import annotations

import struct
from typing import Any

from tests.cases.case import Case
from tests.cases.sparkplug_payloads import (
    BOOLEAN,
    FLOAT,
    INT64,
    MS,
    STRING,
    UINT64,
    metric,
    payload,
)  # fmt: skip
from tests.ingest.test_formats import field

NODE = "spBv1.0/Sparkplug B Devices/{}/Raspberry Pi"
BOARD = NODE + "/Pibrella"
PI, PIBRELLA = "Sparkplug B Devices/Raspberry Pi", "Sparkplug B Devices/Raspberry Pi/Pibrella"
_PROPERTIES = {
    "Hardware Make": "Raspberry Pi", "Hardware Model": "Pi 3 Model B", "OS": "Raspbian",
    "OS Version": "Jessie with PIXEL/11.01.2017",
}  # fmt: skip
_BOARD = (
    *(f"Inputs/{name}" for name in ("A", "B", "C", "D", "Button")),
    *(f"Outputs/{name}" for name in "EFGH"),
    *(f"Outputs/LEDs/{name}" for name in ("Green", "Red", "Yellow")),
    "Outputs/Buzzer",
)


def _truth(name: str, value: bool, ts: int = MS) -> bytes:
    return metric(name, BOOLEAN, field(14, int(value)), ts=ts)


def _text(name: str, value: str) -> bytes:
    return metric(name, STRING, field(15, value.encode()))


ARRAYS: dict[str, tuple[int, bytes, list[Any]]] = {
    "Int8Array": (22, bytes.fromhex("EF7B"), [-17, 123]),
    "Int16Array": (23, bytes.fromhex("D08A3075"), [-30_000, 30_000]),
    "Int32Array": (24, bytes.fromhex("FFFFFFFFFAAFCB12"), [-1, 315_338_746]),
    "Int32Array of the introduction": (24, bytes.fromhex("15CD5B07B168DE3A"), [123_456_789, 987_654_321]),
    "Int64Array": (
        25, bytes.fromhex("CE0672AC189CBAC4C4BA9C18AC7206CE"),
        [-4_270_929_666_821_191_986, -3_601_064_768_563_266_876],
    ),
    "UInt8Array": (26, bytes.fromhex("17FA"), [23, 250]),
    "UInt16Array": (27, bytes.fromhex("1E0088CC"), [30, 52_360]),
    "UInt32Array": (28, bytes.fromhex("3400000049FB55C4"), [52, 3_293_969_225]),
    "UInt64Array": (
        29, bytes.fromhex("3400000000000000D99E02D1B27637E4"), [52, float(16_444_743_074_749_521_625)]
    ),
    "FloatArray": (30, struct.pack("<2f", 1.23, 89.341), [1.23, 89.341]),
    "DoubleArray": (31, struct.pack("<2d", 12.354213, 1022.9123213), [12.354213, 1022.9123213]),
    "BooleanArray": (
        32, bytes.fromhex("0C00000034D0"), [bool(int(bit)) for bit in "001101001101"]
    ),
    "StringArray": (33, b"ABC\0hello\0", ["ABC", "hello"]),
    "DateTimeArray": (
        34, bytes.fromhex("C7D0907524010000B8BAB89781010000"), [1_256_102_875_335, 1_656_107_875_000]
    ),
}  # fmt: skip
"""Datatype, bytes and members. The bytes of the example of -23 say -17; the times have eight bytes each."""

_DEATH = metric("bdSeq", UINT64, field(11, 0))
SPECIFICATION = [
    Case(
        "specification: NBIRTH", NODE.format("NBIRTH"),
        payload(
            metric("bdSeq", INT64, field(11, 0)),
            *(_truth(f"Node Control/{name}", value=False) for name in ("Reboot", "Rebirth", "Next Server")),
            metric("Node Control/Scan Rate", INT64, field(11, 3000)),
            *(_text(f"Properties/{name}", value) for name, value in _PROPERTIES.items()),
            metric("Supply Voltage", FLOAT, field(12, 12.1, 5), ts=MS - 9), seq=0,
        ),
        [*((PI, f"Properties/{name}", value, "") for name, value in _PROPERTIES.items()),
         (PI, "Supply Voltage", 12.1, "")],
    ),
    Case(
        "specification: DBIRTH", BOARD.format("DBIRTH"),
        payload(*(_truth(name, value=False, ts=MS - 9) for name in _BOARD),
                _text("Properties/Hardware Make", "Pibrella"), seq=1),
        [*((PIBRELLA, name, False, "") for name in _BOARD),
         (PIBRELLA, "Properties/Hardware Make", "Pibrella", "")],
    ),
    Case(
        "specification: NDATA", NODE.format("NDATA"),
        payload(metric("Supply Voltage", FLOAT, field(12, 12.3, 5)), seq=2),
        [(PI, "Supply Voltage", 12.3, "")],
    ),
    Case(
        "specification: DDATA", BOARD.format("DDATA"),
        payload(_truth("Inputs/A", value=True), _truth("Inputs/C", value=True), seq=3),
        [(PIBRELLA, "Inputs/A", True, ""), (PIBRELLA, "Inputs/C", True, "")],
    ),
    Case(
        "specification: a simple payload", NODE.format("DBIRTH") + "/simple",
        payload(metric("My Metric", STRING, field(15, b"Test"), alias=1), seq=4),
        [(f"{PI}/simple", "My Metric", "Test", "")],
    ),
    Case(
        "specification: arrays", NODE.format("DBIRTH") + "/arrays",
        payload(*(metric(name, kind, field(16, raw)) for name, (kind, raw, _) in ARRAYS.items()), seq=5),
        [(f"{PI}/arrays", f"{name}/{place}", value, "")
         for name, (_, _, members) in ARRAYS.items() for place, value in enumerate(members)],
    ),
    Case("specification: NCMD", NODE.format("NCMD"),
         field(1, MS) + field(2, _truth("Node Control/Rebirth", value=True)), []),
    Case("specification: DCMD", BOARD.format("DCMD"),
         field(1, MS) + field(2, _truth("Outputs/LEDs/Green", value=True))
         + field(2, _truth("Outputs/LEDs/Yellow", value=True)), []),
    Case("specification: STATE", "spBv1.0/STATE/host",
         b'{"online":true,"timestamp":%d}' % MS, []),
    Case("specification: DDEATH", BOARD.format("DDEATH"), payload(seq=6), []),
    Case("specification: NDEATH", NODE.format("NDEATH"), field(1, MS) + field(2, _DEATH), []),
]  # fmt: skip
