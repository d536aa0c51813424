"""The Grafana board asks for nothing that a worker does not export."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from iotcache.config.schema import BrokerSettings, CacheSettings, Settings, StoreSettings
from iotcache.model import Reading, Series
from iotcache.worker.metrics import exposition
from iotcache.worker.worker import Ingest
from tests.conftest import Server, free_port

BOARD = Path(__file__).parents[2] / "docs" / "grafana" / "iotcache.json"
TARGET_LABELS = {"job", "instance"}
"""Labels that the Prometheus server adds itself."""


def expressions() -> Iterator[str]:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def wanted(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that an expression names."""
    metrics = set(re.findall(r"\b(?:iotcache|memcached)_\w+", expression))
    labels = {label for inside in re.findall(r"\{([^}]*)\}", expression)
              for label in re.findall(r"(\w+)\s*=", inside)}  # fmt: skip
    for inside in re.findall(r"\bby \(([^)]*)\)", expression):
        labels |= {label.strip() for label in inside.split(",")}
    return metrics, labels - TARGET_LABELS


@pytest.mark.real("memcached")
async def test_every_metric_and_label_is_in_a_real_scrape(memcached: Server, tmp_path: Path) -> None:
    config = Settings(
        broker=BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}"),
        cache=CacheSettings(nodes=(memcached.address,)),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db"),
    )
    async with Ingest(config) as worker, asyncio.timeout(10):
        await worker.started.wait()
        await worker.submit([Reading("d", "s", 1.0, 1_795_348_800_000_000)], [])
        assert worker.cache is not None
        await worker.cache.read_many([Series("d", "s"), Series("d", "unknown")])
        text = (await exposition(worker)).decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for expression in expressions():
        metrics, named = wanted(expression)
        assert metrics, expression
        assert metrics <= set(labels), expression
        assert named <= set().union(*(labels[metric] for metric in metrics)), expression


def test_no_panel_lies_over_another_and_brackets_are_closed() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(BOARD.read_text(encoding="utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for expression in expressions():
        for opened, closed in ("()", "{}", "[]"):
            assert expression.count(opened) == expression.count(closed), expression
