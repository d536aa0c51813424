"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")}


def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tui", *args],
        capture_output=True, text=True, timeout=60, cwd=cwd, stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, **env},
    )  # fmt: skip


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("args", "env", "part"),
    [
        (["simulat"], {}, "did you mean simulate"),
        (["no-such-thing"], {}, "there are"),
        (["--no-such-flag"], {}, "--no-such-flag"),
        (["config", "--set", "nonsense"], {}, "KEY=VALUE"),
        (["config", "--set", "broker.ulr=x"], {}, "did you mean broker.url"),
        (["config", "hide"], {}, "config show"),
        (["config"], {"IOTCACHE_CONFIG": "/nonexistent.toml"}, "missing"),
        ([], {}, "needs a terminal"),
        ([], {"IOTCACHE_DASHBOARD_FRAME_HZ": "0"}, "1 to 10"),
    ],
)
def test_a_usage_mistake_is_one_sentence_and_exit_2(
    tmp_path: Path, args: list[str], env: dict[str, str], part: str
) -> None:
    done = run(*args, cwd=tmp_path, **env)
    assert done.returncode == 2
    assert part in one_sentence(done)


def test_a_broken_file_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[broker\n")
    done = run("config", cwd=tmp_path)
    assert done.returncode == 2
    assert "not TOML" in one_sentence(done)


def test_config_show_tells_values_and_origins_and_masks_secrets(tmp_path: Path) -> None:
    done = run(
        "config", "show", "--json", "--set", "simulator.seed=9", cwd=tmp_path,
        IOTCACHE_BROKER_PASSWORD="hush", IOTCACHE_STORE_URL="postgresql://u:hush@h/d",
    )  # fmt: skip
    shown = json.loads(done.stdout)
    assert shown["simulator.seed"] == {"value": 9, "origin": "flag --set"}
    assert shown["broker.password"]["value"] == "***"
    assert shown["store.url"]["value"] == "postgresql://u:***@h/d"
    assert shown["dashboard.frame_hz"] == {"value": 4, "origin": "default"}
    assert "hush" not in done.stdout
    assert "hush" not in run("config", cwd=tmp_path, IOTCACHE_BROKER_PASSWORD="hush").stdout


def test_help_and_version() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("simulate", "stack", "doctor", "--config", "--set"):
        assert word in done.stdout
    assert run("--version").stdout.startswith("iotcache-tui ")


def test_output_cut_short_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -P -m tui config | head -1", shell=True, capture_output=True, text=True,
        cwd=tmp_path, env=ENVIRONMENT, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("broker.url")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        "import iotcache; iotcache.DeviceCache; iotcache.Cluster",
        "from tui.cli.main import main; main(['config'])",
        "import tui.cli.simulate, simulator.publish.run",
        "import tui.cli.stack, simulator.stack.stack",
        "import tui.cli.ingest, iotcache.ingest.worker",
        "import tui.cli.doctor, tui.checks",
    ],
)
def test_headless_parts_load_neither_textual_nor_plotext(tmp_path: Path, code: str) -> None:
    check = (
        f"import sys\n{code}\n"
        "heavy = {'textual', 'plotext', 'textual_plotext'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", check], capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr


def test_imports_run_one_way() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(tool)], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60
    )
    assert done.returncode == 0, done.stdout
