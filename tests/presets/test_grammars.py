"""Messages built from each fleet's own grammar: what was put in is what its preset reads.

The expectation is made beside the message, not read out of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.config.schema import IngestSettings
from iotcache.decode.decoder import Decoder
from iotcache.worker.reader import decoder_for, topics_of
from tests.examples import examples
from tests.presets.documents import NOW_US

Wanted = list[tuple[str, str, Any, str]]


class Built(NamedTuple):
    """Messages in their order, each with what is read of it."""

    messages: list[tuple[str, Any, Wanted]]


_NUMBERS = st.integers(-10_000, 10_000) | st.integers(-(2**20), 2**20).map(lambda n: n / 64)
_WORDS = st.sampled_from(["single", "heat", "idle", "WSW", "n/a", "21,5", "007", "°"])
_EUI = st.text("0123456789abcdef", min_size=16, max_size=16)
_NAMES = st.text("abcdefghij-_ ü", min_size=1, max_size=8)
_ISO = "2026-11-22T12:00:00Z"


def _figures(units: dict[str, str], values: st.SearchStrategy[Any] = _NUMBERS) -> Any:
    """Some of these sensors, each with a value."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(units, values))


_Z2M = {
    "temperature": "°C", "humidity": "%", "power": "W", "energy": "kWh", "linkquality": "", "co2": "ppm",
    "local_temperature": "°C", "illuminance": "lx", "pressure": "hPa", "current": "A",
}  # fmt: skip


@st.composite
def zigbee2mqtt(draw: st.DrawFn) -> Built:
    name = "/".join(draw(st.lists(_NAMES, min_size=1, max_size=3)))
    if name.split("/")[0] == "bridge":
        name = f"x{name}"
    figures = draw(_figures(_Z2M))
    wanted = [(name, key, value, _Z2M[key]) for key, value in figures.items()]
    content = dict(figures)
    if draw(st.booleans()):
        content |= {"battery": 97, "voltage": 2_995}
        wanted += [(name, "battery", 97, "%"), (name, "voltage", 2_995, "mV")]
    elif draw(st.booleans()):
        content |= {"voltage": 229.5}
        wanted += [(name, "voltage", 229.5, "V")]
    if draw(st.booleans()):
        on = draw(st.booleans())
        content |= {"state": "ON" if on else "OFF"}
        wanted += [(name, "state", on, "")]
    for extra in draw(st.sets(st.sampled_from(["action", "update", "last_seen", "device"]))):
        content[extra] = {"action": None, "update": {"state": "idle", "progress": 5}, "last_seen": _ISO,
                          "device": {"model": "x", "type": "Router"}}[extra]  # fmt: skip
    messages: list[tuple[str, Any, Wanted]] = [(f"zigbee2mqtt/{name}", content, wanted)]
    for key in figures.keys() & {"temperature", "humidity", "power"}:
        value = figures[key]
        messages.append((f"zigbee2mqtt/{name}/{key}", value, [(name, key, value, _Z2M[key])]))
    return Built(messages)


_TASMOTA = {"Temperature": "°{}", "Humidity": "%", "DewPoint": "°{}", "Illuminance": "lx",
            "CarbonDioxide": "ppm", "A0": ""}  # fmt: skip
_ENERGY = {"Total": "kWh", "Power": "W", "Voltage": "V", "Current": "A", "Factor": "", "Frequency": "Hz"}


@st.composite
def tasmota(draw: st.DrawFn) -> Built:
    device, scale = draw(_NAMES), draw(st.sampled_from("CF"))
    content: dict[str, Any] = {"Time": "2026-11-22T13:00:00"}
    wanted: Wanted = []
    for chip in draw(st.lists(st.sampled_from(["AM2301", "BME280", "DS18B20-1", "SCD40"]), unique=True)):
        figures = draw(_figures(_TASMOTA))
        content[chip] = {"Id": "01", **figures}
        wanted += [
            (device, f"{chip}/{key}", one, _TASMOTA[key].format(scale)) for key, one in figures.items()
        ]
    if draw(st.booleans()):
        phases = draw(st.integers(1, 3))
        values = _NUMBERS if phases == 1 else st.lists(_NUMBERS, min_size=phases, max_size=phases)
        content["ENERGY"] = draw(_figures(_ENERGY, values))
        for key, value in content["ENERGY"].items():
            many = {"": value} if phases == 1 else {f"/{n}": one for n, one in enumerate(value)}
            wanted += [(device, f"ENERGY/{key}{place}", one, _ENERGY[key]) for place, one in many.items()]
    content["TempUnit"] = scale
    return Built([
        (f"tele/{device}/SENSOR", content, wanted), (f"tele/{device}/STATE", {"Uptime": 5}, []),
        (f"stat/{device}/POWER2", "ON", [(device, "POWER2", True, "")]),
    ])  # fmt: skip


