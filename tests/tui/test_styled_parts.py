"""Styles of the parts that a widget draws itself: by CSS, and only when they are drawn."""

from __future__ import annotations

from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.widget import Widget

from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.fleet.fleet_table import FleetTable
from tests.tui.conftest import RunApp


async def test_parts_follow_theme_and_focus_and_are_worked_out_once(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app((80, 24)) as (app, pilot):
        table = app.screen.query_one(FleetTable)
        before = table.part_style("table--value")
        applied: list[DOMNode] = []
        real = Stylesheet.apply

        def counting(sheet: Stylesheet, node: DOMNode, **options: Any) -> None:
            applied.append(node)
            real(sheet, node, **options)

        monkeypatch.setattr(Stylesheet, "apply", counting)
        assert table.part_style("table--value") is before
        assert not applied
        app.theme = "iotcache-light"
        await pilot.pause()
        assert table.part_style("table--value") != before
        parts = [one for one in applied if not isinstance(one, Widget) and one.parent is table]
        assert 0 < len(parts) < len(FleetTable.STYLE_NAMES | CursorTable.STYLE_NAMES), "those that were drawn"
        with pytest.raises(KeyError, match="STYLE_NAMES"):
            table.part_style("table--nowhere")
