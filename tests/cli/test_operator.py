"""The operator's commands over a store: dead letters and readings."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.model import DeadLetter, Reading, StoredReading, Value
from iotcache.store import open_store
from iotcache_tui.cli.main import main
from tests.conforming import conforming
from tests.conftest import Server

T0 = 1_750_000_000_000_000
GOOD_LATER = b'{"device":"d1","sensor":"t","wert":4.5,"ts":1750000000}'
NEVER = b"\xff\xfe not text \x1b[31m"


@pytest.fixture
def flags(tmp_path: Path, memcached: Server) -> list[str]:
    """A store with two dead letters and three readings, and a cache node."""
    url = f"sqlite:///{tmp_path / 'r.db'}"

    async def fill() -> None:
        async with open_store(StoreSettings(url=url)) as store:
            values: list[Value] = [1.5, "=1+1", True]
            readings = [
                Reading("d0", "t", value, T0 + at * 1_000_000, unit="C", site="=cmd", seq=at, boot="b")
                for at, value in enumerate(values)
            ]
            letters = [
                DeadLetter("iot/s/d1/t", GOOD_LATER, 'the key "value" is missing', T0),
                DeadLetter("iot/s/\x1bd2/t", NEVER, "no text", T0 + 5),
            ]
            await store.commit([StoredReading(reading) for reading in readings], letters)

    asyncio.run(fill())
    return ["--store", url, "--nodes", memcached.address, "--broker", "mqtt://127.0.0.1:1"]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.real("memcached")
def test_dead_letters_are_listed_shown_redriven_and_purged(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = said(capsys, "deadletter", "list", *flags)
    assert 'iot/s/d1/t: the key "value" is missing' in text
    assert "\x1b" not in text
    rows = conforming(
        "deadletter-list", said(capsys, "deadletter", "list", "--json", "--reason", "MISSING", *flags)
    )
    (number,) = [row["number"] for row in rows]
    shown = said(capsys, "deadletter", "show", str(number), *flags)
    assert "wert" in shown
    assert "hex     000000  7b 22 64" in shown
    shown = said(capsys, "deadletter", "show", str(number), "--json", *flags)
    assert conforming("deadletter-show", shown)["hex"] == GOOD_LATER.hex()
    assert main(["deadletter", "show", "999", *flags]) == 3
    # As long as the rules are what they were, nothing can be done.
    text = said(capsys, "deadletter", "redrive", "--all", *flags)
    assert "decoded 0 of 2" in text
    # The fleet's own field is named: the letter becomes a reading, in the store and in the cache.
    text = said(capsys, "deadletter", "redrive", "--all", "--set", "ingest.fields.value=wert", *flags)
    assert "decoded 1 of 2: readings new 1, known already 0; births and configurations 0; left 1" in text
    got = json.loads(said(capsys, "get", "d1", "t", "--json", *flags))
    assert (got["value"], got["source"]) == (4.5, "cache")
    assert len(json.loads(said(capsys, "deadletter", "list", "--json", *flags))) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["deadletter", "purge", "--all", *flags]) == 2
    assert "0 dead letters deleted" in said(
        capsys, "deadletter", "purge", "--older-than", "40000d", "--yes", *flags
    )
    assert "1 dead letter deleted" in said(capsys, "deadletter", "purge", "--all", "--yes", *flags)
    assert "no dead letters" in said(capsys, "deadletter", "list", *flags)


@pytest.mark.real("memcached")
def test_what_a_device_said_of_itself_is_redriven_too_and_numbers_that_are_not_there_are_named(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        async with open_store(StoreSettings(url=flags[1])) as store:
            await store.commit(
                [],
                [
                    DeadLetter("iot/s/d1/cfg", b'{"every_s": 5}', "no version", T0),
                    DeadLetter("iot/s/d1/t", b'{"value":1,"ts":17500', "too long", T0, truncated=True),
                    DeadLetter("fleet/d1/cfg", b'{"version": 3, "every_s": 7}', "no template", T0),
                ],
            )

    asyncio.run(fill())
    more = [*flags, "--set", 'ingest.topics=["iot/{site}/{device}/{sensor}", "fleet/{device}/{sensor}"]']
    assert main(["deadletter", "redrive", "--all", *more]) == 0
    text, refusal = capsys.readouterr()
    assert "decoded 1 of 4: readings new 0, known already 0; births and configurations 1; left 3" in text
    assert "1 dead letter cannot be decoded again: only a part of the message was kept" in refusal
    assert '"every_s": 7' in said(capsys, "device", "show", "d1", *flags)
    (left,) = json.loads(said(capsys, "deadletter", "list", "--json", "--reason", "whole number", *flags))
    number = str(left["number"])
    said(capsys, "deadletter", "redrive", number, *flags)
    (again,) = json.loads(said(capsys, "deadletter", "list", "--json", "--reason", "whole number", *flags))
    assert again["times"] == left["times"]  # it came no further time
    assert main(["deadletter", "redrive", number, "999", *flags]) == 3
    assert "there is no dead letter 999" in capsys.readouterr().err
    assert "1 dead letter deleted" in said(capsys, "deadletter", "purge", number, "--yes", *flags)
    assert main(["deadletter", "purge", number, "--yes", *flags]) == 3
    (part,) = json.loads(said(capsys, "deadletter", "list", "--json", "--reason", "too long", *flags))
    assert part["truncated"]
    assert main(["deadletter", "redrive", str(part["number"]), *flags]) == 1
    assert "cannot be decoded again" in capsys.readouterr().err
    listed = said(capsys, "deadletter", "list", *flags)
    assert "21+ iot/s/d1/t: too long" in listed
    assert "+ truncated:" in listed
    assert "bytes   21 (truncated)" in said(capsys, "deadletter", "show", str(part["number"]), *flags)


@pytest.mark.real("memcached")
def test_store_stats_export_and_prune(
    flags: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert conforming("store-stats", said(capsys, "store", "stats", "--json", *flags))["readings"] == 3
    rows = list(csv.DictReader(io.StringIO(said(capsys, "store", "export", *flags))))
    assert [row["value"] for row in rows] == ["1.5", "'=1+1", "true"]
    assert rows[0]["ts"] == "2025-06-15T15:06:40Z"
    assert (rows[2]["seq"], rows[2]["boot"]) == ("2", "b")
    out = tmp_path / "out.csv"
    said(capsys, "store", "export", "--since", "2025-06-15T15:06:41Z", "--out", str(out), *flags)
    assert len(out.read_text().splitlines()) == 3
    assert main(["store", "export", "--out", str(out), *flags]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert "5 rows" in said(capsys, "store", "prune", "--older-than", "30d", *flags)
    assert json.loads(said(capsys, "store", "stats", "--json", *flags))["readings"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deadletter", "redrive"], "needs numbers"),
        (["deadletter", "purge"], "one of: numbers, --older-than AGE, --all"),
        (["deadletter", "purge", "1", "--all"], "one of: numbers"),
        (["deadletter", "purge", "--older-than", "soon", "--yes"], "no age"),
        (["deadletter", "show"], "needs a number"),
        (["store", "prune", "--older-than", "x"], "no number of days"),
        (["store", "export", "--since", "when"], "no time"),
        (["store", "export", "--out", "r.parquet"], "would be no .parquet file: what is exported is CSV"),
        (["store", "export", "--since", "2026-01-02", "--until", "2026-01-01"], "before --until"),
    ],
)
def test_usage_mistakes_are_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = [
        "--store",
        f"sqlite:///{tmp_path / 'x.db'}",
        "--nodes",
        "127.0.0.1:1",
        "--broker",
        "mqtt://127.0.0.1:1",
    ]
    assert main([*arguments, *flags]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
