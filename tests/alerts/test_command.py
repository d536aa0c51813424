"""``iotcache-tui alerts``, run in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.model import Severity
from iotcache.model.alerts import Alert, AlertState
from iotcache.store import open_store
from iotcache_tui.cli.main import main
from tests.conforming import conforming


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return f"sqlite:///{tmp_path}/readings.db"


def alert(name: str, subject: str, at_us: int, state: AlertState = AlertState.RAISED) -> Alert:
    return Alert(
        name=name, subject=subject, severity=Severity.ERROR, state=state, since_us=at_us, changed_us=at_us,
        text="too hot\x1b[31m",
    )  # fmt: skip


def keep(url: str, *alerts: Alert) -> None:
    async def work() -> None:
        async with open_store(StoreSettings(url=url)) as store:
            await store.alerts.record(alerts)

    asyncio.run(work())


def call(capsys: pytest.CaptureFixture[str], url: str, *words: str) -> tuple[int, str, str]:
    code = main(["alerts", *words, "--store", url])
    out, err = capsys.readouterr()
    return code, out, err


def test_what_stands_is_listed_acknowledged_and_later_past(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(url, alert("hot", "d1:t", 1_000_000), alert("hot", "d2:t", 2_000_000), alert("down", "n", 3_000_000))
    code, out, _ = call(capsys, url)
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["error", "raised", "hot", "d1:t"], ["error", "raised", "hot", "d2:t"],
        ["error", "raised", "down", "n"],
    ]  # fmt: skip
    assert "\x1b" not in out
    assert "since 1970-01-01T00:00:01Z" in out

    code, out, _ = call(capsys, url, "ack", "hot", "d2:t", "--by", "eva", "--json")
    (known,) = [conforming("alerts", line) for line in out.splitlines()]
    assert (code, known["state"], known["acknowledged_by"]) == (0, "acknowledged", "eva")
    code, out, _ = call(capsys, url, "ack", "hot")
    assert (code, len(out.splitlines())) == (0, 2)

    keep(url, alert("hot", "d1:t", 9_000_000, AlertState.CLEARED))
    assert len(call(capsys, url, "list", "hot")[1].splitlines()) == 1
    assert call(capsys, url, "list", "cold") == (0, "no alert of that name stands\n", "")
    assert call(capsys, url, "list", "cold", "--json") == (0, "", "")
    _, out, _ = call(capsys, url, "list", "--past")
    assert "until 1970-01-01T00:00:09Z" in out


def test_acknowledging_what_does_not_stand_is_told_by_the_exit_status(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(url, alert("hot", "d1:t", 1))
    code, out, err = call(capsys, url, "ack", "cold")
    assert (code, out) == (3, "")
    assert "stands" in err
    assert call(capsys, url, "ack", "hot", "d9:t")[0] == 3


@pytest.mark.parametrize("words", [("ack",), ("list", "hot", "d1"), ("list", "--limit", "0"), ("drop",)])
def test_a_usage_mistake_is_one_sentence(
    url: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, url, *words)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
