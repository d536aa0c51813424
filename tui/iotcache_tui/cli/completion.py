"""Shell completion of every command: flags, actions, files, and names that the program knows."""

from __future__ import annotations

import argparse
import re
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


def _presets() -> Sequence[str]:
    from iotcache_simulator.fleet.classes import PRESETS

    return PRESETS


def _preset_commands() -> Sequence[str]:
    from iotcache.config.presets import preset_names

    return ("preset", "list", "show", *preset_names())


def _profiles() -> Sequence[str]:
    from iotcache_simulator.fleet.load import PROFILES

    return PROFILES


def _formats() -> Sequence[str]:
    from iotcache_simulator.fleet.formats.encoders import NAMES

    return NAMES


def _popularities() -> Sequence[str]:
    from iotcache_simulator.readers.popularity import NAMES

    return NAMES


def _workloads() -> Sequence[str]:
    from iotcache_simulator.readers.shapes import SHAPES

    return list(SHAPES)


def _columns() -> Sequence[str]:
    from iotcache_tui.state.fleet.view import SORTS

    return list(SORTS)


FIXED: Final[dict[tuple[str, str], Callable[[], Sequence[str]]]] = {
    ("lab", "name"): _scenarios,
    ("schema", "name"): _schemas,
    ("bench", "name"): _benchmarks,
    ("simulate", "classes"): _classes,
    ("simulate", "preset"): _presets,
    ("simulate", "profile"): _profiles,
    ("simulate", "format"): _formats,
    ("simulate", "popularity"): _popularities,
    ("simulate", "workload"): _workloads,
    ("ingest", "action"): _preset_commands,
    ("snapshot", "sort"): _columns,
    ("config", "what"): lambda: ("show", "default", "keys"),
    ("completion", "shell"): lambda: SHELLS,
}
"""Command and argument whose words stand in the script; they are those of the installed version."""
ASKED: Final[dict[tuple[str, str], str]] = {
    ("get", "device"): "devices",
    ("get", "sensor"): "sensors",
    ("device", "devices"): "devices",
    ("where", "key"): "keys",
    ("nodes", "nodes_named"): "nodes",
    ("nodes", "remove"): "nodes",
}
"""Command and argument whose words the program is asked for, as ``iotcache-tui completion --names KIND``."""
_CONTEXT: Final = "context"
"""An argument of every command."""


_BASH_LAST: Final = "complete -o bashdefault -F _shtab_iotcache_tui iotcache-tui"
_BASH_COLONS: Final = """\
# Bash takes a colon for the end of a word, unless COMP_WORDBREAKS is changed for all commands: keys and nodes
# have some. So words are split at blanks here, and what stands before the last colon is not offered again.
_iotcache_tui_words() {
  local IFS=$' \\t\\n' before="${COMP_LINE:0:COMP_POINT}" at
  if [[ "$COMP_WORDBREAKS" != *:* || "$before" != *:* ]]; then
    _shtab_iotcache_tui "$@"
    return
  fi
  read -ra COMP_WORDS <<< "$before"
  [[ "$before" == *[[:space:]] ]] && COMP_WORDS+=("")
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  local word="${COMP_WORDS[COMP_CWORD]}"
  _shtab_iotcache_tui "$1" "$word" "${COMP_WORDS[COMP_CWORD - 1]}"
  [[ "$word" == *:* ]] || return 0
  for at in "${!COMPREPLY[@]}"; do
    COMPREPLY[at]="${COMPREPLY[at]#"${word%"${word##*:}"}"}"
  done
}

complete -o bashdefault -F _iotcache_tui_words iotcache-tui"""


def script(shell: str) -> str:
    """What a shell reads to complete our commands."""
    parser = whole_parser()
    lines = dict(COMMANDS)
    for command, each in commands_of(parser).items():
        each.description = lines[command]  # beside the command in the shell's list
        for action in each._actions:
            _complete(command, action)
    made = shtab.complete(parser, shell)
    return made.replace(_BASH_LAST, _BASH_COLONS) if shell == "bash" else made


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
    asked = "contexts" if action.dest == _CONTEXT else ASKED.get((command, action.dest))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if words is not None:
        action.choices = list(words())
    elif action.dest == "what" and re.fullmatch(r"[a-z]+(\|[a-z]+)+", metavar):
        action.choices = metavar.split("|")
    elif asked is not None:
        action.complete = _asked(asked)  # type: ignore[attr-defined]
    elif metavar.endswith("FILE") or action.dest == "file":
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif metavar.endswith("DIR"):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
