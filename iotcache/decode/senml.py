"""SenML packs (RFC 8428), JSON and CBOR, into readings as the default payload has them.

A record's name is its base name and its own. Where the topic names the device, the sensor is what follows the
device in that name, or all of it where the device is not in it. Otherwise a base name with a separator at its
end is the device and the record's own name the sensor; of any other name the last part is the sensor. A name
without a part for the sensor takes its unit for one, as does each of several units under one name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from typing import Any, Final

import msgspec

from iotcache.text import printable

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
_DEVICE_URN: Final = re.compile(r"urn:dev:[a-z]+:[^:/]+")
"""A device without a sensor (RFC 9039)."""
_VALUE_KEY: Final = re.compile(rb'"value"\s*:')
_NAMELESS: Final = "value"
"""The sensor of a record that has neither a name for it nor a unit."""
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
    if b'"n"' not in payload and b'"bn"' not in payload:
        return False
    return b'"value"' not in payload or _VALUE_KEY.search(payload) is None


def check_json_labels(payload: bytes) -> None:
    """A label that ends in ``_`` must be understood, or the pack refused (section 4.4). Raises `NotSenml`."""
    if b'_"' in payload:
        for index, record in enumerate(msgspec.json.decode(payload, type=list[dict[str, Any]])):
            _check_labels(index, record)


def _check_labels(index: int, record: Mapping[str, Any]) -> None:
    for label in record:
        if label.endswith("_"):
            shown = printable(label, 60)
            raise NotSenml(f"record no. {index + 1} has {shown!r}, a label that must be known and is not")


def from_cbor(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Records with integer labels as those with names. Raises `NotSenml`."""
    records = []
    for place, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise NotSenml(f"record no. {place + 1} is no map")
        record = {_LABELS.get(label, str(label)): content for label, content in item.items()}
        _check_labels(place, record)
        records.append(record)
    return records


def resolve(
    records: Sequence[SenmlRecord], device: str, now_s: float, sensor: str = ""
) -> list[dict[str, Any]]:
    """The pack's readings as fields of the default payload; ``device`` and ``sensor`` as the topic has them.

    Records without a value of one kind or another (only a sum, binary data, base fields) are no readings.
    Raises `NotSenml`.
    """
    found: list[dict[str, Any]] = []
    units: dict[tuple[str, str], set[str]] = {}
    base_name, base_unit = "", None
    base_time: _Number = 0
    base_value: _Number = 0
    left_out = ""
    for index, record in enumerate(records):
        if record.bver is not None and record.bver > VERSION:
            raise NotSenml(f"record no. {index + 1} is of SenML version {record.bver}; {VERSION} is known")
        base_name = record.bn or base_name
        base_unit = record.bu if record.bu is not None else base_unit
        base_time = record.bt if record.bt is not None else base_time
        base_value = record.bv if record.bv is not None else base_value
        value = _value(record, base_value, index)
        if value is None:
            left_out = left_out or _why_left_out(record, index)
            continue
        time_s = _sum(base_time, record.t or 0, "time", index)
        if time_s < _RELATIVE_BELOW_S:
            time_s = _sum(now_s, time_s, "time", index)
        unit = (record.u if record.u is not None else base_unit) or ""
        names = _names(base_name, record.n, device, index)
        if sensor and names.get("sensor", sensor) != sensor:
            shown, topics = printable(names["sensor"], 60), printable(sensor, 60)
            raise NotSenml(f"record no. {index + 1} names sensor '{shown}', its topic '{topics}'")
        named = (names.get("device", device), names.get("sensor", sensor))
        units.setdefault(named, set()).add(unit)
        fields = {"value": value, "ts": time_s, "unit": _UNITS.get(unit, unit) or None, "_unit": unit}
        found.append(fields | _identity(record) | names)
    if not found and left_out:
        raise NotSenml(left_out)
    for fields in found:
        own_unit = fields.pop("_unit")
        owner, own = str(fields.get("device", device)), str(fields.get("sensor", sensor))
        if not own:
            fields["sensor"] = own_unit or _NAMELESS
        elif len(units[owner, own]) > 1 and own_unit:
            # Several units under one name are several quantities, at one time too (section 5.1.3).
            fields["sensor"] = f"{own}/{own_unit}"
        else:
            fields["sensor"] = own
    return found


def _sum(base: _Number, own: _Number, what: str, index: int) -> _Number:
    try:
        return base + own
    except OverflowError:
        raise NotSenml(f"record no. {index + 1} has a {what} that no number holds") from None


def _value(record: SenmlRecord, base_value: _Number, index: int) -> float | str | bool | None:
    """The record's value; ``None`` for one that has none."""
    if record.v is not None:
        return _sum(base_value, record.v, "value", index)
    return record.vs if record.vs is not None else record.vb


def _why_left_out(record: SenmlRecord, index: int) -> str:
    """Why a record is no reading, should no record be one; empty for one that only sets base fields."""
    if record.vd is not None:
        return f"record no. {index + 1} holds binary data (vd), which is no measurement"
    if record.s is not None:
        return f"record no. {index + 1} holds only a sum (s), and no value"
    return f"record no. {index + 1} holds no value" if record.n else ""


def _identity(record: SenmlRecord) -> dict[str, Any]:
    """The record's number and boot. One alone may be anything: a ``seq`` for the whole pack, say."""
    seq, boot = record.seq, record.boot
    if type(seq) is int and 0 <= seq < 1 << 63 and isinstance(boot, str) and len(boot) <= _BOOT_LIMIT:
        return {"seq": seq, "boot": boot}
    return {}


def _is_address(name: str) -> bool:
    """Whether a name is an IPv6 address and nothing else, as of a thing of one sensor."""
    if "::" not in name and name.count(":") != 7:
        return False
    try:
        return IPv6Address(name).version == 6
    except ValueError:
        return False


def _names(base: str, own: str, device: str, index: int) -> dict[str, str]:
    name = base + own
    if device:
        found = re.search(rf"(?:^|[:/.]){re.escape(device)}(?=$|[:/.])", name)
        sensor = (name if found is None else name[found.end() :]).strip(":/.")
        return {"sensor": sensor} if sensor else {}
    if base and own and base[-1] in ":/." and base.strip(":/."):
        return {"device": base.rstrip(":/."), "sensor": own.strip(":/.")}
    if _DEVICE_URN.fullmatch(name) or _is_address(name):
        return {"device": name}
    if own and own[-1] in ":/." and own.strip(":/."):
        return {"device": name.rstrip(":/.")}  # http://[2001:db8::3]/ is a thing of one sensor
    cut = max((hit.start() for hit in _SEPARATOR.finditer(name)), default=0)
    if not 0 < cut < len(name) - 1:
        raise NotSenml(f"record no. {index + 1} is named {name[:60]!r}, which holds no device and sensor")
    return {"device": name[:cut], "sensor": name[cut + 1 :]}
