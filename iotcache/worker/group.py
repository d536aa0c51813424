"""A worker's group: proof that the broker shares messages out, who else is there, and leaving for good.

A broker that knows no shared subscriptions takes ``$share/g/iot/#`` for a topic like others, and sends
nothing. A member that leaves and keeps its session holds back its share with brokers that deal to sessions,
connected or not (mosquitto): so a member ends its session when it leaves, once another has promised to go on
(`iotcache.worker.leaving`); the last one's session keeps what comes meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from iotcache.errors import BrokerError, ConfigError
from iotcache.mqtt import MqttLink
from iotcache.published_stats import INGEST_ROLE, IngestStats, decode, parse_topic, role_filter, stats_topic
from iotcache.tasks import end
from iotcache.text import printable
from iotcache.worker.leaving import Leaving

if TYPE_CHECKING:
    from iotcache.config.schema import BrokerSettings

log = logging.getLogger(__name__)

PROOF_S: Final = 3.0
PROOFS: Final = 2
"""A message may be lost once."""
PROMISE_S: Final = 2.0
"""How long others are given to promise that they go on; they do so as soon as they hear that one leaves."""
_LOOK_S: Final = 0.02
DRAIN_S: Final = 3.0
"""How long a member that leaves takes in what the broker has for it; the rest its session keeps."""
END_S: Final = 3.0
_QUIET_TURNS: Final = 2
"""Looks at which nothing came any more …"""
_QUIET_S: Final = 0.15
"""… each so long after a ping was answered."""
_PROBE_ROLE: Final = "group"


class WorkerGroup:
    """One member's view of its group: an async context manager over a connection of its own."""

    def __init__(
        self,
        settings: BrokerSettings,
        group: str,
        instance: str,
        client_id: str,
        on_peer_leaves: Callable[[], None],
    ) -> None:
        """``on_peer_leaves`` says once more how we stand, with what we promise."""
        self.leaving = Leaving(instance)
        self._on_peer_leaves = on_peer_leaves
        self._settings = settings
        self._group = group
        self._instance = instance
        self._session = client_id
        self._probe = stats_topic(_PROBE_ROLE, instance)
        # A share of its own: rumqttd deals what comes for one of a group's filters to all of the group.
        self._shared_probe = f"$share/{group}-proof-{self._probe.rpartition('/')[2]}/{self._probe}"
        self._proven = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self.link = MqttLink.from_settings(
            settings,
            f"{client_id}-group",
            subscriptions=[(self._shared_probe, 1), (role_filter(INGEST_ROLE), 0)],
        )

    async def __aenter__(self) -> Self:
        await self.link.__aenter__()
        self._work = asyncio.create_task(self._listen(), name="group")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._work is not None:
            await end(self._work)
        await self.link.close()

    async def prove(self) -> None:
        """Return once a message to ourselves came by a shared subscription. Raises `ConfigError`."""
        for _ in range(PROOFS):
            await self._connected()
            with contextlib.suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(PROOF_S):
                    await self.link.publish(self._probe, b"proof", timeout_s=PROOF_S)
                    await self._proven.wait()
                    return
        raise ConfigError(
            f"ingest.group is {printable(self._group)!r}, and the broker at {self.link.name} does not share "
            f"messages out: one to ourselves did not come by {printable(self._shared_probe)} in time. It has "
            "no shared subscriptions, or this login may not use that topic: leave ingest.group empty, and "
            "run one worker"
        )

    async def _connected(self) -> None:
        """Return once there is a connection. Raises `ConfigError` where the subscription itself ends it."""
        while not self.link.connected:
            if self.link.subscriptions_refused >= PROOFS:
                probe, reason = printable(self._shared_probe), self.link.reason
                raise ConfigError(
                    f"ingest.group is {printable(self._group)!r}, and the broker does not take "
                    f"a subscription to {probe}: it has no shared subscriptions, or this login may "
                    f"not use that topic ({reason}); leave ingest.group empty, and run one worker"
                )
            await asyncio.sleep(0.1)

    async def leave(self, link: MqttLink, announce: Callable[[], None]) -> bool:
        """Take in what the broker has for our session, and no more, where others go on; whether that was all.

        ``announce`` tells the others how we stand.
        """
        self.leaving.begin(time.time_ns() // 1_000)
        announce()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROMISE_S):
                while self.leaving.may_end is None:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        if not self.leaving.may_end:
            self.leaving.keep()
            announce()
            log.info("nobody else of the group goes on: our session stays, and keeps what comes meanwhile")
            return False
        try:
            async with asyncio.timeout(DRAIN_S):
                await link.unsubscribe()
                quiet = 0
                while quiet < _QUIET_TURNS:
                    received = link.received
                    # A broker that hangs is quiet, too: it has to answer, after all that it had to send.
                    await link.ping()
                    await asyncio.sleep(_QUIET_S)
                    is_quiet = link.received == received and not link.unacked
                    quiet = quiet + 1 if is_quiet else 0
        except (BrokerError, TimeoutError):
            return False
        return True

    async def end_session(self) -> bool:
        """Let the broker forget our session, once our own connection is closed; whether it did."""
        return await end_session(self._settings, self._session)

    async def _listen(self) -> None:
        while True:
            messages = await self.link.batch(100)
            self.link.ack(messages)
            for message in messages:
                if message.topic == self._probe:
                    self._proven.set()
                elif not message.retain:
                    self._note(message.topic, message.payload)

    def _note(self, topic: str, payload: bytes) -> None:
        named, stats = parse_topic(topic), decode(payload, IngestStats)
        if named is None or stats is None or stats.group != self._group or named[1] == self._instance:
            return
        if stats.state == "gone":
            self.leaving.gone(named[1])
        elif self.leaving.note(named[1], stats.membership):
            self._on_peer_leaves()


async def end_session(settings: BrokerSettings, client_id: str) -> bool:
    """Let a broker forget a session, as who connects without one does (3.1.2.4); whether it did."""
    try:
        async with asyncio.timeout(END_S):
            async with MqttLink.from_settings(settings, client_id) as link:
                await link.until_connected()
    except (TimeoutError, BrokerError):
        return False
    return True
