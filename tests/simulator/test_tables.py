"""Tables of measurements as messages, and which of them their benchmark calls anomalies."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.errors import UsageError
from iotcache_simulator.capture.tables import anomalies, label_lines, measurements
from iotcache_tui.cli.main import main
from tests.conftest import Server
from tests.simulator.test_publishing import Subscribe
from tests.simulator.test_simulate_command import url

TABLE = "timestamp,value\n2014-02-14 14:30:00,0.132\n2014-02-14 14:35:00,51.846\n2014-02-14 14:40:00,7\n"
WINDOWS = b'{"realKnownCause/cpu.csv": [["2014-02-14 14:33:00.000000", "2014-02-14 14:38:00.000000"]]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / "realKnownCause"
    below.mkdir()
    (below / "cpu.csv").write_text(TABLE)
    (below / "two words!.csv").write_text("time,a,b c\n1392388200,1,on\n1392388230.5,true,\n")
    return below


def test_every_column_is_a_sensor_and_every_file_a_device(folder: Path) -> None:
    found = list(measurements(folder, ZoneInfo("Europe/Amsterdam")))
    assert [one.at_s for one in found] == sorted(one.at_s for one in found)
    cpu = [one for one in found if one.device == "cpu"]
    assert [(one.at_s, one.site, one.sensor, one.value, one.seq) for one in cpu] == [
        (0.0, "realKnownCause", "value", 0.132, 1), (300.0, "realKnownCause", "value", 51.846, 2),
        (600.0, "realKnownCause", "value", 7, 3),
    ]  # fmt: skip
    assert json.loads(cpu[0].message().payload or "")["ts"] == "2014-02-14T13:30:00Z"
    others = [(one.at_s, one.sensor, one.value) for one in found if one.device == "two-words"]
    assert others == [(0.0, "a", 1), (0.0, "b-c", "on"), (30.5, "a", True)]


@pytest.mark.parametrize("truth", [WINDOWS, b'{"cpu.csv": ["2014-02-14 14:35:00"]}'])
def test_readings_within_a_window_of_their_file_are_labelled(folder: Path, truth: bytes) -> None:
    windows = anomalies(truth, UTC, "labels")
    for path in (folder, folder.parent, folder / "cpu.csv"):
        (label,) = map(json.loads, label_lines(measurements(path, UTC), windows))
        assert (label["device"], label["seq"], label["reported"]) == ("cpu", 2, 51.846)


def test_files_of_one_name_have_each_its_own_labels_from_wherever_they_are_read(tmp_path: Path) -> None:
    windows: dict[str, list[list[str]]] = {"artificialNoAnomaly/flat.csv": []}
    for minute, name in ((30, "realTweets"), (40, "realTraffic")):
        at = f"2014-02-14 14:{minute}:00.000000"
        windows[f"{name}/same.csv"] = [[at, at], []]
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "same.csv").write_text(TABLE)
        (tmp_path / "data" / name / "flat.csv").write_text(TABLE)
    read = anomalies(json.dumps(windows).encode(), UTC, "labels")
    for below in ("", "data", "data/realTweets"):
        found = [json.loads(line) for line in label_lines(measurements(tmp_path / below, UTC), read)]
        assert sorted(one["seq"] for one in found) == ([1] if "/" in below else [1, 3])


@pytest.mark.real("mosquitto")
def test_tables_are_played_to_a_broker_with_their_labels(
    mosquitto: Server, subscribe: Subscribe, folder: Path, tmp_path: Path
) -> None:
    listener = subscribe(mosquitto)
    truth, labels = tmp_path / "windows.json", tmp_path / "labels.jsonl"
    truth.write_bytes(WINDOWS)
    flags = ["--truth", str(truth), "--labels", str(labels), "--speed", "max"]
    assert main(["simulate", "play", str(folder), "--broker", url(mosquitto), *flags]) == 0
    topics = sorted(topic.decode() for topic, _ in listener.received())
    assert topics.count("iot/realKnownCause/cpu/value") == 3
    assert len(topics) == 6
    assert json.loads(labels.read_text())["device"] == "cpu"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names of its columns"),
        ("t,v\nx,1\n", "line 2: 'x' is no time"),
        ("t,v\n1\n", "line 2: 1 columns"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason):
        list(measurements(file, UTC))


@given(st.text(max_size=80), st.text(st.characters(codec="utf-8"), max_size=40))
def test_never_another_exception_and_no_topic_that_is_none(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(f"t,{name}\n1,{text}\n".encode("utf-8", "surrogatepass"))
    try:
        found = [one.message() for one in measurements(file, UTC)]
    except UsageError:
        return
    assert not any(set("+#\0") & set(one.topic) or one.topic.count("/") != 3 for one in found)
