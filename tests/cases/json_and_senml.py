"""Messages of fleets that we did not write, with what has to become of each: JSON, SenML and bare values.

Each stands for a kind of mistake that public reports tell of; the bytes are built here, with times of now.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from tests.cases.case import Case
from tests.cases.rfc8428_examples import EXAMPLES, as_cbor

NOW_S = int(time.time())
OW = "10e2073a01080063"


def iso(seconds: float, digits: int = 0, zone: timezone = UTC) -> str:
    at = datetime.fromtimestamp(seconds, zone)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + ("." + "123456789"[:digits] if digits else "") + "Z"


def packed(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


MAPPINGS: dict[str, dict[str, Any]] = {
    "rtl_433": {
        "topic": "rtl_433/{site}/events", "device": "{model}-{id}", "ts": "time", "zone": "Asia/Tokyo",
        "ignore": ["channel"], "units": {"*_C": "°C"},
    },
    "gateway": {
        "topic": "up/+", "readings": "m", "ts": "$.t", "ts_unit": "s", "device": "id", "sensor": "k",
        "value": "v[0]", "unit": "v[1]",
    },
    "cayenne": {
        "topic": "application/{site}/device/{device}/event/up", "ts": "time", "value": "object.*",
        "units": {"temperatureSensor/*": "°C"},
    },
    "pairs": {"topic": "m/{device}"},
    "quoted": {
        "topic": "meters/{device}/{sensor}", "value": "value", "ts": "ts", "units": {"main": "m³"},
    },
    "z2m": {
        "topic": "zigbee2mqtt/{device…}", "ts": "last_seen", "ignore": ["device/*", "update/*"],
        "states": {"ON": True, "OFF": False}, "units": {"temperature": "°C", "battery": "%"},
    },
    "tele": {
        "topic": "tele/{device}/SENSOR", "ts": "Time", "zone": "Europe/Berlin", "ignore": ["TempUnit"],
        "units": {"Temperature": "°{TempUnit}"},
    },
    "tele state": {"topic": "tele/{device}/STATE", "pass_over": True},
    "rest": {"topic": "plant/{device}/{rest…}", "states": {"open": 1, "closed": 0}},
    "aws": {
        "topic": "$aws/things/{device}/shadow/update/accepted", "value": "state.reported.*",
        "ts": "timestamp", "ts_unit": "s",
    },
    "ttn": {
        "topic": "v3/{site}/devices/{device}/up", "ts": "received_at", "seq": "uplink_message.f_cnt",
        "boot": "uplink_message.session_key_id", "value": "uplink_message.decoded_payload.*",
    },
}  # fmt: skip


def ttn(count: int, value: float, at_s: float, session: str) -> bytes:
    up: dict[str, Any] = {"session_key_id": session, "f_port": 1, "decoded_payload": {"temperature": value}}
    if count:
        up["f_cnt"] = count  # fields that are zero are left out
    return packed({"received_at": iso(at_s, 9), "uplink_message": up})


def _where() -> bytes:
    rows: list[tuple[int, str | None, float]] = [
        (0, None, 20.0), (0, "lon", 24.30621), (0, "lat", 60.07965), (60, None, 20.3), (60, "lon", 24.30622),
        (60, "lat", 60.07965), (120, None, 20.7), (120, "lon", 24.30623), (120, "lat", 60.07966),
        (150, "%EL", 98.0), (180, None, 21.2), (180, "lon", 24.30628), (180, "lat", 60.07967),
    ]  # fmt: skip
    records: list[dict[str, Any]] = [
        {"v": value, "t": at} | ({"u": unit} if unit else {}) for at, unit, value in rows
    ]
    records[0] |= {"bn": f"urn:dev:ow:{OW}", "bt": NOW_S - 300, "bu": "%RH"}
    return packed(records)


def _rfc8428() -> Iterator[Case]:
    """All examples of RFC 8428, of a device that the topic names, with their times a few minutes ago."""
    for number, (name, (pack, resolved)) in enumerate(EXAMPLES.items()):
        stated = [at for one in pack for at in (one.get("bt"), one.get("t")) if at and at > 1 << 28]
        later_s = NOW_S - 300 - round(min(stated)) if stated else 0
        moved = [
            {key: at + later_s if key in ("bt", "t") and at > 1 << 28 else at for key, at in one.items()}
            for one in pack
        ]
        units: dict[str, set[str]] = {}
        for full, unit, _, _ in resolved:
            units.setdefault(full, set()).add(unit)
        for form, payload in (("JSON", packed(moved)), ("CBOR", as_cbor(moved))):
            device = f"rfc-{number}-{form}"
            yield Case(
                f"RFC 8428, {name}, {form}", f"iot/s/{device}/senml", payload,
                [(device, full.strip(":/.") + (f"/{unit}" if len(units[full]) > 1 else ""), value,
                  {"Cel": "°C", "/": ""}.get(unit, unit)) for full, unit, value, _ in resolved],
            )  # fmt: skip


_BASE = f"urn:dev:ow:{OW}:"
_WHERE = (
    [("%RH", value) for value in (20.0, 20.3, 20.7, 21.2)]
    + [("lon", value) for value in (24.30621, 24.30622, 24.30623, 24.30628)]
    + [("lat", value) for value in (60.07965, 60.07965, 60.07966, 60.07967)]
    + [("%EL", 98.0)]
)
_TOKYO = (datetime.fromtimestamp(NOW_S, UTC) + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S")
BERLIN = datetime.fromtimestamp(NOW_S, ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%dT%H:%M:%S")

CASES = [
    Case(
        "a label that ends in an underscore", f"iot/s/{OW}/senml",
        packed([{"bn": _BASE, "n": "temp", "u": "Cel", "v": 23.1, "zone_": "x"}]), [], "zone_",
    ),
    Case(
        "a decimal fraction in CBOR", "iot/s/tag4/senml",
        bytes.fromhex("81a3006474656d70016343656c02c4822018eb"), [("tag4", "temp", 23.5, "°C")],
    ),
    Case(
        "a bigfloat in CBOR", "iot/s/tag5/senml",
        bytes.fromhex("81a2006474656d7002c5822003"), [("tag5", "temp", 1.5, "")],
    ),
    Case(
        "several units under one name", f"iot/s/{OW}/where", _where(),
        [(OW, f"where/{unit}", value, unit) for unit, value in _WHERE],
    ),
    Case(
        "a text, a truth value and binary data", f"iot/s/{OW}/senml",
        packed([{"bn": _BASE, "n": "temp", "u": "Cel", "v": 23.1}, {"n": "label", "vs": "Machine Room"},
                {"n": "open", "vb": False}, {"n": "nfv-reader", "vd": "aGkgCg"}]),
        [(OW, "temp", 23.1, "°C"), (OW, "label", "Machine Room", ""), (OW, "open", False, "")],
    ),
    Case(
        "a sum without a value", "iot/s/meter-sum/senml",
        packed([{"bn": "meter-sum:", "n": "power", "u": "W", "v": 40}, {"n": "energy", "u": "J", "s": 500}]),
        [("meter-sum", "power", 40, "W")],
    ),
    Case(
        "a sensor called value", "iot/s/named-value/senml",
        packed([{"bn": "named-value:", "n": "value", "u": "Cel", "v": 1}]),
        [("named-value", "value", 1, "°C")],
    ),
    Case(
        "a path of LwM2M in the base name", "iot/s/lwm2m-a/senml",
        packed([{"bn": "/3303/0/", "n": "5700", "u": "Cel", "v": 22.9}]),
        [("lwm2m-a", "3303/0/5700", 22.9, "°C")],
    ),
    Case(
        "a path of LwM2M without a base name", "iot/s/lwm2m-b/senml",
        packed([{"n": "/3303/0/5700", "u": "Cel", "v": 22.9}]), [("lwm2m-b", "3303/0/5700", 22.9, "°C")],
    ),
    Case(
        "times relative to now, of the past and the future", "iot/s/relative/senml",
        packed([{"bn": "relative:", "n": "temp", "u": "Cel", "v": 1, "t": -30},
                {"n": "temp", "u": "Cel", "v": 2}, {"n": "temp", "u": "Cel", "v": 3, "t": 100}]),
        [("relative", "temp", value, "°C") for value in (1, 2, 3)],
    ),
    Case(
        "a tag for times in CBOR", "iot/s/tag1/senml",
        b"\x81\xa4\x22\xc1\x1a" + struct.pack(">I", NOW_S - 5)
        + bytes.fromhex("006474656d70016343656c02f94d00"),
        [("tag1", "temp", 20.0, "°C")],
    ),
    Case(
        "a frame counter of the first session", "v3/app/devices/eui-1/up", ttn(1, 21.0, NOW_S - 600, "AAAA"),
        [("eui-1", "temperature", 21.0, "")], mapping="ttn",
    ),
    Case(
        "a frame counter that starts again after a join", "v3/app/devices/eui-1/up",
        ttn(1, 31.0, NOW_S - 1, "BBBB"), [("eui-1", "temperature", 31.0, "")], mapping="ttn",
    ),
    Case(
        "a device that only the payload names", "rtl_433/pi/events",
        packed({"time": _TOKYO, "model": "Prologue-TH", "id": 37, "channel": 1, "temperature_C": 17.4}),
        [("Prologue-TH-37", "temperature_C", 17.4, "°C")], mapping="rtl_433",
    ),
    Case(
        "a gateway that speaks for two", "up/gw-7",
        packed({"gw": "gw-7", "t": NOW_S, "m": [{"id": 17, "k": "flow", "v": [1.5, "l/s"]},
                                                {"id": 18, "k": "flow", "v": [2.5, "l/s"]}]}),
        [("17", "flow", 1.5, "l/s"), ("18", "flow", 2.5, "l/s")], mapping="gateway",
    ),
    Case(
        "values that are objects by channel", "application/a/device/0101010101010101/event/up",
        packed({"deviceInfo": {"devEui": "0101010101010101"}, "time": iso(NOW_S, 6), "fCnt": 4,
                "object": {"temperatureSensor": {"1": 25.0}, "humiditySensor": {"1": 32.0}}}),
        [("0101010101010101", "temperatureSensor/1", 25.0, "°C"),
         ("0101010101010101", "humiditySensor/1", 32.0, "")], mapping="cayenne",
    ),
    Case(
        "pairs of a value and a unit", "m/pairs",
        packed({"temperature": {"value": 14.6, "unit": "°C"}, "humidity": {"value": 51, "unit": "%"}}),
        [("pairs", "temperature", 14.6, "°C"), ("pairs", "humidity", 51, "%")], mapping="pairs",
    ),
    Case(
        "a number in quotes", "meters/water/main",
        packed({"value": "317.3988", "raw": "00317.3988", "error": "no error",
                "ts": datetime.fromtimestamp(NOW_S, timezone(timedelta(hours=1))).strftime(
                    "%Y-%m-%dT%H:%M:%S%z")}),
        [("water", "main", 317.3988, "m³")], mapping="quoted",
    ),
    Case("a NUL after JSON", "iot/s/nul/json", b'{"value":15}\0', [("nul", "json", 15, "")]),
    Case("a NUL after a number", "iot/s/nul/number", b"21.5\0", [("nul", "number", 21.5, "")]),
    Case("a NUL after a pack", "iot/s/nul/senml", b'[{"n":"a","v":1}]\0\0', [("nul", "a", 1, "")]),
    Case("a mark before JSON", "iot/s/bom/json", b'\xef\xbb\xbf{"value":15}', [("bom", "json", 15, "")]),
    Case("a mark before a number", "iot/s/bom/number", b"\xef\xbb\xbf21.5", [("bom", "number", 21.5, "")]),
    Case("ON", "iot/s/bare/relay", b"ON", [("bare", "relay", True, "")]),
    Case("off", "iot/s/bare/relay2", b"off\n", [("bare", "relay2", False, "")]),
    Case("nan", "iot/s/bare/a", b"nan", [], "neither JSON nor a number"),
    Case("a number beyond a float", "iot/s/bare/b", b"1e400", [], "inf"),
    Case("a number in white space", "iot/s/bare/c", b" 21.5 \n", [("bare", "c", 21.5, "")]),
    Case("a decimal comma", "iot/s/bare/d", b"21,5", [], "neither JSON nor a number"),
    Case("minus nought", "iot/s/bare/e", b"-0", [("bare", "e", 0, "")]),
    Case("a word that is no state here", "iot/s/bare/f", b"unavailable", [], "neither JSON nor a number"),
    Case(
        "states, nulls and what is no reading", "zigbee2mqtt/kitchen/lamp",
        packed({"battery": 97, "state": "ON", "temperature": 21.4, "color": {"x": 0.3, "y": 0.31},
                "update": {"state": "idle"}, "action": None, "device": {"friendlyName": "lamp"},
                "last_seen": iso(NOW_S)}),
        [("kitchen/lamp", "battery", 97, "%"), ("kitchen/lamp", "state", True, ""),
         ("kitchen/lamp", "temperature", 21.4, "°C"), ("kitchen/lamp", "color/x", 0.3, ""),
         ("kitchen/lamp", "color/y", 0.31, "")], mapping="z2m",
    ),
    Case(
        "a local time, and the unit beside its sensors", "tele/attic/SENSOR",
        packed({"Time": BERLIN, "DS18x20": {"DS1": {"Type": "DS18B20", "Temperature": 20.8}},
                "TempUnit": "F"}),
        [("attic", "DS18x20/DS1/Type", "DS18B20", ""), ("attic", "DS18x20/DS1/Temperature", 20.8, "°F")],
        mapping="tele",
    ),
    Case("a message that is passed over", "tele/attic/STATE", b'{"Uptime":5}', [], mapping="tele state"),
    Case("nothing in it", "m/empty", b'{"a":null,"b":{"c":null}}', [], mapping="pairs"),
    Case("a state", "plant/boiler/valve/2", b"open", [("boiler", "valve/2", 1, "")], mapping="rest"),
    Case("a topic of another depth", "plant/boiler/t", b"61.5", [("boiler", "t", 61.5, "")], mapping="rest"),
    Case(
        "a topic of a cloud's own", "$aws/things/thing-1/shadow/update/accepted",
        packed({"state": {"reported": {"temp": 21.5, "at": {"lat": 1.5}}}, "version": 5, "timestamp": NOW_S}),
        [("thing-1", "temp", 21.5, ""), ("thing-1", "at/lat", 1.5, "")], mapping="aws",
    ),
    Case("a compressed payload", "iot/s/zip/t", b"\x1f\x8b\x08\0\0\0\0\0", [], "neither JSON nor a number"),
    *_rfc8428(),
]  # fmt: skip
