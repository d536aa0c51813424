"""Messages of Sparkplug edge nodes and of devices that count anew, with what has to become of each.

Each stands for a kind of mistake that public reports tell of; the bytes are built here, with times of now.
They are published in this order.
"""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime
from typing import Any

from tests.cases.case import Case
from tests.cases.json_and_senml import NOW_S
from tests.ingest.test_formats import field

INT16, INT32, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATASET, TEMPLATE = (
    2,
    3,
    7,
    8,
    9,
    10,
    11,
    12,
    16,
    19,
)
MS = NOW_S * 1000
LORAWAN = "v3/app/devices/eui-1/up"


def metric(
    name: str = "", kind: int = 0, value: bytes = b"", *, alias: int | None = None, ts: int = MS
) -> bytes:
    parts = [
        field(1, name.encode()) if name else b"",
        b"" if alias is None else field(2, alias),
        field(3, ts),
    ]
    return b"".join([*parts, field(4, kind) if kind else b"", value])


def payload(*metrics: bytes, seq: int, ts: int = MS) -> bytes:
    return field(1, ts) + b"".join(field(2, one) for one in metrics) + field(3, seq)


def compressed(algorithm: str, body: bytes, seq: int) -> bytes:
    inner = field(1, b"algorithm") + field(4, STRING) + field(15, algorithm.encode())
    return payload(inner, seq=seq) + field(4, b"SPBV1.0_COMPRESSED") + field(5, body)


def uplink(count: int, value: float, at_s: float, session: str) -> bytes:
    """As The Things Stack sends one: a number that is zero is left out."""
    inner: dict[str, Any] = {"session_key_id": session, "decoded_payload": {"temperature": value}}
    if count:
        inner["f_cnt"] = count
    at = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    content = {"end_device_ids": {"device_id": "eui-1"}, "received_at": at, "uplink_message": inner}
    return json.dumps(content).encode()


def lorawan(count: int, value: float, age_s: int, session: str, *, again: bool = False) -> Case:
    name = f"LoRaWAN {session}{count}{' again' if again else ''}"
    readings = [] if again else [("eui-1", "temperature", value, "")]
    return Case(name, LORAWAN, uplink(count, value, NOW_S - age_s, session), readings)


INNER = payload(metric("temp", DOUBLE, field(13, 21.5)), seq=9)
MOTOR = field(2, metric("temp", INT32, field(10, 7))) + field(4, b"Motor") + field(5, 0)
UNIT = field(9, field(1, b"engUnit") + field(2, field(1, STRING) + field(8, "°C".encode())))


def born(node: str) -> Case:
    return Case(f"NBIRTH {node}", f"spBv1.0/G/NBIRTH/{node}", payload(seq=0), [])


CASES = [
    born("E"),
    Case("birth by name", "spBv1.0/G/DBIRTH/E/dev1",
         payload(metric("temp", INT32, field(10, 5), ts=MS - 9), seq=1), [("G/E/dev1", "temp", 5, "")]),
    Case("negative, by name alone", "spBv1.0/G/DDATA/E/dev1",
         payload(metric("temp", value=field(10, 4_294_967_284)), seq=2), [("G/E/dev1", "temp", -12, "")]),
    born("E1"),
    born("E2"),
    Case("one device id, edge node 1", "spBv1.0/G/DBIRTH/E1/pump1",
         payload(metric("temp", DOUBLE, field(13, 10.0)), seq=1), [("G/E1/pump1", "temp", 10.0, "")]),
    Case("one device id, edge node 2", "spBv1.0/G/DBIRTH/E2/pump1",
         payload(metric("temp", DOUBLE, field(13, 90.0)), seq=1), [("G/E2/pump1", "temp", 90.0, "")]),
    Case("GZIP", "spBv1.0/G/DBIRTH/E/dev3g", compressed("GZIP", gzip.compress(INNER, mtime=0), 3),
         [("G/E/dev3g", "temp", 21.5, "")]),
    Case("DEFLATE", "spBv1.0/G/DBIRTH/E/dev3d", compressed("DEFLATE", zlib.compress(INNER), 4),
         [("G/E/dev3d", "temp", 21.5, "")]),
    Case("template", "spBv1.0/G/DBIRTH/E/dev4",
         payload(metric("Motor1", TEMPLATE, field(18, MOTOR)), seq=5), [("G/E/dev4", "Motor1/temp", 7, "")]),
    Case("widths", "spBv1.0/G/DBIRTH/E/dev6",
         payload(metric("i16", INT16, field(10, 4_294_967_209)), metric("u32", UINT32, field(10, 2**32 - 1)),
                 metric("u64", UINT64, field(11, 2**64 - 1)), seq=6),
         [("G/E/dev6", "i16", -87, ""), ("G/E/dev6", "u32", 2**32 - 1, ""),
          ("G/E/dev6", "u64", float(2**64), "")]),
    Case("null, NaN, DataSet and a unit", "spBv1.0/G/DBIRTH/E/dev7",
         payload(metric("a", DOUBLE, field(7, 1)), metric("n", DOUBLE, field(13, float("nan"))),
                 metric("d", DATASET, field(17, b"")), metric("b", DOUBLE, UNIT + field(13, 2.5)), seq=7),
         [("G/E/dev7", "b", 2.5, "°C")], dead='"n" is nan'),
    # The specification's own example: a Raspberry Pi with an input/output board.
    Case("specification: NBIRTH", "spBv1.0/Sparkplug Group/NBIRTH/Raspberry Pi",
         payload(metric("bdSeq", UINT64, field(11, 0)), metric("Node Control/Reboot", BOOLEAN, field(14, 0)),
                 metric("Node Control/Rebirth", BOOLEAN, field(14, 0)),
                 metric("Properties/Hardware Make", STRING, field(15, b"Raspberry Pi")),
                 metric("Supply Voltage (V)", FLOAT, field(12, 12.1, 5)), seq=0),
         [("Sparkplug Group/Raspberry Pi", "Properties/Hardware Make", "Raspberry Pi", ""),
          ("Sparkplug Group/Raspberry Pi", "Supply Voltage (V)", 12.1, "")]),
    Case("specification: DBIRTH", "spBv1.0/Sparkplug Group/DBIRTH/Raspberry Pi/Pibrella",
         payload(metric("Inputs/A", BOOLEAN, field(14, 0), alias=0, ts=MS - 5),
                 metric("Properties/Hardware Make", STRING, field(15, b"Pibrella")), seq=1),
         [("Sparkplug Group/Raspberry Pi/Pibrella", "Inputs/A", False, ""),
          ("Sparkplug Group/Raspberry Pi/Pibrella", "Properties/Hardware Make", "Pibrella", "")]),
    Case("specification: DDATA by alias", "spBv1.0/Sparkplug Group/DDATA/Raspberry Pi/Pibrella",
         payload(metric(value=field(14, 1), alias=0), seq=2),
         [("Sparkplug Group/Raspberry Pi/Pibrella", "Inputs/A", True, "")]),
    lorawan(0, 20.0, 600, "A"),
    lorawan(1, 21.0, 540, "A"),
    lorawan(2, 22.0, 480, "A"),
    lorawan(3, 23.0, 420, "A"),
    lorawan(0, 30.0, 60, "B"),
    lorawan(1, 31.0, 1, "B"),
    lorawan(1, 31.0, 1, "B", again=True),
    Case("contradiction", LORAWAN, uplink(1, 32.0, NOW_S - 1, "B"), [],
         dead="stored is 31.0, this one says 32.0"),
]  # fmt: skip
