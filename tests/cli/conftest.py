"""A stack that runs beside the commands under test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iotcache_tui.cli.main import main

TUI = [sys.executable, "-P", "-m", "iotcache_tui"]


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run_here(*args, **env)``: a command in this process, in a folder and with variables of its own."""

    def run_it(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("IOTCACHE_")]:
            monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        code = main(args)
        return subprocess.CompletedProcess(args, code, *capsys.readouterr())

    return run_it


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running stack, and the environment in which it is found."""
    env = {**os.environ, "IOTCACHE_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}
    with subprocess.Popen(
        [*TUI, "stack", "--set", "cache.embedded_server=bundled", "--set", "simulator.devices=6"],
        stdout=subprocess.PIPE, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield env | {
            "BROKER": ready["broker"],
            "NODES": ",".join(ready["nodes"]),
            "STORE": ready["store"],
        }
        process.send_signal(signal.SIGTERM)
        process.wait(10)
