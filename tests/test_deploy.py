"""Containers, units and rules name files, commands, settings and metrics that there are; one is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import tomli
import yaml

from iotcache.config import load
from iotcache_tui.cli.parsers import COMMANDS, command_parser
from tests.cli.test_document_commands import run_line
from tests.conftest import Server, free_port, program

OUR_PROGRAM = (sys.executable, "-P", "-m", "iotcache_tui")
DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "iotcache"}
DOCKERFILE = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text("utf-8"))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes/iotcache.yaml").read_text("utf-8")))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def parse(words: list[str]) -> None:
    """Raises `UsageError` for what the program would not take."""
    command = words[0] if words and words[0] in dict(COMMANDS) else None
    command_parser(command).parse(words[1:] if command else words)


def exec_start(unit: Path) -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/usr/local/bin/iotcache-tui"
    return words


@pytest.mark.parametrize("service", OURS)
def test_a_container_runs_a_command_that_there_is(service: str) -> None:
    parse(OURS[service]["command"])


def image_command() -> list[str]:
    """What the image runs by itself."""
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    (command,) = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["iotcache-tui"]
    words: list[str] = json.loads(command)
    return words


def test_the_lines_above_the_services_are_those_that_bring_them_up(tmp_path: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    lines = re.findall(r"^# .*?((?:mkdir|openssl|docker) .*)$", text, re.MULTILINE)
    shell = [line for line in lines if not line.startswith("docker")]
    subprocess.run(["bash", "-ec", "\n".join(shell)], cwd=tmp_path, check=True, timeout=30)
    for secret in COMPOSE["secrets"].values():
        file = tmp_path / "deploy" / secret["file"]
        assert len(file.read_text().strip()) == 32
        assert file.stat().st_mode & 0o444 == 0o444, "the image's user is not ours"
    docker = [shlex.split(line) for line in lines if line.startswith("docker")]
    assert docker
    for words in docker:
        assert words[:4] == ["docker", "compose", "-f", "deploy/compose.yaml"]
        profiles = {name for one in COMPOSE["services"].values() for name in one.get("profiles", ())}
        if "--profile" in words:
            assert words[words.index("--profile") + 1] in profiles
        if "run" in words:
            assert words[-1] in OURS


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_that_there_is(unit: Path) -> None:
    parse(exec_start(unit))


def test_manifests_run_a_command_that_there_is() -> None:
    (worker,) = [one for one in MANIFESTS if one["metadata"]["name"] == "worker"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    parse(container["args"])


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_every_file_that_is_mounted_is_there(service: str) -> None:
    for volume in COMPOSE["services"][service].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def _settings() -> list[tuple[str, str]]:
    (config,) = [one["data"]["config.toml"] for one in MANIFESTS if one["kind"] == "ConfigMap"]
    return [("compose", (DEPLOY / "iotcache.toml").read_text("utf-8")), ("kubernetes", config)]


@pytest.mark.parametrize(("name", "text"), _settings(), ids=lambda value: value if len(value) < 20 else "")
def test_the_settings_are_valid_and_name_the_services(name: str, text: str, tmp_path: Path) -> None:
    for secret in re.findall(r'"(/run/secrets/[^"]+)"', text):
        file = tmp_path / Path(secret).name
        file.write_text("s3cret\n")
        text = text.replace(secret, str(file))
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    settings = load({}, str(path), environ={}).settings
    assert (settings.store.password, settings.http.token) == ("s3cret", "s3cret")
    if name == "compose":
        hosts = {node.split(":")[0] for node in settings.cache.nodes}
        assert {*hosts, "broker", "database"} <= COMPOSE["services"].keys()


def test_the_image_copies_what_the_wheel_is_built_from() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = {
        word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    }
    project = tomli.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {one.split("/")[0] for one in (*wheel["packages"], *wheel["force-include"])}
    assert {
        *needed,
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
    } <= copied
    ignored = (DEPLOY.parent / ".dockerignore").read_text("utf-8").split()
    assert not copied & set(ignored)


@pytest.mark.real("memcached")
def test_cache_nodes_take_the_arguments_that_they_are_given(memcached_factory: Callable[..., Server]) -> None:
    (pods,) = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == ("StatefulSet", "cache")]
    (container,) = pods["spec"]["template"]["spec"]["containers"]
    given = {tuple(one["command"]) for one in COMPOSE["services"].values() if "memcached" in one["image"]}
    for arguments in given | {tuple(container["args"])}:
        memcached_factory(*arguments)


@pytest.mark.real("mosquitto")
def test_the_broker_takes_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    text = (DEPLOY / "mosquitto.conf").read_text("utf-8").replace("/mosquitto/data", str(folder))

    def command(port: int) -> list[str]:
        config = tmp_path / "mosquitto.conf"
        config.write_text(re.sub(r"^listener .*$", f"listener {port} 127.0.0.1", text, flags=re.MULTILINE))
        path = program("mosquitto")
        assert path is not None
        config.write_text(config.read_text() + ("\nuser root\n" if os.geteuid() == 0 else ""))
        return [path, "-c", str(config)]

    Server(command, tmp_path).kill()


def _metrics(text: str) -> set[str]:
    return set(re.findall(r"\biotcache_[a-z_]+", text))


class Running:
    """What containers, units and pods run, over servers of the test: each command as it stands there."""

    def __init__(self, memcached: Server, mosquitto: Server, folder: Path) -> None:
        self._folder = folder
        (folder / "http_token").write_text("s3cret\n")
        config = folder / "config.toml"
        config.write_text(
            f'broker.url = "mqtt://{mosquitto.address}"\ncache.nodes = ["{memcached.address}"]\n'
            f'store.url = "sqlite:///{folder}/readings.db"\nhttp.token_file = "{folder}/http_token"\n'
            'ingest.group = "workers"\n'
        )
        self.env: dict[str, str] = {
            **{key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")},
            "IOTCACHE_CONFIG": str(config), "HOME": str(folder), "XDG_STATE_HOME": str(folder),
            "PYTHONPATH": ":".join(sys.path),
        }  # fmt: skip
        self._programs: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], by: Sequence[str] = OUR_PROGRAM) -> int:
        """Start it; the port that is its in the place of 8080."""
        port = free_port()
        # systemd's %H, %i and %d, and the name of a pod.
        stands = {
            "0.0.0.0:8080": f"127.0.0.1:{port}", "%H": "host", "%i": "1", "%d": str(self._folder),
            "$(POD_NAME)": "worker-0",
        }  # fmt: skip
        for name, value in stands.items():
            command = [word.replace(name, value) for word in command]
        self._programs.append(
            subprocess.Popen(
                [*by, *command],
                env=self.env, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        return port

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not true():
            assert [one.poll() for one in self._programs] == [None] * len(self._programs)
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def healthy(self, port: int) -> bool:
        """What the image's health check says."""
        (check,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', (DEPLOY / "Dockerfile").read_text("utf-8"))
        command = [sys.executable, "-c", check.replace(":8080", f":{port}")]
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0

    def metrics(self, port: int) -> str:
        headers = {"Authorization": "Bearer s3cret"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return str(answer.read().decode())

    def end(self) -> list[int]:
        """How each left that was asked to."""
        for one in reversed(self._programs):
            one.terminate()
        try:
            return [one.wait(30) for one in self._programs]
        finally:
            for one in self._programs:
                one.kill()


@pytest.fixture
def running(memcached: Server, mosquitto: Server, tmp_path: Path) -> Iterator[Running]:
    running = Running(memcached, mosquitto, tmp_path)
    yield running
    running.end()


def test_a_worker_runs_as_its_container_does(running: Running) -> None:
    """Command, environment and health check of the image; and the rules' metrics are those that it has."""
    ports = [running.start(OURS["worker1"]["command"]), running.start(image_command())]
    running.until(lambda: all(map(running.healthy, ports)))
    scraped = running.metrics(ports[0])
    assert running.end() == [0, 0]
    rules = (DEPLOY / "prometheus/rules.yaml").read_text("utf-8")
    assert _metrics(rules) - {"iotcache_"} <= _metrics(scraped)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_image_is_built_by_its_own_commands(running: Running, tmp_path: Path) -> None:
    """What COPY names is enough for the wheels, those for what is installed, and that for its command."""
    source, wheels, venv = tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    for words in map(str.split, re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)):
        target = (source / words[-1]).resolve()
        for name in words[:-1]:
            place = DEPLOY.parent / name
            if place.is_dir():
                shutil.copytree(place, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(place, target)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=120)
    environment = running.env | {"PATH": f"{venv}/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH")
    build, install = (
        re.sub(r"--mount=\S+ ", "", line).partition(" && useradd")[0].replace("/wheels", str(wheels))
        for line in re.findall(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE)
    )
    assert build.startswith("pip wheel ") and install.startswith("pip install ")
    for line in (build, install):
        subprocess.run(["bash", "-ec", line], cwd=source, env=environment, check=True, timeout=300)
    running.env = environment
    port = running.start(image_command(), [str(venv / "bin" / "iotcache-tui")])
    running.until(lambda: running.healthy(port))
    assert running.end() == [0]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_all_that_is_deployed_runs_together(running: Running, tmp_path: Path) -> None:
    """The workers of containers, units and pods, the recorder, the fleet, and the dashboard over them."""
    (worker,) = [one for one in MANIFESTS if one["metadata"]["name"] == "worker"]
    commands = [
        OURS["worker2"]["command"], OURS["gateway"]["command"], *map(exec_start, UNITS),
        worker["spec"]["template"]["spec"]["containers"][0]["args"],
    ]  # fmt: skip
    ports = [running.start(command) for command in commands if "--http" in " ".join(command)]
    for command in commands:
        if "--http" not in command:
            running.start(command)
    running.until(lambda: all(map(running.healthy, ports)))
    running.start(OURS["fleet"]["command"])

    def stored() -> float:
        counter = re.compile(r"^iotcache_ingest_readings_stored_total ([0-9.e+]+)", re.MULTILINE)
        return sum(float(count) for port in ports for count in counter.findall(running.metrics(port)))

    running.until(lambda: stored() > 100)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "iotcache-tui"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m iotcache_tui "$@"\n')
    program.chmod(0o755)
    size = {"TERM": "xterm-256color", "LINES": "40", "COLUMNS": "120"}
    path = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    line = shlex.join(["iotcache-tui", *OURS["dashboard"]["command"]])
    assert "READ-ONLY" in run_line(line, tmp_path, running.env | size | path)
    assert set(running.end()) == {0}
    assert (tmp_path / "flight.rec").stat().st_size > 0