_SHELLY = {"apower": "W", "voltage": "V", "current": "A", "freq": "Hz", "rh": "%", "pf": ""}


@st.composite
def shelly(draw: st.DrawFn) -> Built:
    device, wanted = draw(_NAMES), []
    params: dict[str, Any] = {"ts": NOW_US / 1e6}
    for part in draw(st.lists(st.sampled_from(["switch:0", "em:0", "pm1:1", "cover:0"]), unique=True)):
        figures = draw(_figures(_SHELLY))
        params[part] = {
            "id": 0, **figures, "aenergy": {"total": 5.5, "by_minute": [1.5, 2], "minute_ts": 1},
            "temperature": {"tC": 40.5, "tF": 104.9}, "source": "x",
        }  # fmt: skip
        wanted += [(device, f"{part}/{key}", value, _SHELLY[key]) for key, value in figures.items()]
        wanted += [
            (device, f"{part}/aenergy/total", 5.5, "Wh"),
            (device, f"{part}/temperature/tC", 40.5, "°C"),
        ]
    method = draw(st.sampled_from(["NotifyStatus", "NotifyFullStatus"]))
    return Built([
        (f"{device}/events/rpc", {"src": device, "method": method, "params": params}, wanted),
        (f"{device}/events/rpc", {"src": device, "method": "NotifyEvent", "params": {"events": []}}, []),
    ])  # fmt: skip


_LORA = {"temperature": "°C", "humidity": "%", "co2": "ppm", "TempC_SHT": "°C", "BatV": "V", "counter": ""}


@st.composite
def chirpstack(draw: st.DrawFn) -> Built:
    eui, figures = draw(_EUI), draw(_figures(_LORA, _NUMBERS | st.booleans()))
    channels = draw(st.dictionaries(st.sampled_from("123"), _NUMBERS, max_size=3))
    wanted = [(eui, key, value, _LORA[key]) for key, value in figures.items()]
    wanted += [(eui, f"temperatureSensor/{place}", value, "°C") for place, value in channels.items()]
    up = {"time": _ISO, "devAddr": "01", "fCnt": 4, "deviceInfo": {"applicationName": "a"},
          "object": figures | ({"temperatureSensor": channels} if channels else {})}  # fmt: skip
    level, unknown, mains = draw(st.integers(0, 100)), draw(st.booleans()), draw(st.booleans())
    status = {"time": _ISO, "batteryLevelUnavailable": unknown, "externalPowerSource": mains,
              "batteryLevel": 0 if unknown or mains else level}  # fmt: skip
    return Built([
        (f"application/a/device/{eui}/event/up", up, wanted),
        (f"application/a/device/{eui}/event/status", status,
         [] if unknown or mains else [(eui, "batteryLevel", level, "%")]),
    ])  # fmt: skip


@st.composite
def ttn(draw: st.DrawFn) -> Built:
    device, figures = draw(_EUI), draw(_figures(_LORA))
    listed = draw(st.permutations([("t", 20.5, "°C"), ("h", 40, "%"), ("p", 1_013, "hPa")]))
    decoded = figures | {"m": [{"name": name, "value": value, "unit": unit} for name, value, unit in listed]}
    wanted = [(device, key, value, _LORA[key]) for key, value in figures.items()]
    wanted += [(device, f"m/{name}", value, unit) for name, value, unit in listed]
    up = {"session_key_id": "A", "f_cnt": 5, "decoded_payload": decoded}
    return Built([(f"v3/a@t/devices/{device}/up", {"received_at": _ISO, "uplink_message": up}, wanted)])


_RTL = {"temperature_C": "°C", "temperature_F": "°F", "humidity": "%", "wind_avg_km_h": "km/h",
        "rain_mm": "mm", "pressure_hPa": "hPa", "battery_ok": "", "wind_dir_deg": "°",
        "power_W": "W"}  # fmt: skip


@st.composite
def rtl_433(draw: st.DrawFn) -> Built:
    told: dict[str, Any] = {"model": draw(st.sampled_from(["Prologue-TH", "Acurite-Tower"]))}
    if draw(st.booleans()):
        told["channel"] = draw(st.sampled_from([1, 2, "A"]))
    if draw(st.booleans()):
        told["id"] = draw(st.sampled_from([0, 37, "fb1b"]))
    device = "-".join(str(told[key]) for key in ("model", "channel", "id") if key in told)
    figures = draw(_figures(_RTL))
    content = {"time": "2026-11-22 13:00:00", **told, **figures, "mic": "CRC", "rssi": -0.1}
    return Built(
        [("rtl_433/pi/events", content, [(device, key, one, _RTL[key]) for key, one in figures.items()])]
    )


