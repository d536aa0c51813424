"""SenML packs (RFC 8428), JSON and CBOR, into readings as the default payload has them.

A record's name is its base name and its own. Of a device that the topic names, the part after the device is
the sensor, or a name without a base; otherwise the last part is the sensor, what precedes it the device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

VERSION: Final = 10
_RELATIVE_BELOW_S: Final = 1 << 28
"""Smaller times are relative to now (section 4.5.3)."""
_LABELS: Final = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""Integer labels of the CBOR form (section 6)."""
_BOOT_LIMIT: Final = 64
_VALUES: Final = ("v", "vs", "vb")
_SEPARATOR: Final = re.compile(r"[:/.]")
_UNITS: Final = {"Cel": "°C", "/": ""}
"""SenML's names of units (section 12.1) that people write otherwise."""

_Number = int | float


class NotSenml(ValueError):
    """A pack that cannot be read; the text says what is wrong with which record."""


class SenmlRecord(msgspec.Struct, frozen=True, gc=False):
    """One record (section 4.3); labels that are not here are passed over, as the standard asks.

    ``seq`` and ``boot`` are not the standard's: together, a sender's own number for the reading.
    """

    bn: str = ""
    bt: _Number | None = None
    bu: str | None = None
    bv: _Number | None = None
    bver: int | None = None
    n: str = ""
    u: str | None = None
    v: _Number | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: _Number | None = None
    t: _Number | None = None
    seq: Any = None
    boot: Any = None


def looks_like(payload: bytes) -> bool:
    """Whether a JSON array is a pack rather than an array of default payloads."""
    return b'"value"' not in payload and (b'"n"' in payload or b'"bn"' in payload)


def from_cbor(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Records with integer labels as those with names. Raises `NotSenml`."""
    records = []
    for place, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise NotSenml(f"record no. {place + 1} is no map")
        records.append({_LABELS.get(label, str(label)): content for label, content in item.items()})
    return records


def resolve(records: Sequence[SenmlRecord], device: str, now_s: float) -> list[dict[str, Any]]:
    """The pack's readings as fields of the default payload. ``device`` is the topic's, or empty.

    Raises `NotSenml`.
    """
    found: list[dict[str, Any]] = []
    base_name, base_unit = "", None
    base_time: _Number = 0
    base_value: _Number = 0
    for place, record in enumerate(records):
        if record.bver is not None and record.bver > VERSION:
            raise NotSenml(f"record no. {place + 1} is of SenML version {record.bver}; {VERSION} is known")
        base_name = record.bn or base_name
        base_unit = record.bu if record.bu is not None else base_unit
        base_time = record.bt if record.bt is not None else base_time
        base_value = record.bv if record.bv is not None else base_value
        value = _value(record, base_value, place)
        if value is None:
            continue
        time_s = base_time + (record.t or 0)
        if time_s < _RELATIVE_BELOW_S:
            time_s += now_s
        unit = record.u if record.u is not None else base_unit
        fields = {"value": value, "ts": time_s, "unit": _UNITS.get(unit, unit) if unit else None}
        found.append(fields | _identity(record) | _names(base_name, record.n, device, place))
    return found


def _value(record: SenmlRecord, base_value: _Number, place: int) -> float | str | bool | None:
    """The record's value; ``None`` for one that only sets base fields."""
    if record.v is not None:
        return record.v + base_value
    if record.vs is not None:
        return record.vs
    if record.vb is not None:
        return record.vb
    if record.vd is not None:
        raise NotSenml(f"record no. {place + 1} holds binary data (vd), which is no measurement")
    if record.s is not None:
        raise NotSenml(f"record no. {place + 1} holds only a sum (s), and no value")
    if record.n:
        raise NotSenml(f"record no. {place + 1} holds no value")
    return None


def _identity(record: SenmlRecord) -> dict[str, Any]:
    """The record's number and boot. One alone may be anything: a ``seq`` for the whole pack, say."""
    seq, boot = record.seq, record.boot
    if type(seq) is int and 0 <= seq < 1 << 63 and isinstance(boot, str) and len(boot) <= _BOOT_LIMIT:
        return {"seq": seq, "boot": boot}
    return {}


def _names(base: str, own: str, device: str, place: int) -> dict[str, str]:
    name = base + own
    if not device:
        cut = max((hit.start() for hit in _SEPARATOR.finditer(name)), default=0)
        if not 0 < cut < len(name) - 1:
            raise NotSenml(f"record no. {place + 1} is named {name[:60]!r}, which holds no device and sensor")
        return {"device": name[:cut], "sensor": name[cut + 1 :]}
    found = re.search(rf"(?:^|[:/.]){re.escape(device)}(?=$|[:/.])", name)
    if found is None and base:
        raise NotSenml(
            f"record no. {place + 1} is named {name[:60]!r}, its topic names device {device[:60]!r}"
        )
    rest = own if found is None else name[found.end() :]
    sensor = rest.strip(":/.")
    return {"sensor": sensor} if sensor else {}
