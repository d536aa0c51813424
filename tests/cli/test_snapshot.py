"""The dashboard without a screen: one picture, or a line an event."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from iotcache_tui.cli.main import main
from tests.cli.conftest import TUI
from tests.cli.test_main import ENVIRONMENT
from tests.conforming import conforming
from tests.conftest import Server, free_port


def test_a_snapshot_is_one_json_document_of_what_the_dashboard_shows(stack: dict[str, str]) -> None:
    done = subprocess.run(
        [*TUI, "snapshot", "--json", "--watch", "1", "--sort", "ttl", "--limit", "5"],
        capture_output=True, env=stack, timeout=60, check=True,
    )  # fmt: skip
    data = conforming("snapshot", done.stdout)
    assert data["schema"] == 1
    assert {part["name"] for part in data["parts"]} >= {"broker", "nodes", "store"}
    assert all(node["state"] == "up" for node in data["nodes"])
    assert 0 < len(data["series"]) <= 5
    assert data["series_total"] >= len(data["series"])
    assert {"device", "value", "ttl_s", "source", "stale"} <= set(data["series"][0])
    assert data["figures"]["reads_per_s"] > 0


@pytest.mark.real("memcached")
def test_a_part_that_is_down_is_told_by_the_exit_code(memcached: Server, tmp_path: Path) -> None:
    # A list of nodes that cannot be read leaves nothing to wait for, and the rest is told of.
    nodes = (memcached.address, f"127.0.0.1:{free_port()}", f"file://{tmp_path}/unwritten")
    running = [
        subprocess.Popen(
            [*TUI, "snapshot", "--json", "--exit-code", "--watch", "1", "--nodes", node],
            stdout=subprocess.PIPE, cwd=tmp_path, env=ENVIRONMENT,
        )
        for node in nodes
    ]  # fmt: skip
    answers = [conforming("snapshot", process.communicate(timeout=60)[0]) for process in running]
    told = [[problem["gravity"] for problem in answer["problems"][:1]] for answer in answers]
    assert [(process.returncode, each) for process, each in zip(running, told, strict=True)] == [
        (0, []), (1, ["down"]), (1, ["blind"]),
    ]  # fmt: skip


def test_plain_prints_lines_until_it_is_told_to_end(stack: dict[str, str]) -> None:
    with subprocess.Popen([*TUI, "--plain"], stdout=subprocess.PIPE, env=stack, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            seen = "".join(lines)
            if "figures" in line and "part        broker up" in seen:
                break
        assert any(" part        store up" in line for line in lines)
        assert "hit ratio" in lines[-1]
        assert "\x1b" not in "".join(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    # It follows the stack that runs: a broker of its own would be called embedded.
    assert any("broker up mqtt://127.0.0.1:" in line for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sort", "beauty"],
        ["--filter", "ttl<x"],
        ["--watch", "0"],
        ["--limit", "-1"],
    ],
)
def test_a_usage_mistake_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", *arguments]) == 2
    said = capsys.readouterr().err
    assert arguments[0] in said
    assert said.count("\n") == 1
