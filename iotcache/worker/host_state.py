"""The state of a Sparkplug host application: whether it is there, for the edge nodes that wait for it.

``spBv1.0/STATE/{host}`` holds ``{"online": …, "timestamp": …}``, retained, with the opposite as the last will
of the same connection (Eclipse Sparkplug 3.0.0, "Host Application Session Establishment"). It is a connection
of its own, as a connection has one will. Who finds itself said to be away, by another of the same name that
left, says that it is not. Edge nodes pass over a state that is older than the last one, so the time must be
later than the other's, and that of the last will with it: that takes a new connection.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from iotcache.clock import Clock
from iotcache.decode.sparkplug.host_states import HostStatePayload, host_state_topic
from iotcache.errors import BrokerError
from iotcache.faults import Faults
from iotcache.model import Message
from iotcache.mqtt import LinkState, MqttLink, Will
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.config.schema import BrokerSettings

_LEAVE_S: Final = 0.5
_LATEST_MS: Final = (1 << 63) - 2
"""Before the end of what a state's time can be."""


class HostState:
    """An async context manager: inside, and while there is a connection, the host application is online."""

    def __init__(
        self, settings: BrokerSettings, host_id: str, client_id: str, *, clock: Clock, faults: Faults
    ) -> None:
        self._topic = host_state_topic(host_id)
        self._clock = clock
        self._faults = faults
        self._since_ms = 0
        self._others_ms = 0
        """The latest time of a state that said that we are away."""
        self._wanted = asyncio.Event()
        self._work: list[asyncio.Task[None]] = []
        self.link = MqttLink.from_settings(
            settings,
            client_id,
            subscriptions=[(self._topic, 1)],
            will=self._will,
            on_state=self._on_state,
        )

    async def __aenter__(self) -> Self:
        await self.link.__aenter__()
        for stage, work in (("the state of the host", self._tell), ("its own state", self._listen)):
            self._work.append(asyncio.create_task(self._faults.keep_running(stage, work)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._work:
            await end(task)
        try:
            if self.link.connected:
                await self._publish(online=False)
        except BrokerError:
            pass  # then the last will says so
        finally:
            await self.link.close()

    def _will(self) -> Will:
        """For one connection: what is published on it has the same time, as the specification asks."""
        self._since_ms = max(round(self._clock.now() * 1e3), self._others_ms + 1)
        return Will(self._topic, self._payload(online=False), 1, retain=True)

    def _payload(self, *, online: bool) -> bytes:
        return msgspec.json.encode(HostStatePayload(online, self._since_ms))

    async def _publish(self, *, online: bool) -> None:
        timeout_s = 10.0 if online else _LEAVE_S
        await self.link.publish(
            self._topic, self._payload(online=online), qos=1, retain=True, timeout_s=timeout_s
        )

    def _on_state(self, state: LinkState, reason: str) -> None:
        if state is LinkState.CONNECTED:
            self._wanted.set()

    async def _tell(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._publish(online=True)
            except BrokerError:
                if self.link.connected:
                    self._wanted.set()
                    await asyncio.sleep(1)

    async def _listen(self) -> None:
        """Others may use the name, too: workers of one group, or one that was before us."""
        while True:
            messages = await self.link.batch(100)
            self.link.ack(messages)
            for message in messages:
                self._note(message)

    def _note(self, message: Message) -> None:
        try:
            state = msgspec.json.decode(message.payload, type=HostStatePayload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if state.online:
            return
        said_ms = min(state.timestamp, _LATEST_MS)
        if said_ms > self._since_ms:
            self._others_ms = said_ms
            self.link.drop("another host application of its name left after it came")
        elif not message.retain:
            self._wanted.set()
