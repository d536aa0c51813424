"""libmemcached's own conformance test passes, all of it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.cachenode.conftest import NodeProcess


@pytest.mark.real("memccapable")
def test_every_ascii_test_of_libmemcached_passes(node_process: NodeProcess) -> None:
    program = shutil.which("memccapable") or shutil.which("memcapable")
    assert program is not None
    run = subprocess.run(
        [program, "-a", "-h", "127.0.0.1", "-p", str(node_process.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    passed = re.findall(r"^ascii .*\[pass\]$", run.stdout, re.MULTILINE)
    assert len(passed) == 27, run.stdout + run.stderr
    assert "All tests passed" in run.stdout
