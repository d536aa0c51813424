"""The files that the documents for contributors name are there, and the glossary stays short."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from iotcache_tui.screens.catalog import SCREENS

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "iotcache", ROOT / "simulator" / "iotcache_simulator", ROOT / "tui" / "iotcache_tui")
FOLDERS = (ROOT, ROOT / "docs", ROOT / "simulator", ROOT / "tui", *PACKAGES)
DOCUMENTS = (
    "CONTRIBUTING.md",
    "README.md",
    *(f"docs/{name}.md" for name in ("architecture", "contributing", "glossary")),
)
GLOSSARY_ROWS = 30


def named_paths(document: str) -> set[str]:
    """What a document names as a file or a folder of this repository."""
    text = (ROOT / document).read_text(encoding="utf-8")
    links = {target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target}
    words = set(re.findall(r"`([\w./-]+)`", text))
    files = {word for word in words if re.search(r"\w\.(py|toml|md|tcss)$", word)}
    folders = {word for word in words if word.endswith("/") and not word.startswith("/")}
    return links | files | folders


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_files_that_are_there(document: str) -> None:
    rooms = [*FOLDERS, *(path for package in PACKAGES for path in package.iterdir() if path.is_dir())]
    missing = {name for name in named_paths(document) if not any((room / name).exists() for room in rooms)}
    assert not missing


def test_the_glossary_is_short() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert 10 < len(rows) - 2 <= GLOSSARY_ROWS


def _anchors(path: Path) -> set[str]:
    """What a heading of a Markdown file is linked by, as GitHub makes it."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name
)
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert broken == []


def test_the_site_has_every_document_and_a_picture_of_every_screen() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    named = set(re.findall(r"[\w-]+\.md", str(site["nav"])))
    assert named - {"changelog.md"} == {path.name for path in (ROOT / "docs").glob("*.md")} - {"changelog.md"}
    assert site["strict"]
    dashboard = (ROOT / "docs" / "dashboard.md").read_text("utf-8")
    assert [
        entry.title for entry in SCREENS if f"![{entry.title}](screens/{entry.name}.svg)" not in dashboard
    ] == []


@pytest.mark.parametrize(
    "path",
    [ROOT / "docs" / "node.svg", *(ROOT / "docs" / "screens").glob("*.svg")],
    ids=lambda path: path.name,
)
def test_a_picture_is_small_and_runs_nothing(path: Path) -> None:
    assert path.stat().st_size < 300_000
    names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
    assert names <= {"svg", "style", "rect", "g", "text", "tspan", "animate"}
