"""Real servers for the tests, each on a free loopback port, each ended with its fixture."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from iotcache_simulator.processes import forked

PROGRAMS = {
    "memcached": ("memcached",),
    "mosquitto": ("mosquitto",),
    "memccapable": ("memccapable", "memcapable"),
    "tmux": ("tmux",),
}


def program(name: str) -> str | None:
    """Path of a server program, also where Debian keeps it off a user's PATH."""
    for candidate in PROGRAMS.get(name, (name,)):
        found = shutil.which(candidate) or shutil.which(candidate, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    if name == "postgres":
        found_many = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        return str(found_many[-1]) if found_many else None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("real"):
            for name in marker.args:
                if program(name) is None:
                    item.add_marker(pytest.mark.skip(reason=f"real server missing: {name}"))


def pytest_collection_finish() -> None:
    """What is there before the first test stays: the collector need not look at it over and over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """One fork server for all stacks of this process: the second one need load nothing."""
    forked.hold()
    yield
    forked.let_go()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """Return once something accepts on the port; fail when the process ended or never did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} at start")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{process.args!r} does not accept on port {port}")


class Server:
    """One real server process that a test may stop, pause and start again on its port."""

    def __init__(
        self,
        command: Callable[[int], list[str]],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = command
        """The command line for a port; another one counts from the next start on."""
        self.folder = cwd
        """Where the server runs and its files lie."""
        self.env = env
        """Its environment; ours when not given."""
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(self.port), cwd=self.folder, env=self.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await_port(self.port, self.process)

    def signal(self, number: int) -> None:
        """Send a signal, for instance SIGSTOP and SIGCONT."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def memcached_factory() -> Iterator[Callable[..., Server]]:
    """``memcached_factory(*extra_args)`` starts one more real memcached."""
    running: list[Server] = []

    def start(*extra: str) -> Server:
        path = program("memcached")
        assert path is not None
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        server = Server(
            lambda port: [path, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64", *user, *extra]
        )
        running.append(server)
        return server

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def memcached(memcached_factory: Callable[..., Server]) -> Server:
    """One real memcached."""
    return memcached_factory()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Server]:
    """A real mosquitto with persistence on disk, so that killing it keeps its sessions' messages."""
    path = program("mosquitto")
    assert path is not None
    folder = tmp_path / "mosquitto"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    def command(port: int) -> list[str]:
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nautosave_interval 1\nmax_queued_messages 0\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )
        return [path, "-c", str(config)]

    server = Server(command, folder)
    yield server
    server.kill()
