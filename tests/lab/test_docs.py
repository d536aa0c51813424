"""docs/lab.md tells of every act, metric and key that a scenario may have, and of no other."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from iotcache_simulator.lab.course import ORDER
from iotcache_simulator.lab.definition.actions import ACTION_NAMES
from iotcache_simulator.lab.definition.faults import SPANS
from iotcache_simulator.lab.definition.metrics import METRICS
from iotcache_simulator.lab.definition.scenario import Scenario, StackSpec, Step, catalogue
from iotcache_simulator.lab.report import LabReport
from iotcache_tui.cli.main import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "lab.md").read_text("utf-8")


def named(heading: str) -> set[str]:
    """What stands in the first column of the table under a heading."""
    part = re.split(r"^#+ ", TEXT.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_document_names_what_there_is() -> None:
    assert named("### Acts") == set(ACTION_NAMES)
    assert named("### Expectations") == {*METRICS, "misses.REASON"}
    assert named("### `[stack]`") == set(StackSpec.__struct_encode_fields__)
    assert named("### `[[step]]`") == set(Step.__struct_encode_fields__)
    own = {name if name not in ("stack", "side", "step") else {"stack": "[stack]"}.get(name, f"[[{name}]]")
           for name in Scenario.__struct_encode_fields__ if name not in ("name", "file")}  # fmt: skip
    assert named("## The file") == own
    assert named("## The shipped scenarios") == {one.name for one in catalogue()[0]}
    assert set(LabReport.__struct_encode_fields__) <= {
        name.partition("[")[0] for name in named("## Report: schema `iotcache.lab/1`")
    }
    assert all(f"`{span}`" in TEXT for span in SPANS)


def test_the_teachers_sheets_are_as_the_lessons_are_and_the_course_names_each() -> None:
    spec = importlib.util.spec_from_file_location("make_lessons", ROOT / "docs" / "make_lessons.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    written = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "lessons").glob("*.md")}
    assert written == maker.pages(), "make lessons writes them anew"
    assert set(ORDER) == {one.name for one in maker.shipped()}


def test_the_course_is_told_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "course"]) == 0
    told = re.findall(r"lab run ([a-z-]+)$", capsys.readouterr().out, flags=re.M)
    assert [name for name in told if name in ORDER] == list(ORDER)
