"""Each outage of docs/outages.md: how it is staged on a `Site`, and what ends it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.conftest import Server
from tests.outages.site import LOGIN, Site

Stage = Callable[[Site], AbstractContextManager[None]]


@contextmanager
def _stopped(*pids: int) -> Iterator[None]:
    import os

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def _killed(*servers: Server) -> Iterator[None]:
    for server in servers:
        server.kill()
    try:
        yield
    finally:
        for server in servers:
            server.start()


@contextmanager
def _store_stopped(site: Site) -> Iterator[None]:
    site.postgres.stop()
    try:
        yield
    finally:
        site.postgres.start()


@contextmanager
def _workers_killed(site: Site) -> Iterator[None]:
    for name in list(site.workers):
        site.kill_worker(name)
    try:
        yield
    finally:
        for name in list(site.workers):
            site.start_worker(name)


@contextmanager
def _filled(site: Site) -> Iterator[None]:
    ending = threading.Event()
    thread = threading.Thread(target=site.fill, args=(ending,))
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(10)


@contextmanager
def _flushed(site: Site) -> Iterator[None]:
    site.flush()
    yield


@contextmanager
def _hot(site: Site) -> Iterator[None]:
    site.heat(99.0)
    try:
        yield
    finally:
        site.heat(1.0)


@contextmanager
def _fleet_stopped(site: Site) -> Iterator[None]:
    site.publishes = False
    try:
        yield
    finally:
        site.publishes = True


@contextmanager
def _malformed(site: Site) -> Iterator[None]:
    site.well_formed = False
    try:
        yield
    finally:
        site.well_formed = True


@contextmanager
def _taken_over(site: Site) -> Iterator[None]:
    """Another program with a worker's client id, which comes back each time that it is sent away."""
    twin = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="iotcache-ingest-w1", protocol=mqtt.MQTTv5)
    twin.username_pw_set(*LOGIN)
    twin.reconnect_delay_set(1, 1)
    twin.connect("127.0.0.1", site.broker.port)
    twin.loop_start()
    try:
        yield
    finally:
        twin.disconnect()
        twin.loop_stop()


@contextmanager
def _store_and_node_away(site: Site) -> Iterator[None]:
    with _store_stopped(site), _killed(site.nodes[1]):
        yield


@contextmanager
def _broker_away_and_node_full(site: Site) -> Iterator[None]:
    with _filled(site), _killed(site.broker):
        yield


@contextmanager
def _nothing(site: Site) -> Iterator[None]:
    yield


STAGES: dict[str, Stage] = {
    "broker killed": lambda site: _killed(site.broker),
    "broker hangs": lambda site: _stopped(site.broker.pid),
    "wrong MQTT password here": _nothing,
    "store stopped": _store_stopped,
    "store stopped before": _store_stopped,
    "wrong store password here": _nothing,
    "one node killed": lambda site: _killed(site.nodes[1]),
    "one node hangs": lambda site: _stopped(site.nodes[1].pid),
    "all nodes killed": lambda site: _killed(*site.nodes),
    "no worker": _workers_killed,
    "one worker hangs": lambda site: _stopped(site.workers["w1"].pid),
    "evictions": _filled,
    "flush_all": _flushed,
    "eight alerts": _hot,
    "other placement here": _nothing,
    "fleet stopped": _fleet_stopped,
    "rubbish is sent": _malformed,
    "store stopped, one node killed": _store_and_node_away,
    "broker killed, evictions": _broker_away_and_node_full,
    "a worker's client id used twice": _taken_over,  # last: it is told of for a minute after
}
FLAGS: dict[str, dict[str, Any]] = {
    "wrong MQTT password here": {"broker.password": "wrong"},
    "wrong store password here": {"store.password": "wrong"},
    "other placement here": {"cache.placement": "rendezvous"},
}
"""Settings of the one who looks that are not the site's."""
BEFORE = frozenset({*FLAGS, "store stopped before"})
"""Outages that stand when the dashboard starts."""
