"""The benchmarks' own honesty: ratios are of medians, what was not measured is said, one runs for real."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from iotcache_tui.bench import BENCHES
from iotcache_tui.bench.report import OURS, BenchReport, BenchRow, BenchTarget, table
from iotcache_tui.cli.main import main
from tests.conforming import conforming


def test_ratios_are_of_medians_and_a_missing_peer_is_no_success() -> None:
    ours, peer = (
        BenchRow("task", OURS, "/s", [10.0, 30.0, 1_000.0]),
        BenchRow("task", "peer", "/s", [20.0, 10.0, 40.0]),
    )
    report = BenchReport(
        "x", [ours, peer], [BenchTarget("task", "peer", 2.0), BenchTarget("task", "gone", 1.0)], ["gone"]
    )
    assert report.ratio(report.targets[0]) == 1.5
    assert report.ratio(report.targets[1]) is None
    assert [target["met"] for target in report.as_json()["targets"]] == [False, None]  # type: ignore[attr-defined]
    told = table(report)
    assert "LESS 1.50 x peer (wanted: 2 x)" in told
    assert "against gone: not measured" in told
    assert "not installed, so not measured: gone" in told


def test_each_benchmark_of_the_list_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    listed = capsys.readouterr().out
    for name, summary, module in BENCHES:
        assert f"{name:<10} {summary}" in listed
        assert callable(import_module(module).run)


@pytest.mark.parametrize("flags", [["nope"], ["start", "--rounds", "0"]])
def test_a_usage_mistake_is_one_sentence(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.timeout(120)
def test_the_start_is_measured_in_a_terminal_and_memory_keeps_its_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "start", "--rounds", "1", "--json"]) == 0
    report = conforming("bench", capsys.readouterr().out)
    assert all(row["median"] > 0 for row in report["rows"])
    kept = {target["task"]: target["met"] for target in report["targets"] if target["peer"] == "1 KiB each"}
    assert len(kept) == 2
    assert all(kept.values())  # bytes, not seconds: they are the same on every machine
