"""JSON Schemas: what they refuse the program refuses, every shipped file passes, and so does every output."""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from iotcache_tui.cli.main import main
from iotcache_tui.cli.schemas import FILES, OUTPUTS, SCHEMAS, schema
from tests.conforming import conforming

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "config": [ROOT / "config.toml", ROOT / "deploy" / "iotcache.toml"],
    "mapping": sorted(Path(str(files("iotcache.config.presets"))).glob("*.toml")),
    "device-class": [
        *sorted(Path(str(files("iotcache_simulator.fleet") / "classes")).glob("*.toml")),
        *sorted(Path(str(files("iotcache_simulator.fleet") / "presets")).glob("*.toml")),
    ],
    "scenario": sorted(Path(str(files("iotcache_simulator.lab") / "scenarios")).glob("*.toml")),
}


@functools.cache
def validator(name: str) -> Any:
    return jsonschema.Draft7Validator(schema(name))


def errors(name: str, content: Any) -> list[str]:
    return [error.message for error in validator(name).iter_errors(content)]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_passes_its_schema_and_names_it(name: str) -> None:
    assert SHIPPED[name]
    for path in SHIPPED[name]:
        text = path.read_text("utf-8")
        assert errors(name, tomli.loads(text)) == [], path.name
        header = re.match(r"(?:#.*\n)*", text)
        assert header is not None
        (named,) = re.findall(r"^#:schema (\S+)$", header[0], re.MULTILINE)
        assert (path.parent / named).resolve() == ROOT / "schemas" / f"{name}.schema.json"


BLOCKS = [
    pytest.param(block[1], id=f"{path.name}:{text.count(chr(10), 0, block.start()) + 1}")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for text in [path.read_text("utf-8")]
    for block in re.finditer(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]
_WAVE = {"kind": "walk", "amplitude": 1, "step_s": 1}
WHOLE: dict[str, dict[str, Any]] = {
    "device-class": {
        "name": "x", "sites": ["s"], "sensor": [{"name": "t", "waves": [_WAVE], "interval_s": 1}]
    },
}  # fmt: skip
"""What a part of such a file is put into to be a whole one."""


@pytest.mark.parametrize("block", BLOCKS)
def test_toml_in_a_document_passes_the_schema_that_it_names_or_one_of_those_for_files(block: str) -> None:
    content = tomli.loads(block)
    named = re.findall(r"^#:schema \./schemas/(\S+)\.schema\.json$", block, re.MULTILINE)
    told = {name: content if named else WHOLE.get(name, {}) | content for name in named or FILES}
    if not any(validator(name).is_valid(each) for name, each in told.items()):
        pytest.fail(str({name: errors(name, each) for name, each in told.items()}))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_that_editors_can_read(name: str) -> None:
    """Draft 7 is what taplo knows: words of later drafts it passes over, and then refuses what is right."""
    jsonschema.Draft7Validator.check_schema(schema(name))
    text = json.dumps(schema(name))
    assert not [word for word in ("prefixItems", "dependentRequired", "unevaluated") if word in text]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config", {"cache": {"nods": ["a:1"]}}, "nods"),
        ("config", {"cache": {"ttl": {"jitter": 7.0}}}, "7.0"),
        ("config", {"alerts": [{"name": "x", "kind": "loud"}]}, "loud"),
        ("mapping", {"ingest": {"mapping": [{"topic": "a", "valeu": "v"}]}}, "valeu"),
        ("device-class", {"name": "a b", "sites": ["s"], "sensor": []}, "a b"),
        ("device-class", {"name": "ab", "sites": ["s"]}, "sensor"),
        ("scenario", {"title": "t", "level": "hard"}, "hard"),
    ],
)
def test_a_mistake_is_marked(name: str, content: dict[str, Any], told: str) -> None:
    assert any(told in message for message in errors(name, content))


@pytest.mark.parametrize("name", FILES)
def test_keys_are_explained(name: str) -> None:
    properties = [key for one in schema(name)["$defs"].values() for key in one.get("properties", {}).values()]
    assert sum("description" in key for key in properties) >= 5


def test_every_output_is_held_to_its_schema_by_a_test_of_its_command() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert set(re.findall(r'conforming\(\s*"([a-z-]+)"', tests)) == set(OUTPUTS)


def test_a_simulation_of_the_cluster_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "cluster", "--seeds", "2", "--processes", "1", "--json"]) == 0
    assert conforming("verify-cluster", capsys.readouterr().out)["seeds"] == 2


def test_what_no_schema_has_is_not_conforming() -> None:
    with pytest.raises(jsonschema.ValidationError):
        conforming(
            "where",
            '{"key": "k", "node": "n", "placement": "ketama", "stand_ins": [], "epoch": 0, "more": 1}',
        )


def test_the_command_prints_each_and_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCHEMAS)
    assert main(["schema", "scenario"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "iotcache: a scenario of the Lab"
    assert main(["schema", "scenari\x1bo"]) == 2
    told = capsys.readouterr().err
    assert "did you mean scenario?" in told
    assert "\x1b" not in told


def test_those_of_files_are_written_where_the_shipped_files_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--out", str(tmp_path / "schemas")]) == 0
    written = {path.name: json.loads(path.read_text("utf-8")) for path in (tmp_path / "schemas").iterdir()}
    assert written == {f"{name}.schema.json": json.loads(json.dumps(schema(name))) for name in FILES}
    (tmp_path / "file").write_text("")
    assert main(["schema", "--out", str(tmp_path / "file" / "x")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
