"""The commands there are, and the argument parser of each."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from iotcache.errors import UsageError
from iotcache.text import printable
from iotcache_tui.cli.help_text import COMMAND_GROUPS, examples, group_of

COMMANDS = (
    ("simulate", "publish a seeded device fleet over MQTT, with a report and verdict"),
    ("ingest", "take readings in: broker to store to cache, then acknowledge"),
    ("stack", "run broker, cache nodes, store, ingest and fleet, headless"),
    ("get", "read one sensor through the cache"),
    ("where", "say which cache node owns a key"),
    ("nodes", "the cache nodes: list them, try another ring on paper, change it"),
    ("warm", "fill the cache from the store, with a progress bar"),
    ("device", "show, configure, retire and return devices"),
    ("alerts", "list what is the matter, and acknowledge it"),
    ("explain", "what is made of a message, and a mapping for what nobody reads"),
    ("deadletter", "messages that could not be decoded: list, show, redrive, purge"),
    ("store", "the durable store: stats, prune, export"),
    ("advise", "how much memory, which TTL, which keys: from the nodes' traffic"),
    ("plan", "what a fleet needs: messages, memory, nodes, workers, database"),
    ("lab", "training scenarios on real servers, also headless, as tests"),
    ("snapshot", "print what the dashboard would show, once"),
    ("record", "record what the dashboard would show, without a screen, for replay"),
    ("replay", "play a recording of the dashboard, with pause, seek and speed"),
    ("verify", "simulate the cluster client under faults, deterministically"),
    ("doctor", "check configuration, servers and terminal, and say how to mend them"),
    ("config", "print every setting in force and where it came from"),
    ("completion", "make bash, zsh or fish complete these commands with Tab"),
    ("manual", "open the manual page, or print it for man"),
    ("schema", "JSON Schemas of files that people write and of every --json"),
    ("bench", "compare ourselves with our peers, side by side"),
)
PROGRAM = "iotcache-tui"


class WideFormatter(argparse.RawDescriptionHelpFormatter):
    """A flag a line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=31, width=79)


class _Version(argparse.Action):
    """Prints the version, which is looked up only then: that takes longer than all other parsing."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{PROGRAM} {program_version()}")
        parser.exit()


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one sentence, with the nearest flag for an unknown one.

    Flags of a ``command`` stand under the headings that `iotcache_tui.cli.help_text` has for them.
    """

    _given: Sequence[str] = ()

    def __init__(self, *args: Any, command: str | None = None, **settings: Any) -> None:
        self._command = command
        self._headings: dict[str, argparse._ArgumentGroup] = {}
        super().__init__(*args, **settings)

    def add_argument(self, *flags: Any, **settings: Any) -> argparse.Action:
        heading = next(filter(None, (group_of(self._command, flag) for flag in flags)), None)
        if self._command is None or heading is None:
            return super().add_argument(*flags, **settings)
        if heading not in self._headings:
            self._headings[heading] = self.add_argument_group(heading)
        return self._headings[heading].add_argument(*flags, **settings)

    def error(self, message: str) -> NoReturn:
        if "are required" in message:
            # A flag that does not exist is the likelier mistake, and would be told of only after this one.
            for word in self._given:
                name = word.partition("=")[0]
                if name.startswith("--") and not any(
                    flag.startswith(name) for flag in self._option_string_actions
                ):
                    message = self._unknown(word)
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """As ``parse_args``. Raises `UsageError`."""
        self._given = argv
        known, unknown = self.parse_known_args(argv)
        if unknown and not unknown[0].startswith("-"):
            # argparse takes all words that belong to no flag at once: `capture --topic X FILE` is not for it.
            known, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return known

    def _unknown(self, word: str) -> str:
        from iotcache.config.fields import fields, nearest

        name = word.partition("=")[0]
        shown = printable(name, 60)
        if not word.startswith("-"):
            if word in dict(COMMANDS):
                return f"the command comes first: {PROGRAM} {word} …"
            return f"'{shown}' is one word too many"
        wanted = name.lstrip("-").replace("-", "_")
        meant = [key for key in fields() if wanted in (key, key.rpartition(".")[2])]
        if len(meant) == 1:
            return f"there is no flag {shown}; did you mean --set {meant[0]}=…?"
        return f"there is no flag {shown}{nearest(name, self._option_string_actions)}"


def _overview() -> str:
    about = dict(COMMANDS)
    lines = [f"commands ({PROGRAM} COMMAND --help tells each one's flags):"]
    for heading, names in COMMAND_GROUPS.items():
        lines += [f" {heading}", *(f"  {name:<10} {about[name]}" for name in names)]
    return "\n".join([examples(PROGRAM, ""), "", *lines])


def program_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("iotcache-tui")
    except PackageNotFoundError:
        return "unknown (not installed)"


def command_module(command: str | None) -> ModuleType:
    """The module of a command; that of the dashboard for ``None``. Each has ``add_arguments`` and ``run``."""
    return importlib.import_module(f"iotcache_tui.cli.commands.{command or 'dashboard'}")


def _description(module: ModuleType) -> str:
    return (module.__doc__ or "").replace("``", "")


def _filled(module: ModuleType) -> str:
    """The description on lines of a terminal, a paragraph at a time."""
    import textwrap

    return "\n\n".join(textwrap.fill(each, 79) for each in _description(module).split("\n\n")).strip()


def _words(module: ModuleType) -> str:
    """What a command takes besides flags, as its usage tells it."""
    parser = argparse.ArgumentParser(add_help=False)
    module.add_arguments(parser)
    return "".join(f"{usage_of(action)} " for action in parser._actions if not action.option_strings)


def usage_of(action: argparse.Action) -> str:
    """A word of a command line, in brackets where it may be left out."""
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if isinstance(action.choices, (list, tuple)) and not action.metavar:
        name = "|".join(action.choices)
    if action.nargs == "*":
        name = f"{name} …"
    return f"[{name}]" if action.nargs in ("?", "*") else name


def command_parser(command: str | None) -> CommandParser:
    """The parser of one command, with the flags that all have."""
    from iotcache_tui.cli.options import add_common

    module = command_module(command)
    if command is None:
        parser = CommandParser(
            prog=PROGRAM,
            usage=f"{PROGRAM} [COMMAND] [flags]",
            description="Without a command: the live dashboard. It starts everything it needs,\n"
            "or watches the servers that the configuration names.",
            epilog=_overview(),
            formatter_class=WideFormatter,
            command="",
        )
        parser.add_argument("--version", action=_Version, help="print the version and exit")
    else:
        parser = CommandParser(
            prog=f"{PROGRAM} {command}",
            usage=f"{PROGRAM} {command} {_words(module)}[flags]",
            description=_filled(module),
            epilog=examples(PROGRAM, command),
            formatter_class=WideFormatter,
            command=command,
        )
    module.add_arguments(parser)
    add_common(parser)
    return parser


def whole_parser() -> CommandParser:
    """All commands in one parser, to describe them: it is never parsed with."""
    from iotcache_tui.cli.options import add_common

    parser = command_parser(None)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", prog=PROGRAM, parser_class=CommandParser
    )
    for name, line in COMMANDS:
        module = command_module(name)
        each = commands.add_parser(name, help=line, description=_description(module), command=name)
        module.add_arguments(each)
        add_common(each)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command within the parser of all."""
    subparsers = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return dict(subparsers.choices)
