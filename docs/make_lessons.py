"""Writes a teacher's sheet for each shipped lesson, and their index, to docs/lessons: ``make lessons``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from iotcache_simulator.lab.course import index, sheet
from iotcache_simulator.lab.definition.scenario import load
from iotcache_simulator.lab.definition.spec import Scenario

FOLDER = Path(__file__).parent / "lessons"


def shipped() -> list[Scenario]:
    """Those that come with the program, whatever else the user has."""
    folder = Path(str(files("iotcache_simulator.lab"))) / "scenarios"
    return [load(str(path)) for path in sorted(folder.glob("*.toml"))]


def pages() -> dict[str, str]:
    """File name and text of each."""
    lessons = shipped()
    return {"README.md": index(lessons)} | {f"{one.name}.md": sheet(one) for one in lessons}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
