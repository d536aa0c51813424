"""When a rule holds, for how long, and when it is over: told readings, figures and the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.alerts.node_rules import NodeRules
from iotcache.alerts.reading_rules import ReadingRules
from iotcache.alerts.rule_state import Verdict
from iotcache.alerts.silence_rules import OWN_MIN_S, SilenceRules
from iotcache.alerts.topics import AlertName, alert_topic, parse_topic
from iotcache.config.alert_rules import AlertRule, series_named, subject_of
from iotcache.config.schema import AlertRuleSettings
from iotcache.model import NodeHealth, NodeState, Reading, Series


def rule(kind: str = "threshold", **settings: object) -> AlertRule:
    return AlertRule(AlertRuleSettings(name="r", kind=kind, **settings))  # type: ignore[arg-type]


def reading(value: object, at_s: float, device: str = "dev-1", sensor: str = "t", site: str = "n") -> Reading:
    return Reading(device, sensor, value, round(at_s * 1e6), site=site)  # type: ignore[arg-type]


def turns(verdicts: list[Verdict]) -> list[tuple[str, bool, float | None]]:
    return [(one.subject, one.raised, one.value) for one in verdicts]


def test_a_threshold_is_raised_once_and_cleared_only_past_its_hysteresis() -> None:
    rules = ReadingRules([rule(above=8.0, hysteresis=0.5)])
    got = [
        turns(rules.follow([reading(value, n)], float(n))) for n, value in enumerate((7, 8, 8.1, 9, 7.8, 7.5))
    ]
    assert got == [[], [], [("dev-1:t", True, 8.1)], [], [], [("dev-1:t", False, 7.5)]]


def test_it_must_hold_for_its_time_and_a_dip_begins_anew() -> None:
    rules = ReadingRules([rule(below=0.0, for_s=10.0)])
    assert turns(rules.follow([reading(-1, 1)], 0.0)) == []
    assert turns(rules.follow([reading(1, 2)], 5.0)) == []
    assert turns(rules.follow([reading(-2, 3)], 6.0)) == []
    assert turns(rules.tick(15.9)) == []
    assert turns(rules.tick(16.0)) == [("dev-1:t", True, -2.0)], "without a further reading"
    assert turns(rules.tick(40.0)) == []


def test_a_spike_within_one_batch_is_seen() -> None:
    rules = ReadingRules([rule(above=8.0)])
    batch = [reading(value, n) for n, value in enumerate((1, 99, 1))]
    assert turns(rules.follow(batch, 0.0)) == [("dev-1:t", True, 99.0), ("dev-1:t", False, 1.0)]


def test_late_readings_texts_and_other_series_do_not_count_and_truth_values_do() -> None:
    rules = ReadingRules([rule(above=0.5, device="dev-*", site="n", sensor="t")])
    assert turns(rules.follow([reading(0, 10)], 0.0)) == []
    for other in (
        reading(9, 9), reading("9", 11), reading(9, 11, device="x"), reading(9, 11, sensor="u"),
        reading(9, 11, device="dev-2", site="m"),
    ):  # fmt: skip
        assert turns(rules.follow([other], 1.0)) == []
    assert turns(rules.follow([reading(True, 12)], 2.0)) == [("dev-1:t", True, 1.0)]


def test_a_rate_is_the_change_within_its_time_by_the_readings_own_times() -> None:
    rules = ReadingRules([rule("rate", above=5.0, below=-5.0, per_s=60.0)])
    assert turns(rules.follow([reading(10, 0), reading(10.5, 10)], 0.0)) == []
    assert turns(rules.follow([reading(11.5, 20)], 0.0)) == [("dev-1:t", True, 6.0)]
    assert turns(rules.follow([reading(11.5, 30), reading(10.0, 40)], 0.0)) == [
        ("dev-1:t", False, 0.0), ("dev-1:t", True, -9.0)
    ]  # fmt: skip


def test_what_stood_before_is_not_raised_again_but_cleared() -> None:
    rules = ReadingRules([rule(above=8.0)], lambda name, subject: (name, subject) == ("r", "dev-1:t"))
    assert turns(rules.follow([reading(9, 1), reading(9, 1, device="d2")], 0.0)) == [("d2:t", True, 9.0)]
    assert turns(rules.follow([reading(7, 2)], 0.0)) == [("dev-1:t", False, 7.0)]
    rules.turn("r", "d2:t", False)
    assert turns(rules.follow([reading(9, 2, device="d2")], 0.0)) == [("d2:t", True, 9.0)]


def test_a_silent_device_is_told_once_until_it_is_heard_again() -> None:
    silence = SilenceRules([rule("silent", for_s=30.0)])
    silence.follow([reading(1, 0), reading(1, 0, device="d2")], 0.0)
    silence.follow([reading(1, 0, device="d2")], 25.0)
    assert turns(silence.due(29.9)) == []
    assert turns(silence.due(30.0)) == [("dev-1", True, 30.0)]
    assert turns(silence.due(54.0)) == []
    assert turns(silence.due(60.0)) == [("d2", True, 35.0)]
    assert turns(silence.follow([reading(1, 0)], 61.0)) == [("dev-1", False, None)]
    assert turns(silence.follow([reading(1, 0)], 62.0)) == []
    assert turns(silence.due(90.0)) == []
    assert turns(silence.due(92.1)) == [("dev-1", True, 30.1)]


def test_without_a_time_it_is_three_of_the_devices_own_intervals() -> None:
    silence = SilenceRules([rule("silent")])
    silence.add_series(Series("slow", "t"), "n", 20.0, 0.0)
    silence.add_series(Series("fast", "u"), "n", 90.0, 0.0)
    silence.add_series(Series("fast", "t"), "n", 0.5, 0.0)
    assert turns(silence.due(OWN_MIN_S)) == [("fast", True, OWN_MIN_S)]
    assert turns(silence.due(59.9)) == []
    assert turns(silence.due(60.0)) == [("slow", True, 60.0)]


def test_while_we_are_deaf_nobody_is_silent_and_the_retired_may_be() -> None:
    silence = SilenceRules([rule("silent", for_s=10.0)])
    silence.follow([reading(1, 0), reading(1, 0, device="old")], 0.0)
    silence.deaf_until_s = 100.0
    assert turns(silence.due(105.0)) == []
    assert turns(silence.due(110.0, {"old"})) == [("dev-1", True, 110.0)]
    assert [one.text for one in silence.retire({"dev-1"})] == ["the device was put out of service"]


def test_many_devices_heard_again_and_again_keep_one_deadline_each() -> None:
    silence = SilenceRules([rule("silent", for_s=1.0)])
    for second in range(200):
        silence.follow([reading(1, 0, device=f"d{n}") for n in range(20)], second * 0.5)
        silence.due(second * 0.5)
    assert len(silence.deadlines) == 20


def health(name: str, state: NodeState, *, drained: bool = False) -> NodeHealth:
    return NodeHealth(name, state, drained=drained)


def test_a_node_is_down_after_its_time_unless_it_was_taken_out_by_hand() -> None:
    standing: set[tuple[str, str]] = set()
    nodes = NodeRules([rule("node_down", for_s=5.0, node="a*")], lambda *key: key in standing)
    down = [
        health("a:1", NodeState.DOWN),
        health("a:2", NodeState.DOWN, drained=True),
        health("b:1", NodeState.DOWN),
    ]
    assert turns(nodes.health(down, 0.0)) == []
    assert turns(nodes.health([health("a:1", NodeState.PROBING)], 4.9)) == []
    assert turns(nodes.health(down, 5.0)) == [("a:1", True, None)]
    standing.add(("r", "a:1"))
    assert turns(nodes.health(down, 9.0)) == []
    assert turns(nodes.health([health("a:1", NodeState.STARTING)], 10.0)) == []
    assert turns(nodes.health([health("a:1", NodeState.UP)], 10.0)) == [("a:1", False, None)]


def counted(hits: int, misses: int) -> dict[str, dict[str, str]]:
    return {"a": {"get_hits": str(hits), "get_misses": str(misses)}, "b": {"get_hits": "x"}}


def test_a_hit_ratio_is_taken_of_enough_reads_and_not_over_a_restart() -> None:
    nodes = NodeRules([rule("hit_ratio", below=80.0)])
    assert nodes.ratio(counted(1_000, 0), 0.0) == []
    assert nodes.ratio(counted(1_000, 40), 1.0) == [], "too few"
    assert turns(nodes.ratio(counted(1_030, 70), 2.0)) == [("cache", True, 30.0)]
    nodes = NodeRules([rule("hit_ratio", below=80.0)])
    nodes.ratio(counted(1_000, 0), 0.0)
    assert nodes.ratio(counted(0, 100), 1.0) == [], "it began anew"


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_name_has_a_subject_and_a_topic_of_its_own(device: str, sensor: str) -> None:
    subject = subject_of(Series(device, sensor))
    assert series_named(subject) == Series(device, sensor)
    topic = alert_topic("r", subject)
    assert topic.isascii()
    assert topic.isprintable()
    assert not set("+# ") & set(topic)
    assert topic.count("/") == 3
    assert parse_topic(topic) == AlertName("r", subject)


@pytest.mark.parametrize(
    "topic", ["iotcache/alerts", "iotcache/alerts/a", "iotcache/alerts/a/b/c", "iot/a/b/c"]
)
def test_other_topics_are_no_alerts(topic: str) -> None:
    assert parse_topic(topic) is None


def test_a_node_by_its_socket_has_one_level() -> None:
    assert alert_topic("node-down", "/run/m.sock") == "iotcache/alerts/node-down/%2Frun%2Fm.sock"


def test_a_message_is_filled_in_once_and_is_safe_to_show() -> None:
    told = rule(above=1.0, message="{device} at {value} {limit} {site} {nothing}\x1b")
    text = told.text("s", 2.5, Series("{site}\n\x07", "t"), "north")
    assert text.startswith("{site}")
    assert "at 2.5 above 1 north {nothing}" in text
    assert text.isprintable()


def test_what_is_cleared_says_so() -> None:
    assert rule(above=8.0).text("a:t", 7.0, cleared=True) == "a:t is at 7, no longer above 8"
    rate = rule("rate", above=5.0)
    assert rate.text("a:t", 480.0) == "a:t changes by 480 per 60 s, above 5"
    assert rate.text("a:t", 1.0, cleared=True) == "a:t changes by 1 per 60 s, no longer above 5"
    assert rule(above=8.0, message="own").text("a:t", 7.0, cleared=True) == "own"
