"""docs/security.md promises nothing without a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_the_document_names_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", text)
    assert len(named) > 30
    for file, test in named:
        source = (ROOT / file).read_text("utf-8")
        assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), (file, test)


def test_every_limit_names_a_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [line for line in text.partition("## Limits")[2].splitlines() if line.startswith("| ")][1:]
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if set(cells[0]) != {"-"} and not cells[0].startswith("**"):
            assert cells[2].startswith(("`tests/", "as above", "---")), row
