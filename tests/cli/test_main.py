"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iotcache.errors import BrokerError, ConfigError, UsageError
from iotcache_tui.cli.main import main
from tests.conforming import conforming

RunHere = Callable[..., subprocess.CompletedProcess[str]]
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")}


def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "iotcache_tui", *args],
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
        (["simulate", "--devics", "3"], {}, "did you mean --devices"),
        (["config", "--brokr=mqtt://h"], {}, "did you mean --broker"),
        (["simulate", "--cache.nodes=a:1"], {}, "did you mean --set cache.nodes"),
        (["--frame-hz", "5"], {}, "did you mean --set dashboard.frame_hz=…?"),
        (["simulate", "--theme"], {}, "did you mean --set dashboard.theme=…?"),
        (["simulate", "--devices"], {}, "expected one argument"),
        (["--no-simulate", "stack"], {}, "the command comes first"),
        (["stack", "more"], {}, "one word too many"),
        (["\x1b[31m\n"], {}, "\\x1b[31m\\x0a"),
        (["config", "--config", "\x1b[31m\nx"], {}, "\\x1b[31m\\x0ax"),
        (["config", "--broker", "mqtt://u:hush@h:0"], {}, "(flag --broker)"),
        (["config", "--set", "nonsense"], {}, "KEY=VALUE"),
        (["config", "--set", "broker.ulr=x"], {}, "did you mean broker.url"),
        (["config", "hide"], {}, "config show"),
        (["config"], {"IOTCACHE_CONFIG": "/nonexistent.toml"}, "missing"),
        ([], {}, "needs a terminal"),
        ([], {"IOTCACHE_DASHBOARD_FRAME_HZ": "0"}, "1 to 10"),
    ],
)
def test_a_usage_mistake_is_one_sentence_and_exit_2(
    run_here: RunHere, args: list[str], env: dict[str, str], part: str
) -> None:
    done = run_here(*args, **env)
    assert done.returncode == 2
    assert part in one_sentence(done)
    assert "hush" not in done.stderr


def test_a_broken_file_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[broker\n")
    done = run("config", cwd=tmp_path)
    assert done.returncode == 2
    assert "not TOML" in one_sentence(done)


def test_config_show_tells_values_and_origins_and_masks_secrets(run_here: RunHere) -> None:
    done = run_here(
        "config", "show", "--json", "--set", "simulator.seed=9",
        IOTCACHE_BROKER_PASSWORD="hush", IOTCACHE_STORE_URL="postgresql://u:hush@h/d",
    )  # fmt: skip
    shown = conforming("config-show", done.stdout)
    assert shown["simulator.seed"] == {"value": 9, "origin": "flag --set"}
    assert shown["broker.password"]["value"] == "***"
    assert shown["store.url"]["value"] == "postgresql://u:***@h/d"
    assert shown["dashboard.frame_hz"] == {"value": 4, "origin": "default"}
    assert "hush" not in done.stdout
    assert "hush" not in run_here("config", IOTCACHE_BROKER_PASSWORD="hush").stdout


def test_the_default_file_can_be_had_and_loads(run_here: RunHere, tmp_path: Path) -> None:
    done = run_here("config", "default")
    assert done.stdout == (Path(__file__).parents[2] / "config.toml").read_text("utf-8")
    (tmp_path / "config.toml").write_text(done.stdout, "utf-8")
    assert run_here("config").returncode == 0


def test_help_and_version() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("simulate", "stack", "doctor", "--config", "--set"):
        assert word in done.stdout
    assert run("--version").stdout.startswith("iotcache-tui ")


def test_common_flags_may_stand_before_the_command(run_here: RunHere) -> None:
    done = run_here("--set", "simulator.seed=9", "--set=simulator.qos=0", "config", "--json")
    shown = json.loads(done.stdout)
    assert (shown["simulator.seed"]["value"], shown["simulator.qos"]["value"]) == (9, 0)


def test_the_shipped_file_in_the_working_folder_is_taken() -> None:
    root = Path(__file__).parents[2]
    shown = json.loads(run("config", "--json", cwd=root).stdout)
    text = (root / "config.toml").read_text("utf-8")
    # An array of tables that is empty stands there as a comment: its key would forbid the tables.
    left_out = {key for key, one in shown.items() if one["origin"] != "config.toml"}
    assert all(f"# [[{key}]]" in text for key in left_out), left_out
    assert len(left_out) < 3


@pytest.mark.parametrize("command", ["config", "schema scenario", "doctor --help"])
def test_output_that_cannot_be_written(tmp_path: Path, command: str) -> None:
    """Longer than the stream's buffer, and shorter."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iotcache_tui", *command.split()],
            stdout=full, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, timeout=60, env={**ENVIRONMENT, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "iotcache-tui: the output cannot be written: No space left on device\n"


def test_closed_or_poor_output_is_no_error(tmp_path: Path) -> None:
    closed = subprocess.run(
        f"{sys.executable} -P -m iotcache_tui config <&- >&- 2>&-",
        shell=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=60,
    )
    assert closed.returncode == 0
    poor = run("--help", PYTHONIOENCODING="ascii")
    assert poor.returncode == 0
    assert "\\u2026" in poor.stdout


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException], int]:
    """Runs a command that ends with a given error, in this process."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run_it(error: BaseException) -> int:
        def fail(args: object) -> int:
            raise error

        monkeypatch.setattr("iotcache_tui.cli.commands.where.add_arguments", lambda parser: None)
        monkeypatch.setattr("iotcache_tui.cli.commands.where.run", fail)
        return main(["where"])

    return run_it


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("no"), 2, "no"),
        (UsageError("no"), 2, "no"),
        (BrokerError("two\nlines\x1b[2J"), 1, "two\\x0alines\\x1b[2J"),
        (ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("", [BrokerError("ours")])]), 1, "ours"),
        (KeyboardInterrupt(), 130, None),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), 130, None),
        (SystemExit(4), 4, None),
    ],
)
def test_errors_are_told_in_one_sentence(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str | None,
) -> None:
    assert failing(error) == code
    assert capsys.readouterr().err == (f"iotcache-tui: {said}\n" if said is not None else "")


