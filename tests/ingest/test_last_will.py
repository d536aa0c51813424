"""What the broker says in a worker's name when the worker is no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iotcache.model import Message
from iotcache.mqtt import MqttLink
from iotcache.published_stats import INGEST_ROLE, ProcessStats, decode, stats_topic
from tests.conftest import Server
from tests.ingest.test_chaos import Workers

Make = Callable[..., Any]
TOPIC = stats_topic(INGEST_ROLE, "a")


async def until_gone(listener: MqttLink) -> Message:
    """The first message that says the worker is gone."""
    while True:
        for message in await listener.batch(100, 0.0):
            stats = decode(message.payload, ProcessStats)
            assert stats is not None
            if stats.state == "gone":
                return message


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.real("mosquitto", "memcached")
async def test_a_killed_workers_will_comes_with_qos_1_and_is_retained(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, link: Make, tmp_path: Path, protocol: str
) -> None:
    workers = Workers(settings_for(mosquitto.port, [memcached], protocol=protocol), "", tmp_path)
    listener = await link(mosquitto.port, "listener", subscriptions=[(TOPIC, 2)])
    try:
        await workers.start("a")
        await workers.ready("a")
    finally:
        await workers.kill_all()
    told = await until_gone(listener)
    assert (told.topic, told.qos, told.retain) == (TOPIC, 1, False)
    later = await link(mosquitto.port, "later", subscriptions=[(TOPIC, 2)])
    kept = await until_gone(later)
    assert (kept.topic, kept.qos, kept.retain) == (TOPIC, 1, True)
