"""Containers, units and rules name files, commands, settings and metrics that there are; one is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml

from iotcache.config import load
from iotcache_tui.cli.parsers import COMMANDS, command_parser
from tests.conftest import Server, free_port, program

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "iotcache"}
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


def test_a_worker_runs_as_its_container_does(memcached: Server, mosquitto: Server, tmp_path: Path) -> None:
    """Command, environment and health check of the image; and the rules' metrics are those that it has."""
    port = free_port()
    config = tmp_path / "config.toml"
    config.write_text(
        f'broker.url = "mqtt://{mosquitto.address}"\ncache.nodes = ["{memcached.address}"]\n'
        f'store.url = "sqlite:///{tmp_path}/readings.db"\nhttp.token = "s3cret"\ningest.group = "workers"\n'
    )
    command = [word.replace("0.0.0.0:8080", f"127.0.0.1:{port}") for word in OURS["worker1"]["command"]]
    environment: dict[str, Any] = {
        key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")
    }
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "iotcache_tui", *command],
        env={**environment, "IOTCACHE_CONFIG": str(config), "HOME": str(tmp_path)}, cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (check,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', (DEPLOY / "Dockerfile").read_text("utf-8"))
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(
            [sys.executable, "-c", check.replace(":8080", f":{port}")], capture_output=True, timeout=30
        ).returncode:
            assert worker.poll() is None
            assert time.monotonic() < deadline
        asked = (
            "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(u.Request("
            f"'http://127.0.0.1:{port}/metrics', headers={{'Authorization': 'Bearer s3cret'}})).read())"
        )
        scraped = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
    rules = (DEPLOY / "prometheus/rules.yaml").read_text("utf-8")
    assert _metrics(rules) - {"iotcache_"} <= _metrics(scraped.stdout)
