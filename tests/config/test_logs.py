"""Logging: one printable line a record, wherever it goes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from iotcache.config.schema import LogSettings
from iotcache.errors import ConfigError
from iotcache.logs import set_up

log = logging.getLogger("iotcache.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, loud = list(root.handlers), root.level, logging.raiseExceptions
    yield
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.raiseExceptions = loud


def lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def test_hostile_text_stays_one_printable_line(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    assert set_up(LogSettings(level="info", file=str(file))) == file
    log.info("device %s", "a\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\u2028\x00" + "x" * 100_000)
    (line,) = lines(file)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO iotcache\.test: device a", line)
    assert line.isprintable()
    assert len(line) < 5_000


def test_a_traceback_is_one_line_too(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    set_up(LogSettings(level="info", file=str(file)))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    (line,) = lines(file)
    assert "Traceback" in line
    assert line.endswith("ValueError: two | lines")


def test_a_password_in_a_url_is_masked(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    set_up(LogSettings(level="info", file=str(file)))
    log.info("cannot reach mqtt://me:hu@sh@host:1883 nor postgresql://me:hush@db/x, see a@b")
    (line,) = lines(file)
    assert "sh@" not in line
    assert "mqtt://me:***@" in line


def test_level_and_one_handler_however_often_it_is_set_up(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    for _ in range(3):
        set_up(LogSettings(level="warning", file=str(file)))
    log.info("not this")
    log.warning("once")
    assert len(lines(file)) == 1


def test_a_file_moved_away_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    set_up(LogSettings(level="info", file=str(file)))
    log.info("first")
    file.rename(tmp_path / "x.log.1")
    log.info("second")
    assert len(lines(file)) == 1


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match=r"log\.file .* cannot be written"):
        set_up(LogSettings(file=str(blocked / "x.log")))
    assert set_up(LogSettings(), default_file=blocked / "deep" / "x.log") is None
    log.error("goes nowhere, and nobody minds")


def test_a_default_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotcache.logs._DEFAULT_FILE_BYTES", 2_000)
    file = tmp_path / "made" / "x.log"
    assert set_up(LogSettings(level="info"), default_file=file) == file
    for number in range(100):
        log.info("line %d of some length", number)
    sizes = [one.stat().st_size for one in file.parent.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 2_000


@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_the_connection_pool_does_not_log_each_read_and_each_attempt(
    tmp_path: Path, level: Literal["debug", "info", "warning"]
) -> None:
    file = tmp_path / "log"
    set_up(LogSettings(file=str(file), level=level))
    pool = logging.getLogger("psycopg.pool")
    pool.info("connection requested from 'x'")
    pool.warning("error connecting in 'x'")
    pool.error("and this matters")
    log.warning("ours")
    assert [line.split(": ", 1)[1] for line in file.read_text().splitlines()] == ["and this matters", "ours"]
