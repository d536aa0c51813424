"""``iotcache-tui``: finds the command, imports only its module, and turns every failure into one sentence."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from iotcache.errors import ConfigError, IotCacheError, UsageError
from iotcache.text import printable

COMMANDS = (
    ("simulate", "publish a seeded device fleet over MQTT, with a report and verdict"),
    ("ingest", "take readings in: broker to store to cache, then acknowledge"),
    ("stack", "run broker, cache nodes, store, ingest and fleet, headless"),
    ("get", "read one sensor through the cache"),
    ("where", "say which cache node owns a key"),
    ("warm", "fill the cache from the store, with a progress bar"),
    ("device", "show, configure, retire and return devices"),
    ("alerts", "list what is the matter, and acknowledge it"),
    ("deadletter", "messages that could not be decoded: list, show, redrive, purge"),
    ("store", "the durable store: stats, prune, export"),
    ("plan", "what a fleet needs: messages, memory, nodes, workers, database"),
    ("lab", "training scenarios on real servers, also headless, as tests"),
    ("snapshot", "print what the dashboard would show, once"),
    ("replay", "play a recording of the dashboard, with pause, seek and speed"),
    ("verify", "simulate the cluster client under faults, deterministically"),
    ("doctor", "check configuration, servers and terminal, and say how to mend them"),
    ("config", "print every setting in force and where it came from"),
    ("schema", "print the JSON Schema of config.toml, class files and scenarios"),
    ("bench", "compare ourselves with our peers, side by side"),
)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
PROGRAM = "iotcache-tui"


_SENTENCE_LIMIT = 2_000


class _Wide(argparse.RawDescriptionHelpFormatter):
    """A flag a line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=31, width=79)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one sentence, with the nearest flag for an unknown one."""

    _given: Sequence[str] = ()

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
    lines = [f"  {name:<10} {line}" for name, line in COMMANDS]
    return f"commands ({PROGRAM} COMMAND --help tells each one's flags):\n" + "\n".join(lines)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("iotcache-tui")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _command_and_rest(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command and what is left, also where flags common to all commands stand before it."""
    from iotcache_tui.cli.options import VALUE_FLAGS

    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        flag, equals, _ = argv[at].partition("=")
        if flag not in VALUE_FLAGS:
            return None, list(argv)
        at += 1 if equals else 2
    if at >= len(argv):
        return None, list(argv)
    return argv[at], [*argv[:at], *argv[at + 1 :]]


def _run(argv: Sequence[str]) -> int:
    from iotcache_tui.cli.options import add_common

    command, rest = _command_and_rest(argv)
    names = [name for name, _ in COMMANDS]
    if command is not None and command not in names:
        import difflib

        close = difflib.get_close_matches(command, names, 1)
        hint = f"; did you mean {close[0]}?" if close else f": there are {', '.join(names)}"
        raise UsageError(f"there is no command '{printable(command, 40)}'{hint}")
    module = importlib.import_module(f"iotcache_tui.cli.commands.{command or 'dashboard'}")
    if command is None:
        parser = _Parser(
            prog=PROGRAM,
            usage=f"{PROGRAM} [COMMAND] [flags]",
            description="Without a command: the live dashboard. It starts everything it needs,\n"
            "or watches the servers that the configuration names.",
            epilog=_overview(),
            formatter_class=_Wide,
        )
        parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    else:
        parser = _Parser(prog=f"{PROGRAM} {command}", description=(module.__doc__ or "").replace("``", ""))
    module.add_arguments(parser)
    add_common(parser)
    args = parser.parse(rest)

    from iotcache.logs import begin

    begin()
    return int(module.run(args))


def _say(text: str) -> None:
    print(f"{PROGRAM}: {printable(text, _SENTENCE_LIMIT)}", file=sys.stderr)


def _first_of_ours(error: BaseException) -> BaseException:
    """The error to tell of: the first of ours, or Ctrl-C, among those of a group of tasks that failed."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first_of_ours(one) for one in error.exceptions]
    return next((one for one in leaves if isinstance(one, (IotCacheError, KeyboardInterrupt))), leaves[0])


def _unexpected(error: BaseException) -> str:
    """Keep the traceback where a person can find it; returns what to say."""
    import tempfile
    import traceback
    from pathlib import Path

    import platformdirs

    from iotcache.private_files import make_private_folder

    what = f"an error that was not foreseen: {type(error).__name__}: {printable(str(error))}"
    lines = [line for part in traceback.format_exception(error) for line in part.splitlines()]
    for folder in (platformdirs.user_log_path("iotcache"), Path(tempfile.gettempdir())):
        try:
            make_private_folder(folder)
            # Not a name that can be guessed: the temporary folder is everyone's.
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=folder, prefix="iotcache-crash-", suffix=".log", delete=False
            ) as file:
                file.writelines(f"{printable(line, 1_000)}\n" for line in lines)
        except OSError:
            continue
        return f"{what}; its traceback is in {file.name}"
    return what


def _outcome(error: BaseException) -> int:
    """The exit code of a command that ended with ``error``, of which the user is told."""
    error = _first_of_ours(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILED if error.code else 0
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _drop_output()
        return EXIT_FAILED
    if isinstance(error, OSError) and not _flushed():
        return EXIT_FAILED
    _say(str(error) if isinstance(error, IotCacheError) else _unexpected(error))
    return EXIT_USAGE if isinstance(error, (ConfigError, UsageError)) else EXIT_FAILED


def _drop_output() -> None:
    """Whoever read our output has gone: keep the interpreter's own flush at exit from complaining."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 (no path)
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _flushed() -> bool:
    """Whether all that was printed has gone out; the user is told when it cannot."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            _say(f"the output cannot be written: {error.strerror}")
        return False
    return True


def _soften_streams() -> None:
    """Give each standard stream a form that can take any text, also where it is closed or not UTF-8."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (lives as long as we)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. No traceback reaches the user."""
    _soften_streams()
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    except BaseException as error:
        code = _outcome(error)
    return code if _flushed() else code or EXIT_FAILED
