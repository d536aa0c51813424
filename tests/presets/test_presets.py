"""Each preset reads its fleet's own documents, and each message carries what it should on to the screen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import tomli

from iotcache.config import load
from iotcache.config.presets import load_preset, preset_names, preset_text, summary
from iotcache.config.schema import IngestSettings
from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.announced import AnnouncedUnits
from iotcache.decode.mapping.check import check_mapping
from iotcache.decode.outcomes import NothingInIt
from iotcache.decode.topics import Topics, filter_covers
from iotcache.errors import ConfigError
from iotcache.worker.reader import decoder_for, topics_of
from tests.presets.documents import DOCUMENTS, NOTHING, NOW_US, PASSED_OVER

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
                assert isinstance(found, list) == (document.becomes != NOTHING)
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
    units = AnnouncedUnits(limit=3)
    for n in range(10):
        units.learn("unit", f"homie/d/n/{n}/$unit", True, "V")
    assert [units.find(f"homie/d/n/{n}", "") for n in range(10)] == [None] * 7 + ["V"] * 3
    assert units.learn("unit", "a/$unit", True, "x" * 65) == units.learn("unit", "a/$unit", True, "\0") == 0
    assert units.learn("home-assistant", "t", False, {"state_topic": 5, "unit_of_measurement": "V"}) == 0
    assert units.learn("homie", "t/$description", False, {"nodes": [1, {"properties": None}]}) == 0


def test_an_unknown_preset_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"ingest\.preset .*zigbee3mqtt.*allowed is .*tasmota"):
        load({"ingest.preset": "zigbee3mqtt"}, environ={})
    assert load({"ingest.preset": "ttn, tasmota"}, environ={}).settings.ingest.preset == ("ttn", "tasmota")
