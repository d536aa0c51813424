"""Fixtures for other people's tests: a broker, cache nodes and a store that live, and a seeded fleet.

pytest finds them where the package is installed::

    def test_my_service(iotcache_stack, device_fleet):
        report = device_fleet(devices=20, rate=200, duration=2)
        assert report["ok"]
        ...  # iotcache_stack.broker, .nodes, .store, .http

Everything runs in processes of its own, bound to loopback, and is gone when the session ends. Every run of
pytest in an environment with this package imports this module, also the runs that use none of it: it
imports nothing that pytest has not imported itself. What a fixture needs is imported when it is requested.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_START_S = 30.0
_END_S = 10.0
_PROGRAM = [sys.executable, "-P", "-m", "iotcache_tui"]


@dataclasses.dataclass(frozen=True)
class RunningStack:
    """The addresses of the stack's parts."""

    broker: str
    """``mqtt://127.0.0.1:PORT``."""
    nodes: tuple[str, ...]
    """``host:port`` of each Memcached node."""
    store: str
    """``sqlite:///PATH``."""
    http: str | None = None
    """The HTTP gateway."""
    runtime: str = ""
    """The runtime folder that ``iotcache-tui`` commands find it by (``IOTCACHE_RUNTIME_DIR``)."""


Fleet = Callable[..., dict[str, Any]]
"""``device_fleet(devices=…, rate=…, duration=…, seed=…, …)``: runs a fleet to its end; returns its report."""


def _environment(runtime: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IOTCACHE_")}
    return inherited | {"IOTCACHE_RUNTIME_DIR": runtime}


@pytest.fixture(scope="session")
def iotcache_stack() -> Iterator[RunningStack]:
    """A broker, Memcached nodes, a store and an ingest worker, for all tests of the session."""
    import json
    import select
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="iotcache-test-") as folder, contextlib.ExitStack() as exits:
        errors = exits.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            [*_PROGRAM, "stack", "--no-simulate"],
            stdout=subprocess.PIPE, stderr=errors, cwd=folder, env=_environment(folder),
        )  # fmt: skip
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], _START_S)
            line = process.stdout.readline() if readable else b""
            if not line:
                errors.seek(0)
                reason = errors.read().decode(errors="replace").strip()
                pytest.fail(f"the iotcache stack did not start: {reason or 'it printed nothing'}")
            parts = json.loads(line)
            yield RunningStack(
                parts["broker"], tuple(parts["nodes"]), parts["store"], parts.get("http"), folder
            )
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()
            process.wait(_END_S)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def device_fleet(iotcache_stack: RunningStack) -> Fleet:
    """Runs a seeded fleet against the stack: keyword arguments are the flags of ``iotcache-tui simulate``.

    ``duration`` must be among them. A list repeats its flag, ``True`` gives it alone, ``class_`` is
    ``--class``; ``verify="mqtt,store,cache"`` means the stack's own. Returns the report; its ``ok`` is the
    verdict. Raises `ValueError` with the reason when there is no report.
    """
    import json
    import subprocess

    def run(**flags: object) -> dict[str, Any]:
        if "duration" not in flags:
            raise TypeError("device_fleet needs a duration, in seconds")
        if "report" in flags:
            raise TypeError("device_fleet returns the report itself: leave out report=")
        command = [
            *_PROGRAM, "simulate", "--report", "-", "--broker", iotcache_stack.broker,
            "--nodes", ",".join(iotcache_stack.nodes), "--store", iotcache_stack.store,
        ]  # fmt: skip
        for name, argument in flags.items():
            flag = f"--{name.rstrip('_').replace('_', '-')}"
            for value in argument if isinstance(argument, list | tuple) else (argument,):
                if value is not None and value is not False:
                    command += [flag] if value is True else [flag, str(value)]
        finished = subprocess.run(
            command, capture_output=True, check=False, cwd=iotcache_stack.runtime,
            env=_environment(iotcache_stack.runtime),
        )  # fmt: skip
        try:
            report: dict[str, Any] = json.loads(finished.stdout)
        except ValueError:
            reason = (finished.stderr or finished.stdout).decode(errors="replace").strip()
            raise ValueError(reason or f"simulate printed no report (exit {finished.returncode})") from None
        return report

    return run
