"""The fixtures for strangers, used as a stranger would: in a test suite of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = """
import socket
import pytest

def test_a_fleet_reaches_the_stack(iotcache_stack, device_fleet):
    report = device_fleet(devices=10, rate=100, duration=1, seed=3, require=["lost==0", "confirmed>50"],
                          verify="mqtt,store,cache", class_=["pump", "hvac"], lives=True, retain=False)
    assert report["ok"], report["failures"]
    assert set(report["classes"]) == {"pump", "hvac"}
    assert report["ledger"]["cache"]["fresh"] > 0
    assert report["ledger"]["store"]["stored"] == report["planned"]
    for node in iotcache_stack.nodes:
        host, _, port = node.rpartition(":")
        socket.create_connection((host, int(port)), 1).close()

def test_a_mistake_is_told(device_fleet):
    with pytest.raises(ValueError, match="--qos"):
        device_fleet(duration=1, qos=7)
    with pytest.raises(TypeError, match="duration"):
        device_fleet(devices=3)
"""


@pytest.mark.real("memcached")
def test_a_stranger_gets_a_stack_and_a_fleet_with_the_package_alone(tmp_path: Path) -> None:
    (tmp_path / "test_stranger.py").write_text(STRANGER)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=80, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_suites_that_do_not_use_the_fixtures_pay_nothing_for_them() -> None:
    script = (
        "import pytest, sys; before = set(sys.modules); import iotcache_simulator.pytest_plugin; "
        "new = set(sys.modules) - before; "
        "print(sorted(name for name in new if not name.startswith('iotcache_simulator')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(done.stdout.strip("[]\n").replace("'", "").split(", ")) - {""}
    assert not {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
