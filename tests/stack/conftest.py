"""Each test has its own runtime and temporary folders, so that no stack of another is found."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from .living import take_stock


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The runtime folder and the temporary folder of this test."""
    runtime, temporary = tmp_path / "run", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    take_stock()
    return runtime, temporary
