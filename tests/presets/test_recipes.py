"""Each recipe is right: its configuration loads, and of its message is read what it says is seen."""

from __future__ import annotations

import re
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from iotcache.config import load
from iotcache.config.presets import preset_names
from iotcache.model import Reading
from iotcache.worker.reader import decoder_for, topics_of

TEXT = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
LINES_A_SCREEN = 45


class Recipe(NamedTuple):
    name: str
    config: str
    messages: list[tuple[str, bytes]]
    seen: list[tuple[str, str, str, str]]
    lines: int


def recipes() -> list[Recipe]:
    now = time.time()
    found = []
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        config = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
        published = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
        assert config is not None, name
        lines = published[1].splitlines() if published else []
        iso = datetime.fromtimestamp(now, UTC).isoformat()
        messages = []
        for line in lines:  # what a shell makes of it
            said = line.replace("$(date -u +%FT%TZ)", iso).replace("$(date +%s)", str(int(now)))
            program, _, topic, _, payload = shlex.split(said)
            assert program == "mosquitto_pub"
            messages.append((topic, payload.encode()))
        rows = [
            tuple(cell.strip() for cell in row.strip("|").split("|"))
            for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)[2:]
        ]
        seen = [(row[0], row[1], row[2], row[3]) for row in rows]
        found.append(Recipe(name, config[1], messages, seen, section.count("\n")))
    return found


RECIPES = recipes()


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])
def test_what_a_recipe_says_is_seen(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    (tmp_path / "key").write_text("secret")
    config = recipe.config.replace('"key"', f'"{tmp_path / "key"}"')
    for name in ("thing.crt", "thing.key"):
        (tmp_path / name).touch()
        config = config.replace(f'"{name}"', f'"{tmp_path / name}"')
    file.write_text(config, "utf-8")
    ingest = load(config_file=str(file), environ={}).settings.ingest
    assert ingest.enabled is True
    topics = topics_of(ingest)
    decoder = decoder_for(ingest, topics)
    found: list[Reading] = []
    for topic, payload in recipe.messages:
        read = decoder.decode(topic, payload, time.time_ns() // 1_000)
        assert isinstance(read, list), read
        found += read
    assert [(one.device, one.sensor, f"{one.value:g}", one.unit) for one in found] == recipe.seen
    assert recipe.seen or recipe.name == "Sparkplug B"
    assert recipe.lines <= LINES_A_SCREEN


def test_every_preset_has_a_recipe() -> None:
    assert all(f'preset = "{name}"' in TEXT for name in preset_names())
