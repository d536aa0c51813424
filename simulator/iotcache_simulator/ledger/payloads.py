"""What a message of the fleet says, read by the ledger itself and not by the decoder under test.

Only the formats that the fleet writes are understood; the codecs of CBOR and SenML are shared.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import Struct

from iotcache.decode import cbor, senml
from iotcache_simulator.ledger.sightings import Content

READS = ("json", "cbor", "senml")
"""The payload formats that it understands."""
_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Message(Struct):
    """One reading as its payload names it."""

    device: str
    sensor: str
    seq: int
    boot: str
    value: float | bool | str
    ts: str | int | float | None = None
    unit: str | None = ""

    def content(self, topic: str) -> Content:
        return Content(self.value, _ts_us(self.ts), self.unit or "", topic)


_decode_json = msgspec.json.Decoder(Message).decode
_decode_pack = msgspec.json.Decoder(list[senml.SenmlRecord]).decode


def read(topic: str, payload: bytes) -> Message:
    """The reading that a message holds. Raises `ValueError` or `msgspec.MsgspecError` for none of ours."""
    if payload[:1] >= b"\x80":
        return msgspec.convert(cbor.loads(payload), Message)
    if payload[:1] == b"[":
        pack = _decode_pack(payload)
        base = pack[0].bn if pack else ""
        device = base[:-1] if base.endswith("/") else topic.rsplit("/", 2)[1]
        (fields,) = senml.resolve(pack, device, 0.0)
        return msgspec.convert({"device": device, **fields}, Message)
    return _decode_json(payload)


def _ts_us(ts: str | float | None) -> int:
    """A payload's time: RFC 3339, milliseconds (CBOR), seconds (SenML) since the epoch; else 0."""
    if isinstance(ts, str):
        if _FORM.fullmatch(ts):  # the fleet's own: quick, as whole seconds repeat
            return _second_us(ts[:19]) + int(ts[20:23]) * 1_000
        return _moment_us(ts)
    if isinstance(ts, float):
        return round(ts * 1e3) * 1_000
    return (ts or 0) * 1_000


@lru_cache(maxsize=1_024)
def _second_us(text: str) -> int:
    return _moment_us(f"{text}Z")


def _moment_us(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return 0 if moment.tzinfo is None else (moment - _EPOCH) // _MICROSECOND
