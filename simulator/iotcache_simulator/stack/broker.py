"""The embedded MQTT broker: rumqttd, as the ``iotcore`` package ships it, in a child process of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from iotcache_simulator.processes.process import Exit, Process, own_child
from iotcache_simulator.stack.child import MODULES
from iotcache_simulator.stack.embedded import EmbeddedServer
from iotcache_simulator.stack.ports import LOOPBACK, Port
from iotcache_simulator.stack.probe import mqtt_answers, until_answering

VERSIONS = ("3.1.1", "5")
"""Of MQTT; each has a port of its own."""
MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
MAX_CONNECTIONS = 10_000
MAX_INFLIGHT = 100  # rumqttd 0.20 sends no more than this unacknowledged, whatever it is told
# rumqttd keeps each filter's messages in a ring of segments, also those already delivered: this much memory
# a filter at most, and as much backlog for a worker that is away.
_SEGMENT_BYTES = 8 * 1024 * 1024
_SEGMENTS = 8
_MAX_OUTGOING_PACKETS = 1_000

_LISTENER = """
[v{version}.1]
name = "v{version}"
listen = "{address}"
next_connection_delay_ms = 0
[v{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {payload}
max_inflight_count = {inflight}
dynamic_filters = true
"""


class EmbeddedBroker(EmbeddedServer):
    """rumqttd on two loopback ports, as it speaks one version of MQTT a port: 3.1.1 on one, 5 on another."""

    def __init__(self, folder: Path) -> None:
        super().__init__(len(VERSIONS))
        self._config = folder / "rumqttd.toml"

    def url(self, protocol: str = "3.1.1") -> str:
        """``mqtt://127.0.0.1:PORT`` of the listener for that protocol version, ``3.1.1`` or ``5``."""
        return f"mqtt://{self._port(protocol).address}"

    def _port(self, protocol: str) -> Port:
        return self._ports[VERSIONS.index(protocol)]

    async def _launch_once(self, on_exit: Callable[[Exit], None]) -> Process:
        self._config.write_text(self._toml(), encoding="utf-8")
        process = own_child("the broker", "broker", grace_s=0.5, on_exit=on_exit, modules=MODULES["broker"])
        try:
            await process.start()
            await process.say(json.dumps({"config_path": str(self._config)}).encode())
            await process.receive("ready", 10.0)
            ports = {version: self._port(version).number for version in VERSIONS}
            await asyncio.gather(
                *(
                    until_answering(process, partial(mqtt_answers, LOOPBACK, port, version))
                    for version, port in ports.items()
                )
            )
        except BaseException:
            await process.stop(0.0)
            raise
        return process

    def _toml(self) -> str:
        router = (
            f"id = 0\n[router]\nid = 0\nmax_connections = {MAX_CONNECTIONS}\n"
            f"max_outgoing_packet_count = {_MAX_OUTGOING_PACKETS}\n"
            f"max_segment_size = {_SEGMENT_BYTES}\nmax_segment_count = {_SEGMENTS}\n"
        )
        listeners = (
            _LISTENER.format(
                version=version, address=address.address, payload=MAX_PAYLOAD_BYTES, inflight=MAX_INFLIGHT
            )
            for version, address in ((4, self._port("3.1.1")), (5, self._port("5")))
        )
        return router + "".join(listeners)
