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
from tests.cases.sparkplug_payloads import (
    DATASET,
    DOUBLE,
    INT16,
    INT32,
    MS,
    STRING,
    TEMPLATE,
    UINT32,
    UINT64,
    metric,
    payload,
)  # fmt: skip
from tests.cases.sparkplug_specification import SPECIFICATION
from tests.ingest.test_formats import field

LORAWAN = "v3/app/devices/eui-1/up"


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
    *SPECIFICATION,
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
