"""Counters that processes publish about themselves."""

from __future__ import annotations

import os

from iotcache.published_stats import (
    FleetStats,
    IngestStats,
    ProcessStats,
    decode,
    decode_role,
    encode,
    gone,
    parse_topic,
    stats_topic,
)


def test_counters_survive_the_way() -> None:
    sent = IngestStats(role="ingest", instance="a", received=3, waiting_for="store: locked", lag_s=0.5)
    assert decode(encode(sent), IngestStats) == sent


def test_readers_are_older_or_newer_than_writers() -> None:
    assert decode(b'{"role":"x","instance":"y","colour":"red"}', ProcessStats) == ProcessStats(
        role="x", instance="y"
    )
    assert decode(encode(IngestStats(role="ingest", received=3)), ProcessStats) == ProcessStats(role="ingest")


def test_what_is_no_counters_is_none() -> None:
    for payload in (b"", b"[]", b"\xff", b'{"pid": "x"}', b"[" * 100_000, b" " * 70_000):
        assert decode(payload, ProcessStats) is None


def test_topics_name_role_and_instance() -> None:
    assert stats_topic("ingest", "host/1 +#") == "iotcache/stats/ingest/host_1___"
    assert parse_topic(stats_topic("ingest", "a-1")) == ("ingest", "a-1")
    assert parse_topic("iotcache/stats/ingest") is None
    assert parse_topic("iotcache/alerts/a/b") is None


def test_the_last_will_says_gone() -> None:
    will = decode(gone("ingest", "a"), ProcessStats)
    assert will is not None
    assert (will.role, will.instance, will.state, will.pid) == ("ingest", "a", "gone", os.getpid())


def test_the_role_in_the_topic_names_the_kind_of_counters() -> None:
    assert decode_role("ingest", b'{"received":3}') == IngestStats(received=3)
    assert decode_role("simulator", b'{"published":3}') == FleetStats(published=3)
    assert decode_role("other", b"{}") is None
    assert decode_role("ingest", b'{"received":"3"}') is None