@st.composite
def homie(draw: st.DrawFn) -> Built:
    device, node, unit = draw(_EUI), "node-1", draw(st.sampled_from(["°C", "°F", "kWh", "%"]))
    value = draw(_NUMBERS | st.booleans() | _WORDS.filter(lambda word: word not in ("21,5", "007")))
    base = f"homie/{device}"
    told: tuple[str, Any, Wanted] = (f"{base}/{node}/temp/$unit", unit, [])
    if draw(st.booleans()):
        base = f"homie/5/{device}"
        about = {"nodes": {node: {"properties": {"temp": {"unit": unit, "datatype": "float"}}}}}
        told = (f"{base}/$description", about, [])
    text = json.dumps(value) if not isinstance(value, str) else value
    return Built([
        told, (f"{base}/$state", "ready", []),
        (f"{base}/{node}/temp", text, [(device, f"{node}/temp", value, unit)]),
        (f"{base}/{node}/temp/set", "5", []),
    ])  # fmt: skip


@st.composite
def home_assistant(draw: st.DrawFn) -> Built:
    node, unit, short = draw(_EUI), draw(st.sampled_from(["°F", "kW", "µg/m³"])), draw(st.booleans())
    path = draw(st.lists(st.sampled_from(["load", "air", "x"]), min_size=1, max_size=3))
    how = draw(st.sampled_from([".{}", "['{}']"]))
    template = (
        "{{ value_json" + "".join(how.format(step) for step in path) + draw(st.sampled_from(["", " | float"]))
    )
    state = f"homeassistant/sensor/{node}/state"
    config = {"state_topic": state, "unit_of_measurement": unit, "value_template": template + " }}"}
    if short:
        config = {"stat_t": "~/state", "~": state[:-6], "unit_of_meas": unit, "val_tpl": template + " }}"}
    value = draw(_NUMBERS)
    content: Any = value
    for step in reversed(path):
        content = {step: content}
    return Built([
        (f"homeassistant/sensor/{node}/temp/config", config, []),
        (state, content, [(node, "/".join(path), value, unit)]),
    ])  # fmt: skip


@st.composite
def aws_shadow(draw: st.DrawFn) -> Built:
    thing, figures = (
        draw(_EUI),
        draw(_figures(dict.fromkeys("abc", ""), _NUMBERS | st.booleans() | st.just("x"))),
    )
    shadow = draw(st.sampled_from(["", "pump"]))
    topic = f"$aws/things/{thing}/shadow/" + (f"name/{shadow}/" if shadow else "") + "update/accepted"
    content = {
        "state": {"reported": figures | {"n": {"o": 1.5}}, "desired": {"a": 7}},
        "timestamp": NOW_US // 10**6,
    }
    above = f"{shadow}/" if shadow else ""
    wanted = [(thing, above + key, value, "") for key, value in figures.items()]
    return Built([(topic, content, [*wanted, (thing, f"{above}n/o", 1.5, "")])])


GRAMMARS: dict[str, Callable[[], st.SearchStrategy[Built]]] = {
    "zigbee2mqtt": zigbee2mqtt, "tasmota": tasmota, "shelly-gen2": shelly, "chirpstack": chirpstack,
    "ttn": ttn, "rtl_433": rtl_433, "homie": homie,
    "home-assistant-discovery": home_assistant, "aws-shadow": aws_shadow,
}  # fmt: skip


@cache
def _decoder(name: str) -> Decoder:
    ingest = IngestSettings(topics=(), preset=(name,))
    return decoder_for(ingest, topics_of(ingest))


@pytest.mark.parametrize("name", GRAMMARS)
@settings(max_examples=examples(12), deadline=None)
@given(data=st.data())
def test_what_a_fleet_says_is_what_its_preset_reads(name: str, data: st.DataObject) -> None:
    decoder = _decoder(name)
    for topic, content, wanted in data.draw(GRAMMARS[name]()).messages:
        raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        found = decoder.decode(topic, raw, NOW_US)
        readings = found if isinstance(found, list) else []
        assert wanted or not isinstance(found, list) or not found
        assert [(one.device, one.sensor, one.value, one.unit) for one in readings] == wanted, found
        assert all(
            type(one.value) is type(value) for one, (_, _, value, _) in zip(readings, wanted, strict=True)
        )
