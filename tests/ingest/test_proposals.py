"""What is proposed for a message that nobody reads makes it readable, whatever is in it."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.config.presets import preset_names
from iotcache.config.schema import IngestSettings
from iotcache.decode.explanation import NOT_SUBSCRIBED, NOTHING, READ, Explainer
from iotcache.decode.mapping.flatten import leaves
from iotcache.decode.mapping.proposal import propose
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.outcomes import PartlyDecoded
from iotcache.model import Reading
from iotcache.worker.reader import decoder_for, topics_of
from tests.examples import examples

NOW_US = 1_795_348_800_000_000


def pasted(text: str) -> IngestSettings:
    """The settings of a configuration that holds nothing but the proposal."""
    tables = tomli.loads(text)["ingest"]["mapping"]
    return IngestSettings(topics=(), mapping=tuple(msgspec.convert(one, IngestMapping) for one in tables))


def applied(text: str, topic: str, payload: bytes) -> list[Reading]:
    ingest = pasted(text)
    topics = topics_of(ingest)
    found = decoder_for(ingest, topics).decode(topic, payload, NOW_US)
    if isinstance(found, PartlyDecoded):
        return found.readings
    assert isinstance(found, list), found
    return found


def explained(topic: str, payload: bytes) -> Any:
    ingest = IngestSettings()
    topics = topics_of(ingest)
    presets = []
    for name in preset_names():
        alone = IngestSettings(topics=(), preset=name)
        presets.append((name, decoder_for(alone, topics_of(alone))))
    return Explainer(decoder_for(ingest, topics), topics, presets).explain(topic, payload, NOW_US)


@pytest.mark.parametrize(
    ("topic", "content", "readings"),
    [
        ("heating/boiler-7/state", {"flow": 61.5, "return": {"t": 44.0}, "time": "2026-11-22T11:59:00Z"},
         [("boiler-7", "flow", 61.5), ("boiler-7", "return/t", 44.0)]),
        ("gw/up", {"device_id": "a1", "temp": 21.5, "ts": 1_795_348_790}, [("a1", "temp", 21.5)]),
        ("field/77/soil/moisture", 31.5, [("77", "moisture", 31.5)]),
        ("acme/line/data", [{"id": 17, "v": 1.5}, {"id": 18, "v": 2.5}],
         [("17", "v", 1.5), ("18", "v", 2.5)]),
        ("x/dev-1", {"sensor": "pressure", "value": 3.5, "unit": "bar"}, [("dev-1", "pressure", 3.5)]),
        ("pump", 5, [("pump", "value", 5)]),
        # KEPServer's gateway, N3uron, an envelope of Azure's, another one
        ("iotgateway", {"timestamp": 1_795_348_790_123, "values": [
            {"id": "Ch1.Temp", "v": 21.5, "q": True, "t": 1_795_348_790_100},
            {"id": "Ch1.Run", "v": False, "q": True, "t": 1_795_348_790_100},
            {"id": "Ch1.Broken", "v": 0, "q": False, "t": 1_795_348_790_100}]},
         [("iotgateway", "Ch1.Temp", 21.5), ("iotgateway", "Ch1.Run", False)]),
        ("plc", {"time": "2026-11-22T11:59:00Z", "serial": "s7", "d": {"tags": [
            {"tag": "a", "value": 1.5, "quality": 192}, {"tag": "b", "value": 2, "quality": 192}]}},
         [("s7", "a", 1.5), ("s7", "b", 2)]),
        ("azure", {"body": {"temperature": 27.5}, "systemProperties": {
            "iothub-connection-device-id": "dev-1"}, "enqueuedTime": "2026-11-22T11:59:59Z"},
         [("dev-1", "temperature", 27.5)]),
        ("gw", {"meta": {"deviceId": "a1", "ts": 1_795_348_790}, "payload": {"t": 1.5, "h": {"in": 2}}},
         [("a1", "t", 1.5), ("a1", "h/in", 2)]),
        ("acme/v2/site-9/airnode-0042/telemetry", {
            "hdr": {"ts": 1_795_348_790, "fw": "2.1.4"}, "id": "x7", "firmware": "1.0",
            "status": {"rssi": -61},
            "measurements": [{"name": "co2", "val": 612, "uom": "ppm"}, {"name": "temp", "val": 22.5}]},
         [("airnode-0042", "hdr/fw", "2.1.4"), ("airnode-0042", "status/rssi", -61),
          ("airnode-0042", "measurements/co2", 612), ("airnode-0042", "measurements/temp/val", 22.5)]),
        ("a/b1/j", {"n": [1, 2, {"x": 3}]}, [("b1", "n/0", 1), ("b1", "n/1", 2), ("b1", "n/2/x", 3)]),
    ],
)  # fmt: skip
def test_a_proposal_finds_device_time_and_values(
    topic: str, content: Any, readings: list[tuple[str, str, Any]]
) -> None:
    payload = json.dumps(content).encode()
    proposal = propose(topic, payload, NOW_US)
    assert proposal is not None
    found = applied(proposal.text, topic, payload)
    assert [(one.device, one.sensor, one.value) for one in found] == readings
    stated = bool(proposal.mapping.ts)
    assert stated == any(word in json.dumps(content) for word in ('"time', '"ts"', '"enqueuedTime'))
    assert all((one.ts_us < NOW_US) == stated for one in found)


_S = 1_795_348_790
_AGES: list[tuple[str, Any, list[tuple[str, str, Any, int]]]] = [
    # Ubidots, a gateway of nodes: each value has its time
    ("up/a1", {"t": {"value": 1.5, "timestamp": _S * 1_000},
               "h": {"value": 2.5, "timestamp": (_S - 60) * 1_000}},
     [("a1", "t", 1.5, 10), ("a1", "h", 2.5, 70)]),
    ("up/a1", {"at": 5, "nodes": {"n1": {"t": 1.5, "ts": _S}, "n2": {"t": 2.5, "ts": _S - 60}}},
     [("a1", "at", 5, 0), ("a1", "nodes/n1/t", 1.5, 10), ("a1", "nodes/n2/t", 2.5, 70)]),
    # SIMATIC's connector: what its code calls bad is left out
    ("plc/data", {"seq": 1, "vals": [{"id": "101", "ts": "2026-11-22T11:59:50Z", "qc": 3, "val": 21.5},
                                     {"id": "102", "ts": "2026-11-22T11:59:50Z", "qc": 0, "val": 0}]},
     [("plc", "101", 21.5, 10)]),
    # Sensor.Community: what there is of sensors changes their places
    ("air/5", {"sensordatavalues": [{"value_type": "P1", "value": "5.20"},
                                    {"value_type": "temp", "value": "21.5"}]},
     [("5", "sensordatavalues/P1", 5.2, 0), ("5", "sensordatavalues/temp", 21.5, 0)]),
    ("bms/5", {"cells": [{"id": 2, "v": 3.3}, {"id": 1, "v": 3.4}]},
     [("5", "cells/2/v", 3.3, 0), ("5", "cells/1/v", 3.4, 0)]),
    # Loriot, Particle, a meter of NB-IoT, WeeWX: who sends, and when, by other names
    ("lora/rx", {"cmd": "rx", "EUI": "BE7A", "ts": _S * 1_000, "decoded": {"t": 1.5}},
     [("BE7A", "cmd", "rx", 10), ("BE7A", "decoded/t", 1.5, 10)]),
    ("events/all", {"data": "21.5", "published_at": "2026-11-22T11:59:50Z", "coreid": "e00f"},
     [("e00f", "data", 21.5, 10)]),
    ("nbiot/up", {"IMEI": "866207053462762", "t": 22.3}, [("866207053462762", "t", 22.3, 0)]),
    ("weather/loop", {"dateTime": f"{_S}.0", "outTemp_C": "21.5"}, [("loop", "outTemp_C", 21.5, 10)]),
    # A date is no time, but with the time of day beside it
    ("plc/7", {"date": "2026-11-22", "time": "11:59:50", "t": 1.5}, [("7", "t", 1.5, 10)]),
    ("plc/7", {"date": "2026-11-22", "t": 1.5}, [("7", "date", "2026-11-22", 0), ("7", "t", 1.5, 0)]),
    ("plc/7", {"install_date": "2020-11-22T11:59:50Z", "runtime": 5, "t": 1.5},
     [("7", "install_date", "2020-11-22T11:59:50Z", 0), ("7", "runtime", 5, 0), ("7", "t", 1.5, 0)]),
]  # fmt: skip


@pytest.fixture
def in_utc() -> Iterator[None]:
    """This process's own time zone is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(("topic", "content", "readings"), _AGES)
