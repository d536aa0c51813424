"""Each preset reads its fleet's own documents, and each message carries what it should on to the screen."""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
import msgspec
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.config import load
from iotcache.config.presets import load_preset, preset_names, preset_text, summary
from iotcache.config.schema import IngestSettings
from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.announced import AnnouncedUnits
from iotcache.decode.mapping.check import check_mapping
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.decode.topics import Topics, filter_covers
from iotcache.errors import ConfigError
from iotcache.model import DeadLetter
from iotcache.worker.reader import decoder_for, topics_of
from tests.examples import examples
from tests.presets.documents import DEAD, DOCUMENTS, NOTHING, NOW_US, PASSED_OVER

NAMES = preset_names()


def deployment(*names: str) -> tuple[Decoder, Topics]:
    ingest = IngestSettings(topics=(), preset=names)
    topics = topics_of(ingest)
    return decoder_for(ingest, topics), topics


def test_every_preset_that_is_promised_is_there_and_has_documents() -> None:
    assert set(NAMES) == {*DOCUMENTS, "sparkplug"}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_configuration_that_can_be_pasted(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    for mapping in preset.mapping:
        check_mapping(mapping)
        assert mapping.name.partition(":")[0]
    assert preset.topics or preset.mapping
    file = tmp_path / "config.toml"
    file.write_text(preset_text(name), "utf-8")
    ingest = load(config_file=str(file), environ={}).settings.ingest
    assert ingest.mapping == preset.mapping
    assert set(preset.topics) <= set(ingest.topics)
    assert summary(name)
    assert tomli.loads(preset_text(name))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_preset_reads_its_fleets_own_documents(name: str) -> None:
    decoder, topics = deployment(name)
    for document in DOCUMENTS[name]:
        found = decoder.decode(document.topic, document.raw, NOW_US)
        if document.becomes == PASSED_OVER:
            assert found == [], document
            continue
        if document.becomes == NOTHING:
            assert isinstance(found, NothingInIt), document
            continue
        if document.becomes == DEAD:
            assert isinstance(found, DeadLetter), document
            continue
        assert isinstance(found, list), (document, found)
        assert [(one.device, one.sensor, one.value, one.unit) for one in found] == document.becomes
        assert all(abs(one.ts_us - (document.ts_us or 0)) < 10 for one in found), document
        assert any(filter_covers(text, document.topic) for text in topics.filters()), "it is not asked for"


def test_presets_go_together_and_no_subscription_takes_what_another_does() -> None:
    decoder, topics = deployment(*NAMES)
    for name, documents in DOCUMENTS.items():
        for document in documents:
            if name in ("zigbee2mqtt", "chirpstack", "ttn", "rtl_433", "aws-shadow", "tasmota"):
                found = decoder.decode(document.topic, document.raw, NOW_US)
                assert isinstance(found, list) == (document.becomes not in (NOTHING, DEAD))
    filters = topics.filters("g")
    assert len(set(filters)) == len(filters)
    # What tells of others' messages comes to each worker of a group.
    own = {text for text in filters if not text.startswith("$share/g/")}
    assert {"homie/+/+/+/$unit", "homie/5/+/$description", "homeassistant/+/+/config"} <= own
    assert all(text.startswith(("homie/", "homeassistant/", "spBv1.0/")) for text in own)
    assert "$share/g/homie/+/#" in filters


def test_units_from_home_assistant_serve_the_mappings_of_other_fleets() -> None:
    decoder, _ = deployment("tasmota", "home-assistant-discovery")
    config = {
        "stat_t": "tele/attic/SENSOR", "unit_of_meas": "µg/m³", "val_tpl": "{{ value_json.SDS0X1.Dust }}",
    }  # fmt: skip
    reading = b'{"SDS0X1": {"Dust": 3.5}}'
    (before,) = decoder.decode("tele/attic/SENSOR", reading, NOW_US)  # type: ignore[misc]
    topic = "homeassistant/sensor/attic_dust/config"
    assert decoder.decode(topic, msgspec.json.encode(config), NOW_US) == []
    (after,) = decoder.decode("tele/attic/SENSOR", reading, NOW_US)  # type: ignore[misc]
    assert (before.unit, after.unit) == ("", "µg/m³")


def test_what_strangers_announce_is_bounded() -> None:
    units = AnnouncedUnits(limit_bytes=3_000)
    for _ in range(2):
        for n in range(10):
            units.learn("unit", f"homie/d/n/{n}/$unit", True, "V")
    assert [units.find(f"homie/d/n/{n}", "") for n in range(10)] == [None] * 7 + ["V"] * 3
    many = {"stat_t": "t", "cmps": {str(n): {"unit_of_meas": "V", "val_tpl": f"{{{{ value_json.m{n} }}}}"}
                                    for n in range(100)}}  # fmt: skip
    units.learn("home-assistant", "homeassistant/device/x/config", False, many)
    assert sum(units.find("t", f"m{n}") is not None for n in range(100)) < 8
    assert units.learn("unit", "a/$unit", True, "x" * 65) == units.learn("unit", "a/$unit", True, "\0") == 0
    assert units.learn("home-assistant", "t", False, {"state_topic": 5, "unit_of_measurement": "V"}) == 0
    assert units.learn("homie", "t/$description", False, {"nodes": [1, {"properties": None}]}) == 0


def test_an_unknown_preset_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"ingest\.preset .*zigbee3mqtt.*allowed is .*tasmota"):
        load({"ingest.preset": "zigbee3mqtt"}, environ={})
    assert load({"ingest.preset": "ttn, tasmota"}, environ={}).settings.ingest.preset == ("ttn", "tasmota")


_TOPICS = st.sampled_from([one.topic for many in DOCUMENTS.values() for one in many]) | st.builds(
    lambda start, rest: "/".join([start, *rest]),
    st.sampled_from(["zigbee2mqtt", "tele", "stat", "homie/5", "homie", "homeassistant/sensor", "$aws"]),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="+#"), max_size=4), max_size=6),
)
_CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["params", "method", "ts", "object", "time", "nodes", "properties", "unit", "stat_t",
                 "val_tpl", "unit_of_meas", "cmps", "~", "state", "reported", "TempUnit", "id", "model",
                 "value"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip
_EVERYTHING = deployment(*NAMES)[0]


@settings(max_examples=examples(40), deadline=None)
@given(
    _TOPICS,
    _CONTENT.map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60)
    | _CONTENT.map(cbor2.dumps),
)
def test_never_an_exception_whatever_comes_on_their_topics(topic: str, payload: bytes) -> None:
    found = _EVERYTHING.decode(topic, payload, NOW_US)
    if isinstance(found, DeadLetter):
        assert found.reason.isprintable()
        assert found.payload == payload
    elif isinstance(found, NothingInIt):
        assert found.reason.isprintable()
    else:
        for one in found.readings if isinstance(found, PartlyDecoded) else found:
            assert one.device
            assert one.sensor
            assert "\0" not in one.device + one.sensor + one.unit + one.boot + str(one.value)
