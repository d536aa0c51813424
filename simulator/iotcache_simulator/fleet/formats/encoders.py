"""Payload formats: a reading as bytes, in the way that each kind of fleet writes it.

``json`` is the default payload and has a template of its own (see
`iotcache_simulator.fleet.formats.payload`), because it is
what nearly everybody sends. The others are made here: ``cbor`` has the same fields in CBOR (RFC 8949),
``senml`` is a SenML pack of one record (RFC 8428), ``sparkplug`` a Sparkplug B payload, ``template:FILE`` is
a text of the user's with fields.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from msgspec import Struct

from iotcache.errors import ConfigError, UsageError
from iotcache_simulator.fleet.definition import Sensor
from iotcache_simulator.fleet.formats import sparkplug
from iotcache_simulator.fleet.formats.payload import value_texts
from iotcache_simulator.fleet.formats.template import Template

Encode = Callable[[bytes, "float | bytes", int, int, bytes], bytes]
"""``(device, value, time shown in µs, seq, boot) -> payload``. States come as their JSON texts."""

NAMES = ("json", "cbor", "senml", "sparkplug")
SPARKPLUG = "sparkplug"
_SENML_UNITS = {"°C": "Cel", "": None}
"""Units that SenML (section 12.1) writes otherwise than people do; others go as they are."""
_SENML_BY_SENSOR = {"lat": "lat", "lon": "lon", "humidity": "%RH", "battery": "%EL"}
_pack_double = struct.Struct(">d").pack


class Format(Struct, frozen=True):
    """Which payload a fleet sends."""

    name: str = "json"
    template: str = ""
    """The user's text, for ``template``: it becomes the message of every class."""
    aliases: bool = False
    """Whether metrics of Sparkplug go by their aliases."""

    def encoder(self, sensor: Sensor) -> Encode | None:
        """How a sensor's readings are written; ``None`` for JSON, which is written by its template."""
        if self.name == "cbor":
            return _cbor(sensor)
        if self.name == "senml":
            return _senml(sensor)
        if self.name == SPARKPLUG:
            return _sparkplug(sensor, by_alias=self.aliases)
        return None


def parse_format(text: str, read: Callable[[str], str]) -> Format:
    """``json``, ``cbor``, ``senml``, ``sparkplug`` or ``template:FILE``; ``read`` gives a file's text.

    Raises `UsageError` for another name, `ConfigError` for a template that cannot be filled.
    """
    if text in NAMES:
        return Format(text)
    if text == "sparkplug:aliases":
        return Format(SPARKPLUG, aliases=True)
    name, _, file = text.partition(":")
    if name != "template" or not file:
        raise UsageError(f"--format {text!r}: there are {', '.join(NAMES)} and template:FILE")
    template = read(file).rstrip("\n")
    if not Template(template, file).fields:
        raise ConfigError(f"{file}: the template holds no field such as {{value}}")
    return Format("template", template)


def _states(sensor: Sensor) -> dict[bytes, bool | str]:
    """What a state's JSON text stands for."""
    if sensor.kind == "number":
        return {}
    return {text: json.loads(text) for text in value_texts(sensor)}


def _text(data: bytes) -> bytes:
    """A CBOR text string (RFC 8949, 3.1, major type 3)."""
    return _head(3, len(data)) + data


def _head(major: int, value: int) -> bytes:
    """The head of a CBOR item: its type and a number, in the shortest form."""
    if value < 24:
        return bytes([major << 5 | value])
    for size, mark in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if value < 1 << (8 * size):
            return bytes([major << 5 | mark]) + value.to_bytes(size, "big")
    raise ValueError("a number of more than 64 bits")


def _cbor(sensor: Sensor) -> Encode:
    states = {
        text: (b"\xf5" if state else b"\xf4") if isinstance(state, bool) else _text(state.encode())
        for text, state in _states(sensor).items()
    }
    whole = sensor.precision == 0
    start = b"\xa7" + _text(b"device")
    middle = _text(b"sensor") + _text(sensor.name.encode()) + _text(b"value")
    after = _text(b"unit") + _text(sensor.unit.encode()) + _text(b"ts")
    seq_key, boot_key = _text(b"seq"), _text(b"boot")

    def encode(device: bytes, value: float | bytes, shown_us: int, seq: int, boot: bytes) -> bytes:
        if isinstance(value, bytes):
            item = states[value]
        elif whole:
            number = int(value)
            item = _head(0, number) if number >= 0 else _head(1, -1 - number)
        else:
            item = b"\xfb" + _pack_double(value)
        return b"".join(
            (
                start, _text(device), middle, item, after, _head(0, shown_us // 1_000),
                seq_key, _head(0, seq), boot_key, _text(boot),
            )
        )  # fmt: skip

    return encode


def _senml(sensor: Sensor) -> Encode:
    states = {
        text: f'"vb":{json.dumps(state)}' if isinstance(state, bool) else f'"vs":{json.dumps(state)}'
        for text, state in _states(sensor).items()
    }
    unit = _SENML_BY_SENSOR.get(sensor.name, _SENML_UNITS.get(sensor.unit, sensor.unit))
    unit_text = f'"u":{json.dumps(unit, ensure_ascii=False)},' if unit else ""
    name, precision = json.dumps(sensor.name), sensor.precision

    def encode(device: bytes, value: float | bytes, shown_us: int, seq: int, boot: bytes) -> bytes:
        rendered = states[value] if isinstance(value, bytes) else f'"v":{value:.{precision}f}'
        seconds, ms = divmod(shown_us // 1_000, 1_000)
        return (
            f'[{{"bn":"{device.decode()}/","n":{name},{unit_text}{rendered},"t":{seconds}.{ms:03d},'
            f'"seq":{seq},"boot":"{boot.decode()}"}}]'
        ).encode()

    return encode


def _sparkplug(sensor: Sensor, *, by_alias: bool) -> Encode:
    states, datatype, name = _states(sensor), sparkplug.datatype_of(sensor), sensor.name
    aliases: dict[bytes, int] = {}

    def encode(device: bytes, value: float | bytes, shown_us: int, seq: int, boot: bytes) -> bytes:
        rendered = states[value] if isinstance(value, bytes) else value
        ts_ms = shown_us // 1_000
        if not by_alias:
            return sparkplug.payload(ts_ms, [sparkplug.metric(name, datatype, rendered, ts_ms)])
        alias = aliases.get(device)
        if alias is None:
            alias = aliases[device] = sparkplug.alias_of(device.decode(), name)
        return sparkplug.payload(ts_ms, [sparkplug.metric("", datatype, rendered, ts_ms, alias)])

    return encode
