"""A site that is somebody else's: broker with logins, three cache nodes, PostgreSQL, two workers, a fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymemcache.client.base import Client

from iotcache.config import LoadedSettings, load
from tests.conftest import Server, program
from tests.store.conftest import PASSWORD, Postgres

LOGIN = ("iot", "br0ker-Pa55")
DEVICES = 12
PERIOD_S = 0.25
MEMORY_MB = 8
"""Of the first node: little, so that a test can fill it."""


class Site:
    """Starts everything; `settings` are those of somebody who looks at it."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder, self.postgres = folder, postgres
        folder.chmod(0o755)
        self.broker = Server(self._mosquitto(), folder)
        self.nodes = [Server(_memcached(MEMORY_MB if number == 0 else 64)) for number in range(3)]
        self.config = folder / "site.toml"
        self.config.write_text(
            f"""
[broker]
url = "mqtt://{self.broker.address}"
username = "{LOGIN[0]}"
password = "{LOGIN[1]}"
[cache]
nodes = {json.dumps([node.address for node in self.nodes])}
[store]
url = "{postgres.empty_database()}"
password = "{PASSWORD}"
[ingest]
topics = ["iot/{{site}}/{{device}}/{{sensor}}"]
group = "g1"
[[alerts]]
name = "hot"
kind = "threshold"
sensor = "heat"
above = 50.0
severity = "error"
"""
        )
        self.workers = {name: self._worker(name) for name in ("w1", "w2")}
        self._ending = threading.Event()
        self.publishes = self.well_formed = True
        self._fleet = threading.Thread(target=self._publish, daemon=True)
        self._fleet.start()

    def close(self) -> None:
        self._ending.set()
        self._fleet.join(5)
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait(10)
        for server in (self.broker, *self.nodes):
            server.signal(signal.SIGCONT) if server.process and server.process.poll() is None else None
            server.kill()

    def settings(self, **flags: Any) -> LoadedSettings:
        return load(flags, config_file=str(self.config), environ={})

    # Parts

    def _mosquitto(self) -> Callable[[int], list[str]]:
        path = program("mosquitto")
        assert path is not None
        passwords = self.folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), *LOGIN], check=True)
        passwords.chmod(0o644)

        def command(port: int) -> list[str]:
            config = self.folder / "mosquitto.conf"
            config.write_text(
                f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
                + ("user root\n" if os.geteuid() == 0 else "")
            )
            return [path, "-c", str(config)]

        return command

    def _worker(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "iotcache_tui", "ingest"]
        return subprocess.Popen(
            [*command, "--config", str(self.config), "--instance", name],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start_worker(self, name: str) -> None:
        self.workers[name] = self._worker(name)

    def kill_worker(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name].wait(10)

    def _publish(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fleet")
        client.username_pw_set(*LOGIN)
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", self.broker.port)
        client.loop_start()
        number = 0
        while not self._ending.wait(PERIOD_S):
            number += 1
            for device in range(DEVICES) if self.publishes else ():
                reading = {"value": 20 + number % 7, "unit": "°C", "ts": time.time()}
                payload = json.dumps(reading) if self.well_formed else "{"
                client.publish(f"iot/plant/dev-{device:02d}/temp", payload)
        client.loop_stop()

    def heat(self, value: float) -> None:
        """What eight devices of another sensor say once."""
        for device in range(8):
            subprocess.run(
                ["mosquitto_pub", "-p", str(self.broker.port), "-u", LOGIN[0], "-P", LOGIN[1], "-q", "1",
                 "-t", f"iot/plant/dev-{device:02d}/heat", "-m", json.dumps({"value": value})],
                check=True, timeout=10,
            )  # fmt: skip

    def fill(self, until: threading.Event) -> None:
        """Write more into the first node than it can hold, until told to end."""
        client = Client(("127.0.0.1", self.nodes[0].port), timeout=5)
        number = 0
        while not until.is_set():
            client.set_many({f"fill-{number + each}": b"x" * 20_000 for each in range(50)}, noreply=True)
            number += 50
            until.wait(0.02)
        client.close()

    def flush(self) -> None:
        """As somebody else would."""
        client = Client(("127.0.0.1", self.nodes[1].port), timeout=5)
        client.flush_all()
        client.close()


def _memcached(memory_mb: int) -> Callable[[int], list[str]]:
    path = program("memcached")
    assert path is not None
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    return lambda port: [path, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(memory_mb), *user]
