"""Names of workers: stable over restarts, different within a group."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from iotcache.worker.instance import own_name

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no file locks of this kind")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(platform, "node", lambda: "host")


def test_alone_it_is_the_host() -> None:
    with own_name("") as one:
        assert one == "host"


def test_members_of_a_group_count_and_a_restart_takes_the_free_number() -> None:
    with own_name("g") as one, own_name("g") as two, own_name("../other") as other:
        assert (one, two, other) == ("host-1", "host-2", "host-1")
    with own_name("g") as again:
        assert again == "host-1"


def test_a_killed_process_gives_its_number_back(tmp_path: Path) -> None:
    script = (
        "import tempfile, sys; tempfile.tempdir = sys.argv[1]\n"
        "from iotcache.worker.instance import own_name\n"
        "with own_name('g') as name: print(name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip().endswith(b"-1")
        with own_name("g") as second:
            assert second == "host-2"
        other.kill()
        other.wait()
    with own_name("g") as first:
        assert first == "host-1"
