"""Alerts on their way to the broker."""

from __future__ import annotations

import asyncio

import pytest

from iotcache.alerts.publish import AlertPublisher
from iotcache.errors import PublishRefused


class Link:
    """Refuses what goes to one topic."""

    connects = 1

    def __init__(self, refused: str) -> None:
        self._refused = refused
        self.published: asyncio.Queue[str] = asyncio.Queue()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        if topic == self._refused:
            raise PublishRefused("the broker refuses a message: we are not authorized")
        self.published.put_nowait(topic)

    async def until_connected(self) -> None:
        return


async def test_a_topic_that_the_broker_refuses_keeps_no_other_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = Link("iotcache/alerts/hot/a")
    publisher = AlertPublisher(link)
    for subject in ("a", "b"):
        publisher.empty("hot", subject)
    running = asyncio.create_task(publisher.run())
    async with asyncio.timeout(20):
        assert await link.published.get() == "iotcache/alerts/hot/b"
    running.cancel()
    assert "we are not authorized" in caplog.text
