"""The table and the screen as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from iotcache_tui.export import as_csv, as_json, write_new
from iotcache_tui.state.snapshot import SERIES_FIELDS
from tests.tui.conftest import RunApp, screen_text


async def exported(run_app: RunApp, folder: Path, keys: tuple[str, ...], downs: int) -> str:
    async with run_app() as (app, pilot):
        await pilot.press(*keys)
        app.frame()
        await pilot.press("ctrl+e")
        await pilot.pause()
        await pilot.press(*["down"] * downs, "enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "written: iotcache-" in screen_text(app)
    (file,) = folder.iterdir()
    return file.read_text()


async def test_the_filtered_table_as_csv(
    run_app: RunApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = await exported(run_app, tmp_path, ("slash", *"pump", "enter"), 0)
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 12
    assert {row["class"] for row in rows} == {"pump"}
    assert list(rows[0]) == list(SERIES_FIELDS)
    assert float(rows[0]["ttl_s"]) > 0


async def test_events_as_json_and_the_screen_as_svg_and_text(
    run_app: RunApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (keys, downs) in enumerate(((("7",), 1), (("1",), 2), (("1",), 3))):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        text = await exported(run_app, folder, keys, downs)
        if number == 0:
            assert {one["kind"] for one in json.loads(text)} == {"fallback"}
        elif number == 1:
            assert ElementTree.fromstring(text).tag.endswith("svg")
            assert "Hit" in text
        else:
            assert "Hit ratio" in text
            assert "Write to this folder" not in text
            assert "\x1b" not in text


def test_formulas_are_disarmed_nothing_is_overwritten_and_errors_are_sentences(tmp_path: Path) -> None:
    rows = (("a", "b"), [("=1+1", None), ("x\x1b", True), (-2.5, "@x")])
    assert as_csv(rows).splitlines()[1:] == ["'=1+1,", "x\\x1b,true", "-2.5,'@x"]
    assert json.loads(as_json(rows))[0] == {"a": "=1+1", "b": None}
    one = write_new(tmp_path, "fleet", "csv", "1", 1_750_000_000.0)
    two = write_new(tmp_path, "fleet", "csv", "2", 1_750_000_000.0)
    assert (one.read_text(), two.read_text()) == ("1", "2")
    with pytest.raises(Exception, match="cannot be written"):
        write_new(tmp_path / "no", "fleet", "csv", "1", 0.0)
