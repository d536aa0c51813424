"""JSON Schemas: what they refuse the program refuses, and every file that is shipped passes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from iotcache_tui.cli.main import main
from iotcache_tui.cli.schemas import SCHEMAS, schema

ROOT = Path(__file__).parents[2]
FILES = {
    "config": [ROOT / "config.toml"],
    "device-class": sorted(Path(str(files("iotcache_simulator.fleet") / "classes")).glob("*.toml")),
    "scenario": sorted(Path(str(files("iotcache_simulator.lab") / "scenarios")).glob("*.toml")),
}


def errors(name: str, content: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema(name)).iter_errors(content)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_shipped_file_passes_its_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert FILES[name]
    for path in FILES[name]:
        assert errors(name, tomli.loads(path.read_text("utf-8"))) == [], path.name


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config", {"cache": {"nods": ["a:1"]}}, "nods"),
        ("config", {"cache": {"ttl": {"jitter": 7.0}}}, "7.0"),
        ("config", {"alerts": [{"name": "x", "kind": "loud"}]}, "loud"),
        ("device-class", {"name": "a b", "sites": ["s"], "sensor": []}, "a b"),
        ("device-class", {"name": "ab", "sites": ["s"]}, "sensor"),
        ("scenario", {"title": "t", "level": "hard"}, "hard"),
    ],
)
def test_a_mistake_is_marked(name: str, content: dict[str, Any], told: str) -> None:
    assert any(told in message for message in errors(name, content))


@pytest.mark.parametrize("name", SCHEMAS)
def test_keys_are_explained(name: str) -> None:
    properties = [key for one in schema(name)["$defs"].values() for key in one.get("properties", {}).values()]
    assert sum("description" in key for key in properties) >= 5


def test_the_command_prints_each_and_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCHEMAS)
    assert main(["schema", "scenario"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "iotcache: a scenario of the Lab"
    assert main(["schema", "scenari\x1bo"]) == 2
    told = capsys.readouterr().err
    assert "did you mean scenario?" in told
    assert "\x1b" not in told
