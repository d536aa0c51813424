"""Completion at the prompt: what a real bash offers, and that no name of a device is run by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iotcache.model import Reading, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from iotcache_tui.cli.completion import ASKED, FIXED, script
from iotcache_tui.cli.main import main
from iotcache_tui.cli.parsers import commands_of, whole_parser
from iotcache_tui.cli.shell_names import SHELLS, safe_names

COMPLETE = r"""
source "$1"; shift
iotcache-tui() { "$PYTHON" -P -m iotcache_tui "$@"; }
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
if [[ -n "$LINE" ]]; then COMP_LINE="$LINE"; COMP_POINT=${#LINE}; COMP_WORDBREAKS=$' \t\n:'; fi
function=$(complete -p iotcache-tui | sed 's/.*-F \([^ ]*\).*/\1/')
$function iotcache-tui "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "iotcache-tui.bash"
    path.write_text(script("bash"), "utf-8")
    return path


def offered(bash_script: Path, *words: str, **env: str) -> set[str]:
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(bash_script), "iotcache-tui", *words],
        capture_output=True, text=True, timeout=60, cwd=bash_script.parent,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "PYTHONPATH": ":".join(sys.path), **env},
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "among"),
    [
        (["simul"], {"simulate"}),
        (["simulate", "--dev"], {"--devices"}),
        (["lab", "run", ""], {"node-crash-and-remap", "cache-stampede"}),
        (["simulate", "--class", ""], {"cold-room", "truck"}),
        (["deadletter", ""], {"list", "redrive"}),
        (["completion", ""], set(SHELLS)),
        (["simulate", ""], {"fleet", "certs"}),
        (["simulate", "--preset", "z"], {"zigbee2mqtt"}),
        (["simulate", "--profile", "b"], {"burst"}),
        (["ingest", "preset", "show", "ta"], {"tasmota"}),
        (["verify", "c"], {"cluster", "chaos"}),
    ],
)
def test_bash_offers(bash_script: Path, words: list[str], among: set[str]) -> None:
    assert among <= offered(bash_script, *words)


async def test_devices_of_the_store_are_offered_and_none_is_run(bash_script: Path, tmp_path: Path) -> None:
    file = tmp_path / "readings.db"
    trap = tmp_path / "trap"
    names = ["dev-1", "dev-2", f"$(touch {trap})", f"`touch {trap}`", "a b", "--yes", "x;y", "ж"]
    async with SqliteStore(file) as store:
        await store.commit(
            [StoredReading(Reading(device=name, sensor="t", value=1.0, ts_us=1), 60) for name in names]
        )
    found = offered(
        bash_script, "get", "", IOTCACHE_STORE_URL=f"sqlite:///{file}", IOTCACHE_CACHE_NODES="127.0.0.1:1"
    )
    assert found == {"dev-1", "dev-2"}
    assert not trap.exists()


def test_nodes_and_contexts_of_the_configuration_are_offered(bash_script: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('cache.nodes = ["cache1:11211", "cache2:11211"]\n[context.prod]\n[context.lab]\n')
    env = {"IOTCACHE_CONFIG": str(file)}
    assert offered(bash_script, "nodes", "remove", "", **env) == {"cache1:11211", "cache2:11211"}
    assert offered(bash_script, "get", "--context", "", **env) == {"prod", "lab"}
    # As bash splits it, which takes what follows the colon for the word.
    words, line = ("nodes", "remove", "cache1", ":", "11"), "iotcache-tui nodes remove cache1:11"
    assert offered(bash_script, *words, LINE=line, **env) == {"11211"}


FREE = {
    ("simulate", "control"), ("ingest", "instance"), ("ingest", "group"), ("warm", "site"),
    ("device", "site"), ("alerts", "name"), ("simulate", "host"),
}  # fmt: skip
"""Names that people make up, or that no place lists."""


def test_every_name_is_completed_or_anybodys_own() -> None:
    asked = {
        (command, action.dest)
        for command, parser in commands_of(whole_parser()).items()
        for action in parser._actions
        if action.metavar in {"NAME", "DEVICE", "SENSOR", "KEY", "NODE", "SHELL"} and action.choices is None
    }
    known = {*FIXED, *ASKED, *FREE, ("nodes", "add")}
    assert {one for one in asked if one[1] != "context"} <= known


def test_every_argument_that_is_completed_exists() -> None:
    parsers = commands_of(whole_parser())
    for command, argument in (*FIXED, *ASKED):
        assert argument in {action.dest for action in parsers[command]._actions}, (command, argument)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "lab" in capsys.readouterr().out


def test_a_shell_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tc\x1bsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err


def test_names_are_bounded_and_mean_nothing_to_a_shell() -> None:
    assert safe_names(["b", "a", "a", "$x", "-n", "é", ""]) == ["a", "b"]
    assert len(safe_names(map(str, range(10_000)))) == 2_000
