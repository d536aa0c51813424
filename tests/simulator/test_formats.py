"""Payload formats: what the ingest side and other people's libraries read out of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cbor2
import pytest
from senml import SenMLDocument

from iotcache.decode.cbor import loads
from iotcache.errors import ConfigError, UsageError
from iotcache_simulator.fleet.formats.encoders import Format, parse_format
from iotcache_simulator.fleet.stream import Message, Timeline
from iotcache_simulator.publish.plan.digest import StreamDigest
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of

TIMELINE = Timeline(end_us=60_000_000, boot="abc")


def messages(payload: Format) -> list[Message]:
    spec = FleetSpec(seed=5, devices=40, payload=payload)
    return stream_of(spec, roster_of(spec), TIMELINE).window(60_000_000)


PLAIN = [json.loads(message[3]) for message in messages(Format())]


def epoch_ms(content: dict[str, str]) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(content["ts"]).timestamp() * 1_000)


def test_cbor_holds_the_same_as_json() -> None:
    for message, plain in zip(messages(Format("cbor")), PLAIN, strict=True):
        assert loads(message[3]) == cbor2.loads(message[3]) == plain | {"ts": epoch_ms(plain)}


def test_another_projects_library_reads_the_same_out_of_senml() -> None:
    kinds, units = set(), set()
    for message, plain in zip(messages(Format("senml")), PLAIN, strict=True):
        pack = SenMLDocument.from_json(json.loads(message[3]))
        (measured,) = (one.to_absolute(pack.base) for one in pack.measurements)
        assert measured.name == f"{plain['device']}/{plain['sensor']}"
        assert measured.value == plain["value"]
        assert measured.time == pytest.approx(epoch_ms(plain) / 1_000, abs=1e-4)
        kinds.add(type(measured.value))
        units.add((plain["unit"], measured.unit))
    assert kinds == {float, bool, str}
    assert {("°C", "Cel"), ("%", "%RH"), ("°", "lat"), ("°", "lon"), ("", None), ("kW", "kW")} <= units


def test_senml_is_a_pack_of_one_record() -> None:
    for message, plain in zip(messages(Format("senml")), PLAIN, strict=True):
        (record,) = json.loads(message[3])
        key = {bool: "vb", str: "vs"}.get(type(plain["value"]), "v")
        assert record[key] == plain["value"]
        assert record["bn"] + record["n"] == f"{plain['device']}/{plain['sensor']}"
        assert math.isclose(record["t"], epoch_ms(plain) / 1_000)
        assert record.get("u") != "°C"


def test_a_users_template_is_filled(tmp_path: Path) -> None:
    file = tmp_path / "line.txt"
    file.write_text("{device},{sensor}={value}{unit} #{seq}/{boot} @{ts_ms} {ts} 100% {{\n")
    made = parse_format(f"template:{file}", lambda name: Path(name).read_text())
    for message, plain in zip(messages(made), PLAIN, strict=True):
        text = message[3].decode()
        assert text.startswith(f"{plain['device']},{plain['sensor']}=")
        assert f"#{plain['seq']}/abc @{epoch_ms(plain)} " in text
        assert text.endswith(" 100% {{")


def test_the_digest_is_the_same_in_every_format() -> None:
    digests = set()
    for payload in (Format(), Format("cbor"), Format("senml"), Format("template", "{value}")):
        digest = StreamDigest(40)
        digest.add(messages(payload))
        digests.add(digest.hexdigest())
    assert len(digests) == 1


def test_an_unknown_format_or_field_is_refused() -> None:
    with pytest.raises(UsageError, match="json, cbor, senml, sparkplug and template"):
        parse_format("xml", str)
    with pytest.raises(ConfigError, match="no field"):
        parse_format("template:x", lambda file: "{valu}")
    with pytest.raises(ConfigError, match="holds no field"):
        parse_format("template:x", lambda file: "value")
