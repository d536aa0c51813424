"""Alerts on their topics: retained while they stand, told to the broker until it has them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from iotcache.alerts.topics import alert_topic
from iotcache.errors import BrokerError, PublishRefused
from iotcache.faults import Faults
from iotcache.model.alerts import Alert, encode_alert
from iotcache.text import printable

log = logging.getLogger(__name__)

TOPICS_LIMIT: Final = 10_000
_PER_TOPIC: Final = 4
RETRY_S: Final = 1.0


class AlertLink(Protocol):
    """What is needed of `iotcache.mqtt.MqttLink`."""

    connects: int

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None: ...

    async def until_connected(self) -> None: ...


class AlertPublisher:
    """What is to be published, by topic, and the task (`run`) that does it."""

    def __init__(self, link: AlertLink, faults: Faults | None = None) -> None:
        self._link = link
        self._faults = faults or Faults()
        self._waiting: dict[str, list[bytes]] = {}
        self._some = asyncio.Event()
        self.dropped = 0

    def put(self, alert: Alert) -> None:
        """Publish an alert as it stands; one that is cleared is told once more, then its topic is emptied."""
        payloads = [encode_alert(alert)] if alert.stands else [encode_alert(alert), b""]
        self._put(alert_topic(alert.name, alert.subject), payloads)

    def empty(self, name: str, subject: str) -> None:
        """Take the retained message of an alert back."""
        self._put(alert_topic(name, subject), [b""])

    def _put(self, topic: str, payloads: list[bytes]) -> None:
        waiting = self._waiting
        if topic not in waiting and len(waiting) >= TOPICS_LIMIT:
            self.dropped += 1
            return
        # Of a topic that changes while the broker is away only the last changes are told.
        waiting[topic] = (waiting.get(topic, []) + payloads)[-_PER_TOPIC:]
        self._some.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._some.wait()
            await self._link.until_connected()
            while self._waiting:
                topic = next(iter(self._waiting))
                payloads = self._waiting[topic]
                try:
                    await self._link.publish(topic, payloads[0], retain=True)
                except PublishRefused as error:
                    log.warning("an alert cannot be told on %s: %s", printable(topic), error)
                except BrokerError as error:
                    log.debug("alerts wait for the broker: %s", error)
                    await asyncio.sleep(RETRY_S)
                    await self._link.until_connected()
                    continue
                except Exception as error:  # it would fail again, and the other topics wait
                    self._faults.note("publishing an alert", error)
                    self.dropped += 1
                left = self._waiting.pop(topic)
                if left[0] is payloads[0]:
                    left = left[1:]
                if left:
                    self._waiting[topic] = left
            self._some.clear()