def test_who_sent_what_and_when_is_found_by_whatever_names(
    topic: str, content: Any, readings: list[tuple[str, str, Any, int]]
) -> None:
    payload = json.dumps(content).encode()
    proposal = propose(topic, payload, NOW_US)
    assert proposal is not None
    found = applied(proposal.text, topic, payload)
    assert [
        (one.device, one.sensor, one.value, round((NOW_US - one.ts_us) / 1e6)) for one in found
    ] == readings


@pytest.mark.parametrize("time", [12, 0, "1970-01-01T00:00:12Z", 1_795_348_790_000_000_000_000, -5])
@pytest.mark.parametrize("is_deep", [False, True])
def test_a_time_of_a_clock_that_was_never_set_is_no_measurement(time: Any, is_deep: bool) -> None:
    content = {"dev": "a1", "data": {"temp": 21.5, "hum": 40}} | (
        {"meta": {"timestamp": time}} if is_deep else {"ts": time}
    )
    payload = json.dumps(content).encode()
    proposal = propose("gw/7f/tele", payload, NOW_US)
    assert proposal is not None
    found = applied(proposal.text, "gw/7f/tele", payload)
    assert [(one.sensor, one.value, one.ts_us // 10) for one in found] == [
        ("temp", 21.5, NOW_US // 10), ("hum", 40, NOW_US // 10)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("heat/k1", b'{"power": "0.5 kW", "t1": "44.75 \xc2\xb0C", "n": 3}'),
        ("heat/k1/flow", b"44.75 \xc2\xb0C"),
    ],
)
def test_numbers_with_their_units_in_texts_are_proposed_as_both(topic: str, payload: bytes) -> None:
    proposal = propose(topic, payload, NOW_US)
    assert proposal is not None
    found = applied(proposal.text, topic, payload)
    assert {(one.value, one.unit) for one in found} >= {(44.75, "°C")}


def test_the_topics_of_messages_alike_show_where_the_device_is() -> None:
    topic = "site/kitchen/climate/now"
    proposal = propose(topic, b'{"t": 1}', NOW_US, ["site/attic/climate/now", "site/cellar/climate/now"])
    assert proposal is not None
    assert proposal.mapping.topic == "site/{device}/climate/now"
    others = [f"acme/site-{n % 2}/node-{n}/up" for n in range(4)]
    proposal = propose(others[0], b'{"t": 1}', NOW_US, others)
    assert proposal is not None
    assert proposal.mapping.topic == "acme/{site}/{device}/up"


def test_a_mapping_that_took_a_message_is_not_proposed_away() -> None:
    ingest = IngestSettings(topics=(), preset="chirpstack")
    topics = topics_of(ingest)
    explainer = Explainer(decoder_for(ingest, topics), topics)
    uplink = b'{"time":"2026-11-22T12:00:00Z","fCnt":5,"data":"qg=="}'
    found = explainer.explain("application/3d1f/device/0101010101010101/event/up", uplink, NOW_US)
    assert (found.outcome, found.proposal) == (NOTHING, "")
    assert found.trials
    other = explainer.explain("acme/n1/up", b'{"t": 1}', NOW_US, ["acme/n2/up", "acme/n3/x/up"])
    assert (other.outcome, other.covered) == (NOT_SUBSCRIBED, 2)


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=8) | st.sampled_from(
    ["ts", "time", "id", "device", "value", "unit", "sensor", "a.b", "it's", "x]", "$", "="]
)
_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    _NUMBERS | st.booleans() | st.none() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=12,
)
_LEVELS = st.text(st.characters(codec="utf-8", exclude_characters="/+#\0"), max_size=8)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(_LEVELS, min_size=1, max_size=5), st.dictionaries(_NAMES, _JSON, min_size=1, max_size=5))
def test_a_proposal_pasted_yields_every_number_of_its_message(levels: list[str], content: Any) -> None:
    topic = "t/" + "/".join(levels)
    payload = json.dumps(content).encode("utf-8", "surrogatepass")
    proposal = propose(topic, payload, NOW_US)
    numbers = [
        leaf for leaf in leaves(content, 32)
        if isinstance(leaf.value, int | float) and not isinstance(leaf.value, bool)
    ]  # fmt: skip
    storable = [leaf for leaf in numbers if "\0" not in leaf.name and math.isfinite(leaf.value)]
    clash = len({leaf.name for leaf in leaves(content, 32)}) != len(list(leaves(content, 32)))
    if proposal is None:
        assert not storable or clash
        return
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\x1b]", proposal.text)
    found = applied(proposal.text, topic, payload)
    assert found == proposal.readings
    left = [one.value for one in found if isinstance(one.value, int | float)]
    mapping = proposal.mapping
    named = sum(1 for path in (mapping.ts, mapping.device, mapping.sensor) if path and path[0] != "=")
    named += len(mapping.ignore)  # the time of a clock that was never set
    assert len(storable) - len(left) <= named
    for leaf in storable:
        if leaf.value not in left:
            assert named


def test_what_cannot_be_read_has_no_proposal_and_a_preset_is_named_where_one_fits() -> None:
    assert propose("a/b", b"{", NOW_US) is None
    assert propose("a/b", b"", NOW_US) is None
    assert propose("a/b", b'{"a": null}', NOW_US) is None
    sensor = explained("tele/attic/SENSOR", b'{"AM2301":{"Temperature":1.5},"TempUnit":"C"}')
    assert (sensor.outcome, sensor.preset) == (NOT_SUBSCRIBED, "tasmota")
    assert explained("iot/s/d/t", b"21.5").by == "the template iot/{site}/{device}/{sensor}"
    assert explained("iot/s/d/t", b"[]").outcome == NOTHING
    config = {"stat_t": "w/ATC-1/air", "unit_of_meas": "°C", "val_tpl": "{{ value_json.T }}"}
    found = explained("homeassistant/sensor/x/config", msgspec.json.encode(config))
    assert found.preset == "home-assistant-discovery"
    ((one,)) = applied(found.proposal, "w/ATC-1/air", b'{"T": 21.5}')
    assert (one.device, one.sensor, one.unit) == ("ATC-1", "T", "°C")
    assert explained("iot/s/d/t", b'{"value": 5}').outcome == READ
