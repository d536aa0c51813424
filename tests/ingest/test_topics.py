"""Topic templates: what they subscribe to and what they read out of a topic."""

from __future__ import annotations

import pytest

from iotcache.decode.topics import TopicNames, Topics, TopicTemplate
from iotcache.errors import ConfigError


def test_fields_become_wildcards_and_constants_stay() -> None:
    template = TopicTemplate("iot/{site}/{device}/raw/{sensor}")
    assert template.filter == "iot/+/+/raw/+"
    assert template.match("iot/plant/pump-1/raw/pressure") == {
        "site": "plant", "device": "pump-1", "sensor": "pressure",
    }  # fmt: skip
    assert template.match("iot/plant/pump-1/cooked/pressure") is None
    assert template.match("iot/plant/pump-1/raw/pressure/more") is None


def test_a_constant_is_no_pattern() -> None:
    assert TopicTemplate("a.c/{device}/{sensor}").match("abc/d/s") is None


def test_levels_that_say_nothing() -> None:
    template = TopicTemplate("v1/+/{device}/{sensor}/#")
    assert template.filter == "v1/+/+/+/#"
    assert template.match("v1/x/d/s/any/thing") == {"device": "d", "sensor": "s"}
    assert template.match("v1/x/d/s") == {"device": "d", "sensor": "s"}  # the subscription takes it, too
    assert template.match("v1/x/d/sx/y") == {"device": "d", "sensor": "sx"}
    assert template.match("v1/x/d") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("iot/{device…}/{sensor...}", "only one of its fields"),
        ("iot/{device}/{colour}", "{colour} is no field"),
        ("iot/{device}/{device}", "there twice"),
        ("iot/dev-{device}", "mixes text and a field"),
        ("iot/#/{device}", "mixes text and a field"),
        ("$SYS/{device}/{sensor}", "no topic template"),
        ("", "no topic template"),
    ],
)
def test_a_template_of_no_use_is_explained(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.topics") as error:
        TopicTemplate(text)
    assert says in str(error.value)


def test_the_first_template_that_fits_reads_a_topic() -> None:
    topics = Topics(["iot/{site}/{device}/{sensor}", "{site}/{unit}/{device}/{sensor}"])
    assert topics.names("iot/a/b/c") == TopicNames("b", "c", "a")
    assert topics.names("x/bar/b/c") == TopicNames("b", "c", "x", "bar")


def test_a_template_of_sparkplug_says_only_what_to_subscribe_to() -> None:
    topics = Topics(["iot/{site}/{device}/{sensor}", "spBv1.0/#", "spBv1.0/north/DDATA/+/{device}"])
    assert topics.filters() == ["iot/+/+/+", "spBv1.0/#"]
    assert topics.names("spBv1.0/north/DDATA/e/d") == TopicNames(sparkplug=True)


def test_a_group_shares_each_subscription_once() -> None:
    topics = Topics(["iot/{site}/{device}/{sensor}", "iot/{device}/{site}/{sensor}", "x/{device}/{sensor}"])
    assert topics.filters() == ["iot/+/+/+", "x/+/+"]
    assert topics.filters("g") == ["$share/g/iot/+/+/+", "$share/g/x/+/+"]


@pytest.mark.parametrize("topic", ["iot/s/d/cfg", "iot/s/d/meta", "iot/s/d/birth", "iotcache/stats/ingest/a"])
def test_configuration_and_our_own_topics_are_no_readings(topic: str) -> None:
    assert Topics(["iot/{site}/{device}/{sensor}"]).names(topic).reserved


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("iot/s//t", "{device} level is empty"),
        ("iot/s/" + "d" * 300 + "/t", "300 characters"),
        ("iot/s/a\0b/t", "NUL"),
        ("other/s/d/t", "no subscription of this configuration covers the topic"),
    ],
)
def test_topics_that_no_reading_can_come_from(topic: str, says: str) -> None:
    assert says in Topics(["iot/{site}/{device}/{sensor}"]).names(topic).refused
