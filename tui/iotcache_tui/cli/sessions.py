"""``ingest sessions``: which sessions workers have at the broker, and ending those that are left behind.

Workers tell of themselves, retained, on ``iotcache/stats/ingest/…``; the broker itself has no list to give.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.errors import BrokerError, UsageError
from iotcache.mqtt import MqttLink
from iotcache.published_stats import INGEST_ROLE, IngestStats, decode, parse_topic, role_filter, stats_topic
from iotcache.text import printable
from iotcache.worker.group import end_session

if TYPE_CHECKING:
    from iotcache.config.schema import BrokerSettings

CONNECT_S: Final = 5.0
QUIET_S: Final = 1.5
"""Live workers tell of themselves once a second; the rest comes at once."""
WORKERS_LIMIT: Final = 10_000


class Session(Struct, frozen=True):
    """A worker's session at the broker."""

    instance: str
    group: str
    client_id: str
    state: str
    """"running", "waiting", or "gone": nobody takes what the broker keeps for it."""

    @property
    def is_left_behind(self) -> bool:
        """Whether its worker is gone, and the session is not."""
        return self.state == "gone"


async def sessions_of(settings: BrokerSettings) -> list[Session]:
    """The sessions of workers that told of themselves. Raises `BrokerError`."""
    found: dict[str, Session] = {}
    subscriptions = [(role_filter(INGEST_ROLE), 0)]
    name = f"iotcache-sessions-{time.time_ns():x}"
    async with MqttLink.from_settings(settings, name, subscriptions=subscriptions) as link:
        await _connected(link)
        try:
            async with asyncio.timeout(QUIET_S):
                while True:
                    for message in await link.batch(1_000):
                        named, stats = parse_topic(message.topic), decode(message.payload, IngestStats)
                        if named is None or stats is None or len(found) >= WORKERS_LIMIT:
                            continue
                        instance, state = named[1], stats.state
                        if state != "gone" and message.retain:
                            state = "unheard"  # until it says something now
                        if stats.session_ended or not stats.client_id:
                            found.pop(instance, None)
                        else:
                            found[instance] = Session(instance, stats.group, stats.client_id, state)
        except TimeoutError:
            pass
    return sorted(found.values(), key=lambda one: (one.group, one.instance))


async def end_sessions(settings: BrokerSettings, instances: list[str]) -> list[Session]:
    """End sessions that are left behind; returns them. Raises `UsageError` for others, and `BrokerError`."""
    known = {one.instance: one for one in await sessions_of(settings)}
    wanted: list[Session] = []
    for instance in instances:
        session = known.get(instance)
        if session is None:
            raise UsageError(f"no worker {printable(instance, 60)!r} has told of a session at this broker")
        if not session.is_left_behind:
            raise UsageError(
                f"the worker {printable(instance, 60)!r} is {session.state}: end it before its session"
            )
        wanted.append(session)
    for session in wanted:
        if not await end_session(settings, session.client_id):
            raise BrokerError(f"the session of {printable(session.instance)} could not be ended")
        name = f"iotcache-sessions-{time.time_ns():x}"
        async with MqttLink.from_settings(settings, name) as link:
            await _connected(link)
            await link.publish(stats_topic(INGEST_ROLE, session.instance), b"", retain=True)
    return wanted


async def _connected(link: MqttLink) -> None:
    try:
        async with asyncio.timeout(CONNECT_S):
            await link.until_connected()
    except TimeoutError:
        raise BrokerError(link.reason or f"the broker at {link.name} does not answer") from None


def run(settings: BrokerSettings, rest: list[str]) -> int:
    """List, or ``end NAME…``. Raises `UsageError` and `BrokerError`."""
    match rest:
        case []:
            sessions = asyncio.run(sessions_of(settings))
            if not sessions:
                print("no worker has told of a session at this broker")
            for one in sessions:
                left = "  left behind: the broker keeps messages for it" if one.is_left_behind else ""
                print(
                    f"{printable(one.instance, 60):<24}  {printable(one.group, 40) or '-':<12}  "
                    f"{printable(one.client_id, 80):<32}  {printable(one.state, 10)}{left}"
                )
            return 0
        case ["end", *instances] if instances:
            for one in asyncio.run(end_sessions(settings, instances)):
                print(f"ended the session of {printable(one.instance, 60)}: what was kept for it is gone")
            return 0
    raise UsageError("it is 'ingest sessions', or 'ingest sessions end NAME…'")
