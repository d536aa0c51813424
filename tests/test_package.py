"""A wheel built from this tree carries every file that it needs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheel import ROOT, unpacked_wheel


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


def run(unpacked: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")}
    return subprocess.run(
        [sys.executable, "-P", *args], capture_output=True, text=True, timeout=60, cwd=cwd,
        env={**env, "PYTHONPATH": str(unpacked)},
    )  # fmt: skip


def test_every_file_of_the_packages_is_in_it(unpacked: Path) -> None:
    for package in (ROOT / "iotcache", ROOT / "simulator/iotcache_simulator", ROOT / "tui/iotcache_tui"):
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert (unpacked / file.relative_to(package.parent)).read_bytes() == file.read_bytes()


def test_no_top_level_name_that_others_use_is_taken(unpacked: Path) -> None:
    names = {entry.name for entry in unpacked.iterdir() if not entry.name.endswith(".dist-info")}
    assert names == {"iotcache", "iotcache_simulator", "iotcache_tui"}


def test_the_shipped_configuration_travels_along(unpacked: Path, tmp_path: Path) -> None:
    done = run(unpacked, "-m", "iotcache_tui", "config", "default", cwd=tmp_path)
    assert done.stdout == (ROOT / "config.toml").read_text("utf-8")


def test_dashboard_and_fleet_find_their_data_there(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import iotcache_tui.app, iotcache_simulator.fleet.classes as classes\n"
        "from pathlib import Path\n"
        "assert Path(iotcache_tui.app.__file__).with_name(iotcache_tui.app.IotCacheApp.CSS_PATH).is_file()\n"
        "print(len(classes.shipped_classes()), iotcache_tui.app.__file__)"
    )
    done = run(unpacked, "-c", code, cwd=tmp_path)
    count, where = done.stdout.split()
    assert int(count) >= 6, done.stderr
    assert where.startswith(str(unpacked))
