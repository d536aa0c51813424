"""What devices measured is nobody else's: files that we make are for their owner only, whatever the umask."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iotcache.config.schema import LogSettings, StoreSettings
from iotcache.logs import set_up
from iotcache.model import Reading, StoredReading
from iotcache.private_files import make_private_folder
from iotcache.store import open_store
from iotcache_tui.cli.main import main
from iotcache_tui.export import as_csv, write_new
from iotcache_tui.preferences import PreferencesFile, UiPreferences
from iotcache_tui.record.recorder import Recorder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077], ids=oct)
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_store_its_log_and_its_index(tmp_path: Path) -> None:
    async with open_store(StoreSettings(url=f"sqlite:///{tmp_path}/r.db")) as store:
        await store.commit([StoredReading(Reading("d", "s", 1.0, 1_700_000_000_000_000))], ())
        modes = {path.name: mode(path) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("r.db", "r.db-wal", "r.db-shm"), 0o600)


async def test_a_store_that_was_opened_to_others_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    path.touch()
    path.chmod(0o640)
    async with open_store(StoreSettings(url=f"sqlite:///{path}")):
        assert mode(path) == 0o640


def test_logs_named_or_not(tmp_path: Path) -> None:
    root = logging.getLogger()
    handlers, level, loud = list(root.handlers), root.level, logging.raiseExceptions
    try:
        set_up(LogSettings(level="info", file=str(tmp_path / "named.log")))
        logging.getLogger("iotcache.test").info("one")
        set_up(LogSettings(level="info"), default_file=tmp_path / "state" / "deep" / "own.log")
        logging.getLogger("iotcache.test").info("two")
    finally:
        for handler in [one for one in root.handlers if one not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        logging.raiseExceptions = loud
    assert "one" in (tmp_path / "named.log").read_text()
    assert "two" in (tmp_path / "state" / "deep" / "own.log").read_text()
    assert mode(tmp_path / "named.log") == mode(tmp_path / "state" / "deep" / "own.log") == 0o600
    assert mode(tmp_path / "state") == mode(tmp_path / "state" / "deep") == 0o700


def test_crash_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from iotcache_tui.cli import main as cli

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli._unexpected(ValueError("x"))
    (log,) = (tmp_path / "state").rglob("iotcache-crash-*.log")
    assert (mode(log), mode(log.parent)) == (0o600, 0o700)


def test_recordings_exports_and_preferences(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.rec")
    recorder.close()
    export = write_new(tmp_path, "fleet", "csv", "x", 0.0)
    kept = tmp_path / "state" / "dashboard.json"
    PreferencesFile(kept).save(UiPreferences(theme="x"))
    assert mode(tmp_path / "a.rec") == mode(export) == mode(kept) == 0o600
    assert mode(kept.parent) == 0o700


def test_folders_that_are_there_keep_their_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "a" / "b")
    make_private_folder(tmp_path / "a" / "b")
    assert [mode(tmp_path / name) for name in (".", "a", "a/b")] == [0o755, 0o700, 0o700]


@pytest.mark.real("mosquitto")
def test_captures(tmp_path: Path, mosquitto: object) -> None:
    file = tmp_path / "c.capture"
    address = mosquitto.address  # type: ignore[attr-defined]
    subprocess.run(
        [sys.executable, "-P", "-m", "iotcache_tui", "simulate", "capture", str(file), "--duration", "1",
         "--broker", f"mqtt://{address}"],
        check=True, timeout=60,
    )  # fmt: skip
    assert mode(file) == 0o600


ELSEWHERE = ["--nodes", "127.0.0.1:1", "--broker", "mqtt://127.0.0.1:1"]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("http://x","y")']


def _named(text: str, n: int) -> Reading:
    ts_us = 1_700_000_000_000_000 + n
    return Reading(text, text, text, ts_us, unit=text, site=text, boot=text, seq=n)


def _is_text(cell: str) -> bool:
    return cell[:1] in ("'", "\\")


async def test_no_text_of_a_stranger_is_a_formula_in_an_exported_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/r.db"
    out = tmp_path / "out.csv"
    async with open_store(StoreSettings(url=url)) as store:
        await store.commit(
            [
                StoredReading(
                    Reading(
                        text, text, text, 1_700_000_000_000_000 + n, unit=text, site=text, boot=text, seq=n
                    )
                )
                for n, text in enumerate(FORMULAS)
            ],
            (),
        )
    arguments = ["store", "export", "--store", url, "--out", str(out), *ELSEWHERE]
    assert await asyncio.to_thread(main, arguments) == 0
    assert mode(out) == 0o600
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(FORMULAS)
    for row in rows:
        for name in ("device", "sensor", "site", "unit", "boot", "value"):
            assert _is_text(row[name]), (name, row[name])


def test_no_text_of_a_stranger_is_a_formula_in_an_exported_table() -> None:
    rows = list(csv.reader(io.StringIO(as_csv((("a",), [(text,) for text in [*FORMULAS, "plain", -1.5]])))))
    assert all(_is_text(row[0]) for row in rows[1:-2])
    assert [row[0] for row in rows[-2:]] == ["plain", "-1.5"]
