"""Payloads of Sparkplug B, field by field."""

from __future__ import annotations

from tests.cases.json_and_senml import NOW_S
from tests.ingest.test_formats import field

INT8, INT16, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATASET, TEMPLATE = (
    1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 16, 19
)  # fmt: skip
MS = NOW_S * 1000


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
