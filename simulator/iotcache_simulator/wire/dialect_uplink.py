"""An uplink whose connections speak a protocol over MQTT: births first, a farewell last, commands between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from iotcache.mqtt.codec import Disconnect, Publish, Will, encode_publish
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.dialect import Demand, Dialect
from iotcache_simulator.wire.uplink import Uplink

REBIRTH_S = 1.0
"""Births that are asked for sooner after the last ones were under way already."""


class DialectUplink(Uplink):
    """Nothing is sent on a connection before its births are, and these may have to wait."""

    def __init__(
        self, target: BrokerTarget, client_id: str, dialect: Dialect, *, qos: int = 0,
        user_properties: Iterable[tuple[str, str]] = (), topic_aliases: bool = False,
        gate: asyncio.Semaphore | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            target, client_id, qos=qos, user_properties=user_properties, topic_aliases=topic_aliases,
            subscriptions=dialect.subscriptions, on_message=self._obey,
            gate=gate,
        )  # fmt: skip
        self._dialect = dialect
        self._born_at = -REBIRTH_S
        self._is_leaving = False
        """Whether the farewell was said, and this connection ends once the broker has read it."""

    def tell(self, topic: str, body: bytes) -> bool:
        """Send a message that is not counted, behind all that was sent before it (QoS 0); whether it was."""
        if not self.connected or self.congested:
            return False
        self._out.append(self._packet(topic.encode(), body, 0, 0, 0))
        self.flush()
        return True

    def prepare(self, topic: str) -> bool:
        """Send now what has to come before a payload on ``topic``; whether that was possible."""
        if not self.connected or self.congested:
            return False
        self._out += [self._plain(name, body) for name, body in self._dialect.before(topic.encode())]
        self.flush()
        return True

    def _last_will(self) -> Will:
        return self._dialect.will()

    def _greet(self) -> None:
        self._is_leaving = False
        if waits := self._dialect.waits:
            self.reason = waits
            self.flush()
            return
        self._births()
        self._open()

    def _births(self) -> None:
        self._born_at = monotonic()
        self.reason = ""
        for topic, payload in self._dialect.births():
            self._out.append(self._plain(topic, payload))

    def _say_goodbye(self) -> None:
        if self._is_open:
            self._out.append(self._plain(*self._dialect.farewell()))
            self._is_open = False

    def _obey(self, message: Publish) -> None:
        """A host application tells us something; births are sent again once a second at most."""
        demand = self._dialect.received(message.topic, message.payload)
        if self._is_leaving:
            return
        if demand is Demand.BIRTHS and not self._is_open:
            self._births()
            self._open()
        elif demand is Demand.BIRTHS and monotonic() - self._born_at >= REBIRTH_S:
            self._births()
            self.flush()
        elif demand is Demand.LEAVE and self._is_open:
            self._say_goodbye()
            self._is_leaving = True
            self._barrier()

    def _ponged(self) -> None:
        super()._ponged()
        # Only now is known that the broker has all that was sent before.
        if self._is_leaving and not self._unproven and (connection := self._connection) is not None:
            connection.write(Disconnect().encode(self.target.version))
            connection.reason = self._dialect.waits
            connection.close()

    def _packet(  # as the plain one
        self, topic: bytes, payload: bytes, qos: int, packet_id: int, flags: int
    ) -> bytes:
        first = [self._plain(name, body) for name, body in self._dialect.before(topic)]
        packet = super()._packet(topic, self._dialect.stamp(payload), qos, packet_id, flags)
        return b"".join((*first, packet)) if first else packet

    def _plain(self, topic: str, payload: bytes) -> bytes:
        return encode_publish(topic.encode(), payload, 0, 0, self.target.version)
