"""The examples of docs/library.md run as they stand there, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server

TEXT = (Path(__file__).parents[1] / "docs/library.md").read_text("utf-8")
SECTION = re.compile(r"^## ([^\n]*)$|<!-- run(?:: (\w+))? -->\n```python\n(.*?)```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Section, kind and code of each."""
    found, section = [], ""
    for heading, kind, code in SECTION.findall(TEXT):
        if heading:
            section = heading
        else:
            found.append((section, kind, code))
    return found


@pytest.fixture
def settings(memcached: Server, tmp_path: Path) -> dict[str, str]:
    return {
        "IOTCACHE_CACHE_NODES": memcached.address,
        "IOTCACHE_STORE_URL": f"sqlite:///{tmp_path}/readings.db",
    }


@pytest.mark.parametrize(
    ("code"),
    [pytest.param(code, id=section) for section, kind, code in examples() if not kind],
)
def test_an_example_runs(code: str, settings: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={**os.environ, **settings},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_section_with_python_is_run() -> None:
    assert len(re.findall("```python", TEXT)) == len(examples()) >= 7


def _ask(url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_service_answers(settings: dict[str, str], tmp_path: Path) -> None:
    ((_, _, code),) = [one for one in examples() if one[1] == "service"]
    (tmp_path / "service.py").write_text(code, "utf-8")
    service = Server(
        lambda port: [
            *(sys.executable, "-P", "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", str(port)),
            *("--log-level", "error", "service:app"),
        ],
        cwd=tmp_path,
        env={**os.environ, **settings},
    )
    url = f"http://{service.address}/press-7/temperature"
    body = {"value": 61.5, "ts_us": 1_700_000_000_000_000}
    try:
        assert _ask(url)[0] == 404
        assert _ask(url, body) == (201, {"stored": 1})
        assert _ask(url) == (200, {"value": 61.5, "unit": "", "source": "cache"})
        assert _ask(url, {**body, "ts_us": 0})[0] == 422
    finally:
        service.kill()
