"""The fixtures for strangers, used as a stranger would: in a project of its own, from the built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheel import unpacked_wheel

TEST_FILE = """
import socket
import pytest
from simulator import OWN_SIMULATOR
from tui.screen import OWN_TUI

def test_the_projects_own_packages_win():
    assert (OWN_SIMULATOR, OWN_TUI) == ("ours", "ours too")

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

def test_a_mistake_is_named(device_fleet):
    with pytest.raises(ValueError, match="--qos"):
        device_fleet(duration=1, qos=7)
    with pytest.raises(ValueError, match="usage"):
        device_fleet(duration=1, help=True)
    with pytest.raises(TypeError, match="duration"):
        device_fleet(devices=3)
    with pytest.raises(TypeError, match="report"):
        device_fleet(duration=1, report="report.json")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.long
@pytest.mark.real("memcached")
@pytest.mark.parametrize("own_path_first", [False, True])
def test_a_project_with_packages_called_simulator_and_tui_uses_the_fixtures(
    site: Path, tmp_path: Path, own_path_first: bool
) -> None:
    for name, text in {
        "simulator/__init__.py": "OWN_SIMULATOR = 'ours'\n",
        "tui/__init__.py": "",
        "tui/screen.py": "OWN_TUI = 'ours too'\n",
        "tests/test_project.py": TEST_FILE,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = [str(tmp_path), str(site)] if own_path_first else [str(site)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, timeout=80,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_suites_that_do_not_use_the_fixtures_import_nothing_for_them(site: Path, tmp_path: Path) -> None:
    script = (
        "import pytest, sys; before = set(sys.modules); import iotcache_simulator.pytest_plugin as plugin; "
        "print(*sorted(set(sys.modules) - before), plugin.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )  # fmt: skip
    *modules, file = done.stdout.split()
    assert modules == ["iotcache_simulator", "iotcache_simulator.pytest_plugin"]
    assert Path(file).is_relative_to(site)