def test_an_error_nobody_foresaw_leaves_its_traceback_in_a_file(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert failing(ZeroDivisionError("a\x1bb\nc")) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "\n" not in said[:-1]
    (file,) = (tmp_path / "state").rglob("iotcache-crash-*.log")
    assert str(file) in said
    text = file.read_text("utf-8")
    assert text.startswith("Traceback")
    assert "\x1b" not in text
    assert file.stat().st_mode & 0o077 == 0


def test_the_temporary_folder_takes_the_traceback_where_the_log_folder_cannot(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert failing(ZeroDivisionError()) == 1
    (file,) = tmp_path.glob("iotcache-crash-*.log")
    assert str(file) in capsys.readouterr().err


def test_output_cut_short_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -P -m iotcache_tui config | head -1", shell=True, capture_output=True, text=True,
        cwd=tmp_path, env=ENVIRONMENT, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("broker.url")
    assert done.stderr == ""


HEADLESS = """
import sys
import iotcache
from iotcache_tui.cli.main import main
iotcache.DeviceCache, iotcache.Cluster
for words in (["config"], ["--help"], ["simulate", "--help"], ["ingest", "--help"], ["--version"]):
    main(words)
import iotcache_tui.cli.commands.simulate, iotcache_simulator.publish.run
import iotcache_tui.cli.commands.stack, iotcache_simulator.stack.stack
import iotcache_tui.cli.commands.ingest, iotcache.worker.worker
import iotcache_tui.cli.commands.doctor, iotcache_tui.checks
heavy = {"textual", "plotext", "textual_plotext"} & set(sys.modules)
sys.exit(repr(heavy) if heavy else 0)
"""
"""In one process: what all of them together do not load, none of them does."""


def test_headless_parts_load_neither_textual_nor_plotext(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", HEADLESS], capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr


def test_help_needs_next_to_nothing(tmp_path: Path) -> None:
    check = (
        "import sys\nfrom iotcache_tui.cli.main import main\nmain(['--help'])\n"
        "heavy = {'asyncio', 'msgspec', 'aiomqtt', 'paho', 'pymemcache', 'psycopg'} & set(sys.modules)\n"
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
