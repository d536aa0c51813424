"""Control of a running fleet: live faults, told on a retained topic."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from iotcache.mqtt import MqttLink
from iotcache.tasks import beside
from iotcache.text import printable
from iotcache_simulator.faults.kinds import Fault
from iotcache_simulator.faults.live import Journal, parse_request
from iotcache_simulator.faults.stream import FaultyStream
from iotcache_simulator.fleet.load import LiveLoad
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.publish.publisher import Publisher

log = logging.getLogger(__name__)


def control_topic(name: str) -> str:
    """Where the fleet called ``name`` hears what faults it is to have."""
    return f"iotcache/control/simulator/{name}"


class State(msgspec.Struct, frozen=True):
    """What the fleet answers to each control message, on the topic's ``/state``."""

    active: tuple[Fault, ...]
    load: float
    """The rate that holds, as a factor of that asked for."""
    since_s: float
    """From when on, in seconds of the fleet's time."""
    error: str = ""
    """Why the message was not followed."""


@asynccontextmanager
async def controlled(
    name: str,
    broker: BrokerSettings,
    *,
    stream: FaultyStream,
    roster: Roster,
    publisher: Publisher,
    journal: Journal,
    load: LiveLoad | None,
    answer: Callable[[str, bytes], None],
) -> AsyncIterator[None]:
    """Follow control messages meanwhile; ``answer(topic, payload)`` says what came of each."""
    topic = control_topic(name)

    def state(at_us: int, error: str = "") -> State:
        return State(journal.active, load.factor if load is not None else 1.0, at_us / 1e6, error)

    def follow(payload: bytes) -> State:
        at_us = publisher.horizon_us
        try:
            request = parse_request(payload, roster)
            if load is None and request.load != 1.0:
                raise ConfigError("this fleet follows a load profile: its rate cannot be turned as well")
            if journal.apply(request.faults, at_us):
                stream.reschedule(journal.faults)
            if load is not None:
                load.turn(at_us, request.load)
        except ConfigError as error:
            log.warning("%s", printable(str(error)))
            return state(at_us, printable(str(error)))
        return state(at_us)

    async def run(link: MqttLink) -> None:
        while True:
            messages = await link.batch(10)
            link.ack(messages)
            for message in messages:
                answer(f"{topic}/state", msgspec.json.encode(follow(message.payload)))

    client_id = f"iotcache-control-{secrets.token_hex(4)}"
    async with (
        MqttLink.from_settings(broker, client_id, subscriptions=((topic, 1),)) as link,
        beside(run(link)),
    ):
        yield
