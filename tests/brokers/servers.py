"""Brokers of other makers as processes of this machine, each on a free loopback port.

`make brokers` runs against those that are there: mosquitto, rabbitmq-server and ejabberd are packages of
Debian; aedes comes from npm into ``$BROKERS_NODE`` (a folder with ``node_modules``), amqtt from PyPI into the
environment whose Python is ``$BROKERS_AMQTT``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

START_S: Final = 120.0
"""Erlang takes its time on a small machine, and more of it on one that is busy."""

_AEDES: Final = """
const { Aedes } = require('aedes');
const start = async () => {
  const aedes = Aedes.createBroker ? await Aedes.createBroker() : new Aedes();
  require('net').createServer(aedes.handle).listen(PORT, '127.0.0.1');
};
start();
"""
_AMQTT: Final = """
import asyncio, logging
from amqtt.broker import Broker
logging.basicConfig(level=logging.WARNING)
async def main():
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:PORT"}},
                     "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {
                         "allow_anonymous": True}}})
    await broker.start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
_EJABBERD: Final = """
hosts: [localhost]
loglevel: warning
auth_method: [anonymous]
allow_multiple_connections: true
anonymous_protocol: both
listen:
  - {port: PORT, ip: "127.0.0.1", module: mod_mqtt, backlog: 1000}
modules: {mod_mqtt: {access_publish: {}, access_subscribe: {}}}
"""


class Broker(Struct, frozen=True):
    """A make of broker, and how one is run."""

    name: str
    missing: Callable[[], str]
    """What of it is not there; empty when all is."""
    command: Callable[[Path, int], tuple[list[str], dict[str, str]]]
    """The command line and the environment for a folder of its own and a port."""
    version: Callable[[], str]
    login: tuple[str, str] = ("", "")


class Running:
    """One broker process: a context manager."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir(parents=True)
        command, environment = broker.command(folder, self.port)
        self._epmd_port = environment.get("ERL_EPMD_PORT", "")
        self._log = (folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=self._log, stderr=self._log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Running:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError("the broker did not start: see its broker.log") from None
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, 15)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, 9)
                self._process.wait(10)
        if self._epmd_port:  # Erlang's name service makes itself a daemon
            subprocess.run(
                ["epmd", "-port", self._epmd_port, "-kill"], capture_output=True, check=False, timeout=10
            )
        self._log.close()


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mosquitto(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    folder.chmod(0o777)
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        + ("user root\n" if os.geteuid() == 0 else "")
    )
    return [_program("mosquitto"), "-c", str(folder / "mosquitto.conf")], {}


def _rabbitmq(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp = none\nmqtt.listeners.tcp.default = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n"
        "mqtt.default_user = guest\nmqtt.default_pass = guest\n"
    )
    (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
    return [_program("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")], {
        "RABBITMQ_NODENAME": f"iotcache{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"), "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()), "HOME": str(folder),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }  # fmt: skip


def _ejabberd(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    config = folder / "ejabberd.yml"
    config.write_text(_EJABBERD.replace("PORT", str(port)))
    folders = sorted({str(path.parents[2]) for path in Path("/usr/lib").glob("*/*/ebin/*.app")})
    return [
        "erl", "-noinput", "-mnesia", "dir", f'"{folder}/spool"', "-s", "ejabberd",
        "-ejabberd", "config", f'"{config}"', "log_path", f'"{folder}/ejabberd.log"',
    ], {
        "EJABBERD_CONFIG_PATH": str(config), "HOME": str(folder),
        "ERL_LIBS": ":".join(folders),
    }  # fmt: skip


def _aedes(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    (folder / "broker.js").write_text(_AEDES.replace("PORT", str(port)))
    return ["node", str(folder / "broker.js")], {"NODE_PATH": f"{_node_folder()}/node_modules"}


def _amqtt(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    (folder / "broker.py").write_text(_AMQTT.replace("PORT", str(port)))
    return [_amqtt_python(), str(folder / "broker.py")], {"PYTHONPATH": ""}


def _program(name: str, *others: str) -> str:
    found = [path for path in (*others, f"/usr/sbin/{name}") if Path(path).exists()]
    return found[0] if found else shutil.which(name) or ""


def _node_folder() -> str:
    return os.environ.get("BROKERS_NODE", "")


def _amqtt_python() -> str:
    return os.environ.get("BROKERS_AMQTT", "")


def _debian(package: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return done.stdout.partition("-")[0] or "?"


def _npm_version() -> str:
    file = Path(_node_folder()) / "node_modules/aedes/package.json"
    return file.read_text().partition('"version": "')[2].partition('"')[0]


def _pip_version() -> str:
    code = "import importlib.metadata as m; print(m.version('amqtt'))"
    return subprocess.run(
        [_amqtt_python(), "-c", code], capture_output=True, text=True, check=False
    ).stdout.strip()


def _needs(what: str, there: Callable[[], bool]) -> Callable[[], str]:
    return lambda: "" if there() else f"{what} is not installed"


BROKERS: Final = (
    Broker(
        "mosquitto",
        _needs("mosquitto", lambda: bool(_program("mosquitto"))),
        _mosquitto,
        lambda: _debian("mosquitto"),
    ),
    Broker(
        "RabbitMQ",
        _needs("rabbitmq-server", lambda: Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists()),
        _rabbitmq,
        lambda: _debian("rabbitmq-server"),
        ("guest", "guest"),
    ),
    Broker(
        "ejabberd",
        _needs("ejabberd", lambda: any(Path("/usr/lib").glob("*/ejabberd-*/ebin"))),
        _ejabberd,
        lambda: _debian("ejabberd"),
        ("iot@localhost", "iot"),
    ),
    Broker(
        "aedes",
        _needs(
            "aedes (see BROKERS_NODE)",
            lambda: bool(_node_folder()) and (Path(_node_folder()) / "node_modules/aedes").exists(),
        ),
        _aedes,
        _npm_version,
    ),
    Broker(
        "amqtt",
        _needs("amqtt (see BROKERS_AMQTT)", lambda: bool(_amqtt_python()) and Path(_amqtt_python()).exists()),
        _amqtt,
        _pip_version,
    ),
)
