"""``make brokers``: simulate, ingest, kill -9, resume and a group on brokers of other makers, as a table.

Real brokers, workers and fleet, all on loopback. Each cell says what came of it; what a broker lacks is its
result, and no failure of the run. The exit code tells whether mosquitto, which lacks nothing, passed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from iotcache.config.urls import parse_broker
from iotcache.errors import BrokerError
from iotcache.mqtt import MqttLink
from tests.brokers.servers import BROKERS, Broker, Running, free_port

READINGS: Final = 200
WAIT_S: Final = 15.0
VERSIONS: Final = ("3.1.1", "5")
NO_MQTT_5: Final = "it does not speak MQTT 5, and the worker says so"
STEPS: Final = ("simulate", "kill -9, resume", "kill -9, resume with the other version", "group")


class Site:
    """One broker, one version of the protocol: a cache node, a store and workers around it."""

    def __init__(self, broker: Broker, port: int, version: str, folder: Path, nodes: str) -> None:
        user, password = broker.login
        login = f"{user.replace('@', '%40')}:{password}@" if user else ""
        self.version = version
        self._url = f"mqtt://{login}127.0.0.1:{port}"
        self._folder = folder
        self._store = folder / "readings.db"
        self._common = [
            "--broker", self._url, "--nodes", nodes, "--store", f"sqlite:///{self._store}",
            "--set", f"broker.protocol={version}",
        ]  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self, name: str, *more: str) -> list[str]:
        return [sys.executable, "-P", "-m", "iotcache_tui", name, *self._common, *more]

    async def worker(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """A worker that is ready. Raises `RuntimeError` with what it says when it is not."""
        log = self._folder / f"{name}.log"
        log.write_bytes(b"")
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.command("ingest", "--instance", name, *more), stdout=file, stderr=file, cwd=self._folder
            )
        self.processes.append(process)
        deadline = time.monotonic() + WAIT_S * 2
        while b"ready: broker" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise RuntimeError(" ".join(lines)[-600:])
            await asyncio.sleep(0.1)
        return process

    def count(self, like: str = "%") -> int:
        if not self._store.exists():
            return 0
        connection = sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)
        try:
            text = "SELECT count(*) FROM reading JOIN series ON series_id = id WHERE device LIKE ?"
            return int(connection.execute(text, (like,)).fetchone()[0])
        except sqlite3.OperationalError:
            return 0
        finally:
            connection.close()

    async def until(self, like: str, wanted: int) -> int:
        """How many readings of such devices are stored, once it is as many as wanted or long enough."""
        deadline = time.monotonic() + WAIT_S
        while (found := self.count(like)) < wanted and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return found

    async def publish(self, device: str, count: int) -> int:
        """Readings that the broker confirmed."""
        confirmed = 0
        address = parse_broker(self._url)
        async with MqttLink(address, f"sender-{time.time_ns()}", protocol=self.version) as link:  # type: ignore[arg-type]
            async with asyncio.timeout(WAIT_S):
                await link.until_connected()
            for n in range(count):
                payload = json.dumps({"value": n, "seq": n, "boot": "b", "ts": round(time.time() * 1e6) + n})
                try:
                    await link.publish(f"iot/site/{device}/t", payload.encode(), timeout_s=5)
                    confirmed += 1
                except BrokerError:
                    break
        return confirmed

    async def simulate(self) -> str:
        worker = await self.worker("one")
        report = self._folder / "report.json"
        fleet = await asyncio.create_subprocess_exec(
            *self.command("simulate", "--devices", "20", "--rate", "100", "--duration", "4", "--qos", "1",
                          "--verify", "store", "--report", str(report)),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self._folder,
        )  # fmt: skip
        _, said = await fleet.communicate()
        worker.terminate()
        worker.wait(20)
        if fleet.returncode == 0:
            return f"all {self.count():,} stored"
        return f"exit {fleet.returncode}: {said.decode(errors='replace').strip()[-160:]}"

    async def resume(self) -> str:
        return await self._resume("away")

    async def change(self) -> str:
        other = next(one for one in VERSIONS if one != self.version)
        return await self._resume("changed", "--set", f"broker.protocol={other}")

    async def _resume(self, device: str, *changed: str) -> str:
        worker = await self.worker("one")
        await self.publish(f"{device}-before", 5)
        await self.until(f"{device}-before", 5)
        worker.kill()
        worker.wait(10)
        sent = await self.publish(device, READINGS)
        worker = await self.worker("one", *changed)
        found = await self.until(device, sent)
        worker.terminate()
        worker.wait(20)
        return f"all {sent} stored" if found == sent else f"{found} of {sent} stored"

    async def group(self) -> str:
        try:
            first = await self.worker("g-one", "--group", "g")
        except RuntimeError as refused:
            if "no shared subscriptions" not in str(refused):
                raise
            return "refused at the start, with the reason: it does not share"
        second = await self.worker("g-two", "--group", "g")
        sent = await self.publish("shared", READINGS)
        found = await self.until("shared", sent)
        second.terminate()
        second.wait(20)
        after = await self.publish("later", READINGS)
        stayed = await self.until("later", after)
        first.terminate()
        first.wait(20)
        if (found, stayed) == (sent, after):
            return f"all {sent + after} stored, {after} of them after one left"
        return f"{found} of {sent} stored, and {stayed} of {after} after one left"


async def _cells(broker: Broker, version: str, folder: Path, nodes: str) -> list[str]:
    cells: list[str] = []
    try:
        with Running(broker, folder / "broker") as running:
            site = Site(broker, running.port, version, folder, nodes)
            for name, step in zip(STEPS, (site.simulate, site.resume, site.change, site.group), strict=True):
                cells.append(await _cell(site, step))
                print(f"{broker.name:<10} MQTT {version:<6} {name:<16} {cells[-1]}", flush=True)
                if cells[-1] == NO_MQTT_5 and name == STEPS[0]:
                    break
    except RuntimeError as error:
        cells.append(str(error))
        print(f"{broker.name:<10} {error}", flush=True)
    return cells + [""] * (len(STEPS) - len(cells))


async def _cell(site: Site, step: Callable[[], Awaitable[str]]) -> str:
    try:
        return await step()
    except (RuntimeError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        return NO_MQTT_5 if "does not speak MQTT 5" in said else f"failed: {said[-200:]}"
    finally:
        for process in site.processes:
            if process.poll() is None:
                process.kill()


async def _run(names: list[str]) -> int:
    rows: list[str] = []
    failed = False
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="iotcache-brokers-")))
        folder.chmod(0o755)
        port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        node = subprocess.Popen(["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", *user])
        exits.callback(node.kill)
        for broker in BROKERS:
            if names and broker.name not in names:
                continue
            if missing := broker.missing():
                print(f"{broker.name:<10} {missing}", flush=True)
                continue
            for version in VERSIONS:
                cells = await _cells(broker, version, folder / broker.name / version, f"127.0.0.1:{port}")
                rows.append("| " + " | ".join([f"{broker.name} {broker.version()}", version, *cells]) + " |")
                good = all(cell.startswith("all ") for cell in cells)
                failed |= broker.name == "mosquitto" and not good
    print(f"\n{time.strftime('%Y-%m-%d', time.gmtime())}\n")
    print("| broker | MQTT | " + " | ".join(STEPS) + " |\n|" + " --- |" * (2 + len(STEPS)))
    print("\n".join(rows))
    return int(failed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.brokers.matrix", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these brokers")
    names = parser.parse_args().names
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the brokers end with us, however we end
    return asyncio.run(_run(names))


if __name__ == "__main__":
    sys.exit(main())
