"""The dashboard, the recorder and all else that only looks, beside a busy cluster that is somebody else's.

    python -m tests.long.observe_proof [--for SECONDS] [--store postgres|sqlite]

Three memcached under an application that counts what it does, a broker with a fleet, a store. One node is cut
off from us half-way: refused, then hung, then back. What each server counts has to be the application's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymemcache.client.base import Client

from iotcache.config import load
from iotcache.model import Reading, StoredReading
from iotcache.store import open_store
from tests.conftest import Server, program
from tests.long.other_application import COLD_KEYS, OtherApplication
from tests.long.relay import Relay
from tests.store.conftest import PASSWORD, Postgres

DEVICES: Final = 120
UNCHANGED: Final = (
    "cmd_set", "cmd_touch", "delete_hits", "delete_misses", "cmd_flush", "incr_hits", "incr_misses",
    "decr_hits", "decr_misses", "cas_hits", "cas_misses", "cas_badval", "touch_hits", "get_flushed",
)  # fmt: skip
"""Counters of a node that only its application may move ("touch_hits" are the application's touches)."""
HARMLESS: Final = ("stats", "version", "mn", "me", "mg", "lru_crawler metadump", "quit")
"""What may be sent; an ``mg`` with the flag ``u`` alone (doc/protocol.txt, "Meta Get")."""
CHANGING_FLAGS: Final = "TNRE"
KEYS_PRESSED: Final = (
    "1", "j", "enter", "w", "i", "v", "m", "escape", "2", "j", "3", "j", "d", "escape", "f", "escape", "+",
    "4", "r", "j", "enter", "escape", "d", "escape", "5", "j", "6", "escape", "7", "j", "a", "escape", "0",
)  # fmt: skip
_CODES: Final = {"enter": "\r", "escape": "\x1b"}


class Broker:
    """A mosquitto with a fleet, and one who listens to everything."""

    def __init__(self, folder: Path) -> None:
        path = program("mosquitto")
        assert path is not None

        def command(port: int) -> list[str]:
            config = folder / "mosquitto.conf"
            config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
            return [path, "-c", str(config)]

        self.server = Server(command, folder)
        self.topics: set[str] = set()
        self._ending = threading.Event()
        self._listener = self._client("listener")
        self._listener.on_message = lambda client, data, message: self.topics.add(message.topic)
        self._listener.subscribe("#", 1)
        self._fleet = self._client("fleet")
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def _client(self, name: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.connect("127.0.0.1", self.server.port)
        client.loop_start()
        return client

    def _publish(self) -> None:
        while not self._ending.wait(0.5):
            for number in range(20):
                payload = json.dumps({"value": number, "ts": time.time()})
                self._fleet.publish(f"iot/plant/dev-{number:03d}/temp", payload)

    def close(self) -> None:
        self._ending.set()
        self._thread.join(5)
        for client in (self._fleet, self._listener):
            client.loop_stop()
        self.server.kill()


class StoreWatch:
    """Whether a store was written to: what PostgreSQL counts, or what the file is."""

    def __init__(self, url: str, postgres: Postgres | None) -> None:
        self._postgres, self._url = postgres, url

    def state(self) -> object:
        if self._postgres is None:
            file = Path(self._url.removeprefix("sqlite:///"))
            log = file.with_name(file.name + "-wal")
            return hashlib.sha256(file.read_bytes()).hexdigest(), log.stat().st_size if log.exists() else 0
        with self._postgres.connect(self._url.rpartition("/")[2]) as connection:
            connection.execute(b"SELECT pg_stat_force_next_flush()")
            rows = connection.execute(
                b"SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY relname"
            ).fetchall()
            return sorted(rows), connection.execute(
                b"SELECT relname, relkind FROM pg_class WHERE relnamespace = 'iotcache'::regnamespace "
                b"ORDER BY relname"
            ).fetchall()


def start_nodes() -> list[Server]:
    """Three memcached; nothing but use moves an item in the first one's LRU."""
    path = program("memcached")
    assert path is not None
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    base = [path, "-l", "127.0.0.1", "-U", "0", "-m", "64", *user]
    flat = [*base, "-o", "no_lru_maintainer,no_slab_automove"]
    return [
        Server(lambda port: [*flat, "-p", str(port)]),
        *(Server(lambda port: [*base, "-p", str(port)]) for _ in range(2)),
    ]


def counters(node: Server) -> dict[str, int]:
    with contextlib.closing(Client(("127.0.0.1", node.port), timeout=5)) as client:
        stats = {name.decode(): value for name, value in client.stats().items()}
    return {name: int(stats.get(name, 0)) for name in UNCHANGED}


def items(node: Server) -> list[dict[str, str]]:
    """Each item in the order of the dump, which is that of the LRU, with its facts."""
    with socket.create_connection(("127.0.0.1", node.port), 10) as line:
        line.sendall(b"lru_crawler metadump all\r\n")
        text = b""
        while not text.endswith(b"END\r\n"):
            text += line.recv(1 << 16)
    return [
        dict(part.split("=", 1) for part in line.split())
        for line in text.decode().splitlines()
        if line.startswith("key=")
    ]


def cold(found: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    """What must not change of the items that nobody uses."""
    return [
        (unquote(one["key"]), one["la"], one["cas"], one["fetch"], one["size"], one["exp"])
        for one in found
        if one["key"].startswith(("cold-", "dev-"))
    ]


@contextlib.contextmanager
def screen(config: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The dashboard on a terminal of its own, with somebody who tries every key."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "XDG_CONFIG_HOME": str(folder / "preferences")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "iotcache_tui", "--read-only", "--config", str(config)],
        stdin=there, stdout=there, stderr=there, env=environ, cwd=folder, start_new_session=True,
    )  # fmt: skip
    os.close(there)
    ending = threading.Event()

    def drain() -> None:
        with contextlib.suppress(OSError):
            while os.read(here, 1 << 16):
                pass

    def press() -> None:
        while True:
            for key in KEYS_PRESSED:
                if ending.wait(0.4):
                    return
                with contextlib.suppress(OSError):
                    os.write(here, _CODES.get(key, key).encode())

    threads = [threading.Thread(target=work, daemon=True) for work in (drain, press)]
    for thread in threads:
        thread.start()
    try:
        yield process
    finally:
        ending.set()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            os.close(here)


@contextlib.contextmanager
def command(*words: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another of the program's commands that only look, until the end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "iotcache_tui", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


async def fill_store(config: Path) -> None:
    readings = [
        StoredReading(Reading(f"dev-{number:03d}", "temp", float(number), 1_700_000_000_000_000))
        for number in range(DEVICES)
    ]
    async with open_store(load({}, config_file=str(config), environ={}).settings.store) as store:
        await store.commit(readings)


def prove(seconds: float, folder: Path, postgres: Postgres | None) -> list[str]:
    """Run for so long; what is not as it has to be, in sentences."""
    folder.chmod(0o755)
    with contextlib.ExitStack() as running:
        nodes = start_nodes()
        for node in nodes:
            running.callback(node.kill)
        relays = [Relay(node.port) for node in nodes]
        for relay in relays:
            running.callback(relay.close)
        broker = Broker(folder)
        running.callback(broker.close)
        url = postgres.empty_database() if postgres is not None else f"sqlite:///{folder}/store.db"
        config = folder / "site.toml"
        password = f'password = "{PASSWORD}"\n' if postgres is not None else ""
        config.write_text(
            f'[broker]\nurl = "mqtt://{broker.server.address}"\n'
            f"[cache]\nnodes = {json.dumps([relay.address for relay in relays])}\n"
            f'[store]\nurl = "{url}"\n{password}'
        )
        asyncio.run(fill_store(config))
        watch = StoreWatch(url, postgres)
        application = OtherApplication(nodes)
        application.fill_cold()
        time.sleep(1.1)  # an item's last use is told in whole seconds
        before, lru, stored = list(map(counters, nodes)), [cold(items(node)) for node in nodes], watch.state()
        own = [dict(one) for one in application.counted]
        application.start()
        running.callback(application.stop)
        with (
            screen(config, folder) as dashboard,
            command("--plain", "--read-only", "--config", str(config), folder=folder) as plain,
            command("record", str(folder / "r.rec"), "--config", str(config), folder=folder) as recorder,
        ):
            for share, mode in ((0.4, "refused"), (0.15, "hangs"), (0.15, "refused"), (0.0, "open")):
                time.sleep(seconds * share)
                relays[1].turn(mode)  # type: ignore[arg-type]
            for words in (["doctor", "--json"], ["snapshot", "--json"]):
                subprocess.run(
                    [sys.executable, "-P", "-m", "iotcache_tui", *words, "--config", str(config)],
                    cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                )  # fmt: skip
            time.sleep(seconds * 0.3)
            wrong = [
                f"{name} ended with {process.returncode}"
                for name, process in (("dashboard", dashboard), ("--plain", plain), ("record", recorder))
                if process.poll() is not None
            ]
        application.stop()
        for number, node in enumerate(nodes):
            now, did = counters(node), application.counted[number]
            expected = {
                name: before[number][name] + did[name] - own[number].get(name, 0) for name in UNCHANGED
            }
            expected["touch_hits"] = before[number]["touch_hits"] + did["cmd_touch"]
            wrong += [
                f"{node.address}: {name} is {now[name]}, the application's own makes {expected[name]}"
                for name in UNCHANGED
                if now[name] != expected[name]
            ]
            found = items(node)
            names = {unquote(one["key"]) for one in found}
            if strange := names - application.names[number]:
                wrong.append(f"{node.address}: keys that the application never wrote: {sorted(strange)[:5]}")
            after = cold(found)
            same = after == lru[number] if number == 0 else sorted(after) == sorted(lru[number])
            if not same or len(after) != 2 * COLD_KEYS:
                wrong.append(f"{node.address}: items that nobody uses were moved or used")
        wrong += application.failures
        if watch.state() != stored:
            wrong.append(f"the store was written to: {stored} is now {watch.state()}")
        wrong += [f"published: {topic}" for topic in broker.topics if not topic.startswith("iot/")]
        wrong += _sent(relays)
        did_all = sum(application.counted, Counter[str]())
        print("the application: " + ", ".join(f"{times:,} × {name}" for name, times in did_all.items()))
    return wrong


def _sent(relays: Sequence[Relay]) -> Iterator[str]:
    """What was sent to the nodes and is no mere look; and how much was sent."""
    sent = Counter[str]()
    for relay in relays:
        sent.update(relay.commands)
        for name, times in relay.commands.items():
            head, *flags = name.split()
            plain_look = "u" in flags and not any(flag[0] in CHANGING_FLAGS for flag in flags)
            if not name.startswith(HARMLESS) or (head == "mg" and not plain_look):
                yield f"{relay.address} was sent {times} × {name!r}"
    print("sent by all that look: " + ", ".join(f"{times:,} × {name}" for name, times in sent.most_common()))
    if not sent:
        yield "nothing was looked at"


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Look at somebody else's cluster, and change nothing in it.")
    parser.add_argument("--for", dest="seconds", type=float, default=600.0, help="seconds (default 600)")
    parser.add_argument("--store", choices=("postgres", "sqlite"), default="postgres")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="iotcache-observe-"))
    postgres = None
    try:
        folder.chmod(0o755)
        if args.store == "postgres":
            (folder / "postgres").mkdir()
            postgres = Postgres(folder / "postgres")
        wrong = prove(args.seconds, folder, postgres)
    finally:
        if postgres is not None:
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for sentence in wrong:
        print(sentence)
    print(f"{len(wrong)} things changed" if wrong else f"nothing changed in {args.seconds:g} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
