"""Shell completion of every command: flags, actions, files, and names that the program knows."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

import shtab

from iotcache_tui.cli.parsers import COMMANDS, PROGRAM, commands_of, whole_parser
from iotcache_tui.cli.shell_names import SHELLS


def _scenarios() -> Sequence[str]:
    from iotcache_simulator.lab.definition.scenario import catalogue

    return [one.name for one in catalogue()[0]]


def _classes() -> Sequence[str]:
    from iotcache_simulator.fleet.classes import shipped_classes

    return [one.name for one in shipped_classes()]


def _schemas() -> Sequence[str]:
    from iotcache_tui.cli.schemas import SCHEMAS

    return list(SCHEMAS)


def _benchmarks() -> Sequence[str]:
    from iotcache_tui.bench import BENCHES

    return [name for name, _, _ in BENCHES]


FIXED: Final[dict[tuple[str, str], Callable[[], Sequence[str]]]] = {
    ("lab", "name"): _scenarios,
    ("schema", "name"): _schemas,
    ("bench", "name"): _benchmarks,
    ("simulate", "what"): lambda: ("fleet", "readers", "capture", "play"),
    ("simulate", "classes"): _classes,
    ("nodes", "action"): lambda: ("list", "whatif", "add", "remove", "weight", "apply", "undo"),
    ("config", "what"): lambda: ("show", "default", "keys"),
    ("completion", "shell"): lambda: SHELLS,
}
"""Command and argument whose words stand in the script; they are those of the installed version."""
ASKED: Final[dict[tuple[str, str], str]] = {
    ("get", "device"): "devices",
    ("get", "sensor"): "sensors",
    ("device", "devices"): "devices",
    ("where", "key"): "keys",
}
"""Command and argument whose words the program is asked for, as ``iotcache-tui completion --names KIND``."""


def script(shell: str) -> str:
    """What a shell reads to complete our commands."""
    parser = whole_parser()
    lines = dict(COMMANDS)
    for command, each in commands_of(parser).items():
        each.description = lines[command]  # beside the command in the shell's list
        for action in each._actions:
            _complete(command, action)
    return shtab.complete(parser, shell)


def _asked(kind: str) -> dict[str, Any]:
    """As `shtab.cmd`, whose words for zsh would be asked for at every Tab of every command."""
    ask = f"{PROGRAM} completion --names {kind} 2>/dev/null"
    complete: dict[str, Any] = dict(shtab.cmd(ask))
    function = f"_iotcache_tui_{kind}"
    complete["zsh"] = function
    complete["preamble"] = {
        **complete["preamble"],
        "zsh": f'{function}() {{ local -a names; names=("${{(@f)$({ask})}}"); compadd "$@" -a names }}',
    }
    return complete


def _complete(command: str, action: argparse.Action) -> None:
    words = FIXED.get((command, action.dest))
    asked = ASKED.get((command, action.dest))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if words is not None:
        action.choices = list(words())
    elif asked is not None:
        action.complete = _asked(asked)  # type: ignore[attr-defined]
    elif metavar.endswith("FILE") or action.dest == "file":
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif metavar.endswith("DIR"):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
