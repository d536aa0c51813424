"""A stack that runs beside the commands under test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

TUI = [sys.executable, "-P", "-m", "iotcache_tui"]


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
